"""The options of a command -> the token service that it is about, or its store alone; and what went wrong with it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from jwt_asgi.cli.target import named, told
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.key_schedule import KeySchedule
from jwt_asgi.issuer.sealing import MasterKeys
from jwt_asgi.issuer.service import TokenService
from jwt_asgi.issuer.signing import Keychain
from jwt_asgi.issuer.store import PostgreSQLStore, SQLiteStore, open_store
from jwt_asgi.issuer.types import Store

__all__ = ["Setup", "done", "find_setup", "said", "time_text"]

VARIABLE: Final = "JWT_ASGI_STORE"
_OK, _FAILED = 0, 1
_OWN: Final = ("issuer", "schedule", "master_keys_file", "keep_audit")
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a command works on.

    Attributes:
        store: Where all is kept.
        where: What the user called it, without a password.
        issuer: Whose it is; None: not told.
        schedule: When keys change; None: not told.
        keychain: Opens and makes keys; None: not told.
    """

    store: Store
    where: str
    issuer: str | None = None
    schedule: KeySchedule | None = None
    keychain: Keychain | None = None

    @property
    def tables(self) -> SQLiteStore | PostgreSQLStore:
        """The store as one that has tables.

        Raises:
            ConfigurationError: it is the application's own.
        """
        if isinstance(self.store, (SQLiteStore, PostgreSQLStore)):
            return self.store
        detail = f"the store of {self.where} is {type(self.store).__name__}, which this command knows nothing of"
        raise ConfigurationError("store", detail)


def find_setup(options: argparse.Namespace, *, keys: bool = False) -> Setup:
    """Return what the options name; with `keys`, it has what keys are made with.

    Raises:
        ConfigurationError: they name nothing, too much, or what cannot be had.
    """
    if options.service is not None:
        given = [name for name in ("store", *_OWN) if getattr(options, name, None) is not None]
        if given:
            named_so = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ConfigurationError("service", f"{options.service} has its own: leave {named_so} out")
        service = _service(options.service, Path(options.app_dir), factory=options.factory)
        return Setup(
            store=service.store,
            where=options.service,
            issuer=service.issuer,
            schedule=service.schedule,
            keychain=service.keychain,
        )
    url = options.store or os.environ.get(VARIABLE)
    if not url:
        detail = (
            "which token service? Name it as uvicorn names an application, as app:service; or give its database by "
            f"--store or the environment variable {VARIABLE}"
        )
        raise ConfigurationError("store", detail)
    if options.store is not None:
        _check_no_password(options.store)
    return _of_store(options, url, keys=keys)


def done(setup: Setup, work: Callable[[Setup], Awaitable[int]]) -> int:
    """Do the work, close the store, and return the exit code."""

    async def run() -> int:
        try:
            return await work(setup)
        finally:
            await setup.store.aclose()

    try:
        return asyncio.run(run())
    except StoreUnavailable as error:
        said(f"{error} ({setup.where}). See that the database runs and can be reached from here, and try again")
    except ConfigurationError as error:
        said(f"{setup.where}: {error.detail.replace('`await store.migrate()`', '`jwt-asgi db upgrade`')}")
    return _FAILED


def said(text: str) -> None:
    """Say what is wrong."""
    print(f"jwt-asgi: {text}", file=sys.stderr)


def time_text(at: float | None) -> str:
    """Return a time as people read it."""
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _of_store(options: argparse.Namespace, url: str, *, keys: bool) -> Setup:
    issuer, days = getattr(options, "issuer", None), getattr(options, "keep_audit", None)
    schedule = keychain = None
    if keys:
        if not issuer or options.schedule is None:
            detail = (
                "with a store alone, --issuer and --schedule have to say what the running service has; better name the "
                "service itself, as app:service"
            )
            raise ConfigurationError("store", detail)
        schedule = _schedule(options.schedule)
        keychain = Keychain(_master_keys(options.master_keys_file).sealing())
    # Nothing that these commands do writes an entry of a session, which alone would need the right issuer
    store = open_store(url, issuer=issuer or "unknown", keep_audit=None if days is None else days * _DAY)
    return Setup(store=store, where=_shown(url), issuer=issuer, schedule=schedule, keychain=keychain)


def _service(target: str, folder: Path, *, factory: bool) -> TokenService:
    with contextlib.redirect_stdout(sys.stderr):
        found, module = named(target, folder, "service")
        if factory and callable(found):
            try:
                found = found()
            except (Exception, SystemExit) as error:
                raise ConfigurationError("service", f"{target}() raises: {told(error, folder)}") from error
    if isinstance(found, TokenService):
        return found
    advice = ": if it returns the service, add --factory" if callable(found) and not factory else ""
    detail = f"{target} is of type {type(found).__name__}, and no TokenService{advice}; {_instead(module)}"
    raise ConfigurationError("service", detail)


def _instead(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, TokenService)]
    if not names:
        return f"there is none in {module.__name__}"
    return "there is " + ", ".join(f"{module.__name__}:{name}" for name in names)


def _check_no_password(url: str) -> None:
    """Refuse what other users of the machine could read in the list of processes."""
    try:
        parts = urlsplit(url)
        has_password = parts.password is not None or any("pass" in name for name, _ in parse_qsl(parts.query))
    except ValueError:
        has_password = "@" in url
    if has_password:
        detail = (
            f"--store has a password, which other users of this machine can read: set {VARIABLE} in place of it, or "
            "leave the password out and set PGPASSWORD, or write it into ~/.pgpass"
        )
        raise ConfigurationError("store", detail)


def _shown(url: str) -> str:
    """Return a URL without what may be a password."""
    head, separator, rest = url.partition("://")
    return f"{head}{separator}{rest.partition('?')[0].rpartition('@')[2]}"


def _schedule(path: str) -> KeySchedule:
    try:
        options: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        return KeySchedule(**options)
    except OSError as error:
        raise ConfigurationError("schedule", f"--schedule {path} cannot be read: {error.strerror}") from error
    except ConfigurationError as error:
        raise ConfigurationError("schedule", f"--schedule {path}: {error.detail}") from error
    except (ValueError, TypeError) as error:
        names = ", ".join(KeySchedule.__dataclass_fields__)
        detail = f"--schedule {path}: expected a JSON object with options of KeySchedule: {names}"
        raise ConfigurationError("schedule", detail) from error


def _master_keys(path: str | None) -> MasterKeys:
    return MasterKeys.from_env() if path is None else MasterKeys.from_file(path)
