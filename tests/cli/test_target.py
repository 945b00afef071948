"""What `jwt-asgi routes` says of an application that cannot be had: what, where, and what to do; never a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jwt_asgi.cli import main

SERVICE = """
from functools import wraps
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Route
from jwt_asgi import JWTMiddleware

app = Starlette(routes=[Route("/", lambda request: None)])
_private = app
settings = {"debug": True}
number = 7


async def bare(scope, receive, send):
    pass


async def endpoint(todo, draft, token):
    pass


def create_app(title="x"):
    return app


def make_application():
    return app


def create_app_of(kind):
    return app


def as_lambda(scope, receive, send):
    return app(scope, receive, send)


@wraps(create_app)
def wrapped(*args, **kwargs):
    return create_app()


def other():
    return None


def number_app():
    return 7


def raising_app():
    return settings["secret"]


async def async_app():
    return app


def wsgi(environ, start_response):
    return []


class Wsgi:
    def __call__(self, environ, start_response):
        return []


class Endpoint(HTTPEndpoint):
    pass


class Holder:
    app = app
    wsgi = Wsgi()
"""
LIKELY = "what looks like one in service: app, bare, create_app (with --factory), make_application (with --factory)"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Path]:
    """The folder of the application, which is the current one; the modules that were there are gone after it."""
    (tmp_path / "service.py").write_text(SERVICE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")) or name in {"broken", "package"}:
            del sys.modules[name]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says when it ends with 2."""
    assert main(["routes", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.startswith("jwt-asgi: ")
    return said.err


@pytest.mark.parametrize("target", ["nothing", ":app", "service:", "service.py:app", "src/service:app"])
@pytest.mark.usefixtures("told")
def test_a_target_is_a_module_and_a_name(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f'expected "package.module:app", as uvicorn is given it; got {target!r}' in refused(capsys, target)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("app = 1 / 0", "ZeroDivisionError: division by zero (broken.py, line 1: app = 1 / 0)"),
        ("\napp = (1,", "SyntaxError: '(' was never closed (broken.py, line 2)"),
        ("import os\nos.environ['NO_SUCH']", "KeyError: 'NO_SUCH' (broken.py, line 2: os.environ['NO_SUCH'])"),
        ("import json\njson.loads('{')", "(broken.py, line 2: json.loads('{'))"),
        (
            "raise SystemExit('no settings')",
            "SystemExit: no settings (broken.py, line 1: raise SystemExit('no settings'))",
        ),
        ("raise ValueError", "cannot be imported: ValueError (broken.py, line 1: raise ValueError)"),
        (
            "import jwt_asgi\napp = jwt_asgi.JWTMiddleware(print)",
            " would be safe (broken.py, line 2: app = jwt_asgi.JWTMiddleware(print))",
        ),
        ("import helper", "RuntimeError: deep (helper.py, line 2: raise RuntimeError('deep'))"),
        ("from service import nobody", "ImportError: cannot import name 'nobody' from 'service'"),
    ],
)
def test_a_module_that_raises_is_told_with_its_last_line_and_the_place(
    source: str, expected: str, told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (told / "broken.py").write_text(source, encoding="utf-8")
    (told / "helper.py").write_text("def f():\n    raise RuntimeError('deep')\nf()", encoding="utf-8")
    said = refused(capsys, "broken:app")
    assert "broken cannot be imported: " in said
    assert expected in said
    assert said.splitlines()[-1] == "mend that, or set what it reads when it is imported, as its server does"


def test_a_long_message_is_cut(told: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (told / "broken.py").write_text(r"raise ValueError('one\n' * 100)", encoding="utf-8")
    assert refused(capsys, "broken:app").count("\none") == 7


def test_a_module_that_is_not_there_is_told_with_where_it_was_looked_for(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (told / "package").mkdir()
    (told / "package" / "broken.py").write_text("import no_such_driver", encoding="utf-8")
    looked = f"looked in {told} (--app-dir), and among what is installed"
    assert f"there is no module 'no_such': {looked}" in refused(capsys, "no_such:app")
    assert f"there is no module 'package.absent': {looked}" in refused(capsys, "package.absent:app")
    said = refused(capsys, "package.broken:app")
    assert "ModuleNotFoundError: No module named 'no_such_driver' (package/broken.py, line 1: import no_such_" in said
    assert said.endswith("; install no_such_driver, or run this where the application runs\n")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("absent", f"service has no 'absent'; {LIKELY}"),
        ("Holder.absent", f"service has no 'Holder.absent'; {LIKELY}"),
        (
            "settings",
            "service:settings is of type dict, which cannot be called; what looks like one in service: app, bare",
        ),
        ("wsgi", "service:wsgi is of type function, which looks like WSGI: wrap it, or audit the ASGI application"),
        ("Holder.wsgi", "service:Holder.wsgi is of type Wsgi, which looks like WSGI"),
        ("create_app_of", "service:create_app_of is of type function, which is not called with (scope, receive, send)"),
        ("create_app", "service:create_app is called without arguments: if it returns the app, add --factory"),
        ("wrapped", "service:wrapped is called without arguments"),
        ("Holder", "service:Holder is called without arguments"),
    ],
)
@pytest.mark.usefixtures("told")
def test_what_is_no_application_is_told_with_what_looks_like_one(
    name: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refused(capsys, f"service:{name}")


def test_a_module_without_anything_like_an_application_says_so(told: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (told / "broken.py").write_text("import service\nx = 1\n", encoding="utf-8")
    assert "broken has no 'app'; nothing in broken looks like an application" in refused(capsys, "broken:app")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("app", "service:app is an application by itself: leave --factory out"),
        ("settings", "service:settings is of type dict, and nothing to call: leave --factory out"),
        ("create_app_of", "service:create_app_of is no factory: it needs arguments"),
        ("async_app", "service:async_app is async; a server calls a factory without await"),
        ("other", "service:other() returned what is None, and not called with (scope, receive, send)"),
        ("number_app", "service:number_app() returned what is of type int"),
        ("raising_app", "service:raising_app() raises: KeyError: 'secret' (service.py, line "),
    ],
)
@pytest.mark.usefixtures("told")
def test_a_factory_that_gives_no_application_is_told(
    name: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refused(capsys, f"service:{name}", "--factory")


@pytest.mark.parametrize(
    "arguments",
    [
        ["service:app"],
        ["service:Holder.app"],
        ["service:bare"],
        ["service:as_lambda"],
        ["service:Endpoint"],
        ["service:create_app", "--factory"],
        ["service:wrapped", "--factory"],
    ],
)
@pytest.mark.usefixtures("told")
def test_whatever_is_called_as_asgi_says_is_an_application(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["routes", *arguments]) == 1
    assert "unprotected" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            "issuer='https://a.test', audience='a', algorithms=['ES256'], nonsense=1",
            "it is configured wrongly: nonsense: there is no such option here; the options are ",
        ),
        ("issuer='https://a.test'", "it is configured wrongly: audience, algorithms: required"),
    ],
)
def test_middleware_that_cannot_be_made_is_told(
    options: str, expected: str, told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = f"import service, jwt_asgi\napp = service.app\napp.add_middleware(jwt_asgi.JWTMiddleware, {options})\n"
    (told / "broken.py").write_text(source, encoding="utf-8")
    said = refused(capsys, "broken:app")
    assert "the middleware of starlette.applications.Starlette cannot be made, so every request would fail: " in said
    assert expected in said
