"""The fixtures for pytest, in sessions of their own: a user's suite, run as users run it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from jwt_asgi.testing import plugin

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "testing.md").read_text(encoding="utf-8")
TODOS, SUITE = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[:2]
INI = "[pytest]\njwt_asgi_app = {app}\n"
ASYNCHRONOUS = """
    import pytest
    from todo import app

    @pytest.fixture
    async def client(jwt_issuer):
        async with jwt_issuer.async_client(app) as client:
            yield client

    @pytest.mark.parametrize("number", range(3))
    async def test_each_has_an_event_loop_of_its_own(client, jwt_issuer, number):
        ada = client.as_user("ada", scope="todos:read")
        assert (await ada.get("/todos")).json() == {"owner": "ada", "started": "yes"}
        jwt_issuer.rotate()
        assert (await client.as_user("bob", scope="todos:read").get("/todos")).status_code == 200
        with jwt_issuer.outage(cold=True):
            assert (await ada.get("/todos")).status_code == 503
        assert (await ada.get("/todos")).status_code == 200
"""


class OwnModules:
    """Forgets the modules of one folder after a session.

    `pytester` forgets all that the session was the first to import, and cryptography cannot be imported twice.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def restore(self) -> None:
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{self.folder}{os.sep}"):
                del sys.modules[name]


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with an application; its own package comes before any that is installed."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    own = OwnModules(pytester.path)
    monkeypatch.setattr(pytester, "_sys_modules_snapshot", own)
    monkeypatch.setattr(pytester, "_Pytester__take_sys_modules_snapshot", lambda: own)
    shutil.copy(Path(__file__).parent / "todo.py", pytester.path)
    pytester.syspathinsert()
    return pytester


def run(session: pytest.Pytester) -> pytest.RunResult:
    """Run the session in this process; a plugin that is installed is left out, since it would be there twice."""
    return session.runpytest_inprocess("-pno:jwt_asgi", "-pno:cacheprovider", "-Werror", plugins=[plugin])


def test_the_suite_of_the_documentation_passes_and_is_short(session: pytest.Pytester) -> None:
    session.makepyfile(todos=TODOS, test_todos=SUITE)
    session.makeini(INI.format(app="todos:app"))
    result = run(session)
    result.assert_outcomes(passed=21)
    assert SUITE.count("\n") <= 40


def test_a_users_suite_passes_with_a_fixture_for_the_application(session: pytest.Pytester) -> None:
    shutil.copy(Path(__file__).parent / "suites" / "test_todo.txt", session.path / "test_todo.py")
    session.makeconftest("import pytest, todo\n@pytest.fixture\ndef app(): return todo.app")
    run(session).assert_outcomes(passed=29)


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_asynchronous_tests_have_an_event_loop_each(session: pytest.Pytester, mode: str) -> None:
    session.makepyfile(ASYNCHRONOUS + ("" if mode == "auto" else "\n    pytestmark = pytest.mark.anyio\n"))
    session.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'")
    session.makeini(INI.format(app="todo:app") + f"anyio_mode = {mode}\n")
    run(session).assert_outcomes(passed=3)


def test_a_fixture_goes_before_the_option(session: pytest.Pytester) -> None:
    session.makeini(INI.format(app="nothing:here"))
    session.makepyfile(
        """
        import pytest, todo

        @pytest.fixture
        def app():
            return todo.app

        def test_it(jwt_issuer):
            assert jwt_issuer.issuer == todo.ISSUER
        """
    )
    run(session).assert_outcomes(passed=1)


def test_keys_are_made_once_in_a_session(session: pytest.Pytester) -> None:
    session.makeini(INI.format(app="todo:app"))
    session.makepyfile(
        """
        import pytest

        SEEN = []

        @pytest.mark.parametrize("number", range(3))
        def test_it(jwt_issuer, number):
            first = jwt_issuer.jwks()["keys"]
            jwt_issuer.rotate()
            SEEN.append((first, jwt_issuer.jwks()["keys"]))
            assert SEEN[-1] == SEEN[0]
            assert first != SEEN[0][1]
        """
    )
    run(session).assert_outcomes(passed=3)


