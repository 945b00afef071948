"""`package.module:app` -> the application, as a server imports it; or what is wrong with it, and what to do."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Final

from jwt_asgi.apps import attribute
from jwt_asgi.errors import ConfigurationError

__all__ = ["imported", "named", "told"]

_CALLED_WITH: Final = "(scope, receive, send)"
_MOST_LINES: Final = 8
_MOST_NAMES: Final = 8
_OWN: Final = str(Path(__file__).parents[1])
_NOT_THEIRS: Final = (_OWN, "<frozen ", importlib.__path__[0], "site-packages", contextlib.__file__)


def imported(target: str, folder: Path, *, factory: bool) -> object:
    """Import an application, with the folder first on the path; a factory is called.

    Raises:
        ConfigurationError: it cannot be had, or is no ASGI application.
    """
    # What an application prints at its start is not a part of the table
    with contextlib.redirect_stdout(sys.stderr):
        found, module = named(target, folder, "app")
        return _made(found, target, folder) if factory else _checked(found, target, module)


def named(target: str, folder: Path, what: str) -> tuple[object, ModuleType]:
    """Import what `package.module:name` names, with the folder first on the path; return it with its module.

    Raises:
        ConfigurationError: it cannot be had; `what` is what was looked for.
    """
    name, separator, names = target.partition(":")
    if not separator or not name or not names or name.endswith(".py") or "/" in name:
        raise ConfigurationError("app", f'expected "package.module:{what}", as uvicorn is given it; got {target!r}')
    sys.path.insert(0, str(folder.resolve()))
    module = _module(name, folder)
    found: object = module
    for one in names.split("."):
        try:
            found = getattr(found, one)
        except AttributeError:
            raise ConfigurationError("app", f"{name} has no {names!r}; {_instead(module)}") from None
    return found, module


def told(error: BaseException, folder: Path) -> str:
    """Return what an exception says, and where in the application it was raised."""
    if isinstance(error, ConfigurationError):
        said = [f"it is configured wrongly: {error.detail}"]
    elif isinstance(error, SyntaxError):
        said = [f"{type(error).__name__}: {error.msg}"]
    else:
        said = "".join(traceback.format_exception_only(error)).rstrip().splitlines()
    if len(said) > _MOST_LINES:
        said = [*said[:_MOST_LINES], "..."]
    where = _where(error, str(folder.resolve()))
    return "\n".join([said[0] + where, *said[1:]])


def _module(name: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            looked = f"looked in {folder.resolve()} (--app-dir), and among what is installed"
            raise ConfigurationError("app", f"there is no module {error.name!r}: {looked}") from error
        advice = f"install {error.name}, or run this where the application runs"
        raise ConfigurationError("app", f"{name} cannot be imported: {told(error, folder)}; {advice}") from error
    except (Exception, SystemExit) as error:
        advice = "mend that, or set what it reads when it is imported, as its server does"
        raise ConfigurationError("app", f"{name} cannot be imported: {told(error, folder)}\n{advice}") from error


def _made(factory: object, target: str, folder: Path) -> object:
    if not callable(factory):
        raise ConfigurationError("app", f"{target} is {_a(factory)}, and nothing to call: leave --factory out")
    if not _takes(factory, 0):
        what = (
            "an application by itself: leave --factory out" if _takes(factory, 3) else "no factory: it needs arguments"
        )
        raise ConfigurationError("app", f"{target} is {what}")
    if inspect.iscoroutinefunction(factory):
        raise ConfigurationError("app", f"{target} is async; a server calls a factory without await")
    try:
        found: object = factory()
    except (Exception, SystemExit) as error:
        raise ConfigurationError("app", f"{target}() raises: {told(error, folder)}") from error
    if not _takes(found, 3):
        raise ConfigurationError("app", f"{target}() returned what is {_a(found)}, and not called with {_CALLED_WITH}")
    return found


def _checked(found: object, target: str, module: ModuleType) -> object:
    if _is_factory(found):
        raise ConfigurationError("app", f"{target} is called without arguments: if it returns the app, add --factory")
    if _takes(found, 3):
        return found
    what = f"which is not called with {_CALLED_WITH}" if callable(found) else "which cannot be called"
    if _takes(found, 2):
        what = "which looks like WSGI: wrap it, or audit the ASGI application"
    raise ConfigurationError("app", f"{target} is {_a(found)}, {what}; {_instead(module)}")


def _instead(module: ModuleType) -> str:
    """Say which names of a module look like applications."""
    names = [name for name, value in vars(module).items() if _is_app(value, name)]
    makers = [f"{name} (with --factory)" for name in _factories(module)]
    if not names + makers:
        return f"nothing in {module.__name__} looks like an application"
    return f"what looks like one in {module.__name__}: {', '.join((names + makers)[:_MOST_NAMES])}"


def _is_app(value: object, name: str) -> bool:
    if name.startswith("_") or isinstance(value, (type, ModuleType)) or not callable(value):
        return False
    is_async = any(map(inspect.iscoroutinefunction, (value, attribute(value, "__call__"))))
    if not is_async or not _takes(value, 3):
        return False
    # Endpoints have three parameters, too
    return next(iter(inspect.signature(value).parameters), "") == "scope"


def _factories(module: ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        own = isinstance(value, FunctionType) and value.__module__ == module.__name__
        if own and "app" in name.lower() and _is_factory(value):
            yield name


def _is_factory(value: object) -> bool:
    """Whether it cannot be an application, which is never called without arguments."""
    plain = isinstance(value, (FunctionType, type)) and not inspect.iscoroutinefunction(value)
    return plain and _takes(value, 0)


def _takes(value: object, arguments: int) -> bool:
    if not callable(value):
        return False
    try:
        inspect.signature(value).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:  # something written in C, of which nothing is known
        return True
    return True


def _a(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _where(error: BaseException, folder: str) -> str:
    """Return the deepest place in the application's own files, or else outside of this library."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f" ({_shown(error.filename)}, line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not any(part in frame.filename for part in _NOT_THEIRS)]
    inside = [frame for frame in theirs if frame.filename.startswith(folder + os.sep)]
    own = inside or theirs or [frame for frame in frames if not frame.filename.startswith(_OWN)]
    return f" ({_shown(own[-1].filename)}, line {own[-1].lineno}: {own[-1].line})" if own else ""


def _shown(filename: str) -> str:
    with contextlib.suppress(ValueError):
        return str(Path(filename).relative_to(Path.cwd()))
    return filename