def test_applications_may_differ_from_test_to_test(session: pytest.Pytester) -> None:
    session.makepyfile(
        """
        import pytest
        from jwt_asgi import JWTMiddleware

        @pytest.fixture
        def app(name):
            return JWTMiddleware(None, issuer=f"https://{name}.example.com", audience="a", algorithms=["ES256"])

        @pytest.mark.parametrize("name", ["one", "two", "one"])
        def test_it(jwt_issuer, name):
            assert jwt_issuer.issuer == f"https://{name}.example.com"
        """
    )
    run(session).assert_outcomes(passed=3)


def test_an_application_without_a_door_is_told(session: pytest.Pytester) -> None:
    session.makepyfile(
        """
        import pytest
        from starlette.applications import Starlette

        @pytest.fixture
        def app():
            return Starlette()

        def test_it(jwt_issuer): ...
        """
    )
    result = run(session)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*found no JWTMiddleware, nor anything else with a Verifier, in Starlette*"])


def test_without_an_application_it_is_said_what_to_write(session: pytest.Pytester) -> None:
    session.makepyfile("def test_it(jwt_client): ...")
    result = run(session)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "jwt_asgi: which application is under test? Write in conftest.py",
            "    def app():",
            "        from package.module import app",
            '    jwt_asgi_app = "package.module:app"',
        ]
    )


@pytest.mark.parametrize("named", ["todo", ":app", "todo:"])
def test_an_option_that_names_no_application_is_told(session: pytest.Pytester, named: str) -> None:
    session.makeini(INI.format(app=named))
    session.makepyfile("def test_it(jwt_issuer): ...")
    result = run(session)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*jwt_asgi_app: expected \"package.module:app\"; got '{named}'"])


def test_a_fault_of_the_users_own_fixture_is_told_as_it_is(session: pytest.Pytester) -> None:
    session.makeini(INI.format(app="todo:app"))
    session.makepyfile(
        """
        import pytest

        @pytest.fixture
        def app(database):
            return database

        def test_it(jwt_issuer): ...
        """
    )
    result = run(session)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'database' not found"])


def test_of_several_issuers_an_option_says_which_one_is_meant(session: pytest.Pytester) -> None:
    session.makepyfile(
        service="""
        from jwt_asgi import JWTMiddleware, TrustedIssuer, Verifier

        class names:
            app = JWTMiddleware(None, verifier=Verifier(*(
                TrustedIssuer(issuer=f"https://{name}.example.com", audience="a", algorithms=["ES256"])
                for name in ("one", "two")
            )))
        """,
        test_it="def test_it(jwt_issuer):\n    assert jwt_issuer.issuer == 'https://two.example.com'",
    )
    session.makeini(INI.format(app="service:names.app") + "jwt_asgi_issuer = https://two.example.com\n")
    run(session).assert_outcomes(passed=1)
    session.makeini(INI.format(app="service:names.app"))
    result = run(session)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*trusts 'https://one.example.com', 'https://two.example.com': expected which one*"])


def test_installed_it_is_loaded_by_its_entry_point(
    session: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = tmp_path / "jwt_asgi_as_installed-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: jwt-asgi-as-installed\nVersion: 1.0\n")
    lines = [f"{name} = {module}" for name, module in project["entry-points"]["pytest11"].items()]
    (installed / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT), str(session.path)]))
    session.makepyfile(todos=TODOS, test_todos=SUITE)
    session.makeini(INI.format(app="todos:app"))
    others = {point.name for point in entry_points(group="pytest11")} - {"jwt_asgi"}
    without = [f"-pno:{name}" for name in ("cacheprovider", *sorted(others))]
    result = session.run(sys.executable, "-m", "pytest", "-W", "error", *without)
    result.assert_outcomes(passed=21)
