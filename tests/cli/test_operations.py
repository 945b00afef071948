"""`jwt-asgi db`, `gc`, `keys` and `audit-log` on a real store: what they do, what they say, and what they refuse."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jwt_asgi.cli import main
from jwt_asgi.issuer.key_schedule import KeySchedule
from jwt_asgi.issuer.sealing import MasterKeys
from jwt_asgi.issuer.service import TokenService
from jwt_asgi.issuer.store import SQLiteStore
from jwt_asgi.issuer.types import KeyState, StoredKey
from tests.issuer.store.world import ISSUER, Clock, begin

ROOT = Path(__file__).parents[2]
MASTERS = MasterKeys.new()
DAY = 86_400.0
_numbers = itertools.count()

SERVICE = """
from jwt_asgi.issuer import Client, KeySchedule, MasterKeys, TokenService

print("made")


def make():
    return TokenService(
        issuer="https://auth.test",
        store="sqlite:///{path}",
        master_keys=MasterKeys.from_env(),
        clients=[Client(client_id="spa", authentication="none", grants=("refresh_token",))],
        lifetime=600,
        schedule=KeySchedule(algorithms=("ES256", "EdDSA"), longest_token=7200),
    )


service = make()
number = 7


def raising():
    raise RuntimeError("no configuration")
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JWT_ASGI_MASTER_KEYS", MASTERS)
    monkeypatch.delenv("JWT_ASGI_STORE", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path / "store.db"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with tables."""
    path = tmp_path_factory.mktemp("tables") / "store.db"
    asyncio.run(on(path, lambda store: store.migrate()))
    return path


@pytest.fixture
def store(path: Path, tables: Path) -> str:
    """The URL of a store that has tables."""
    shutil.copy(tables, path)
    return f"sqlite:///{path}"


async def on(path: Path, work: Callable[[SQLiteStore], Any], **options: Any) -> Any:
    store = SQLiteStore(path, issuer=ISSUER, **options)
    try:
        return await work(store)
    finally:
        await store.aclose()


def keys_of(path: Path) -> list[StoredKey]:
    keys: list[StoredKey] = asyncio.run(on(path, lambda store: store.keys()))
    return keys


def states(path: Path, alg: str = "ES256") -> list[str]:
    return [key.state.value for key in keys_of(path) if key.alg == alg]


@pytest.fixture
def target(path: Path) -> str:
    """What names a service on that store."""
    name = f"operated_{next(_numbers)}"
    (path.parent / f"{name}.py").write_text(SERVICE.format(path=path), encoding="utf-8")
    return f"{name}:service"


@pytest.fixture
def run(path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command; return its exit code, and what it prints and says."""

    def command(*arguments: str) -> tuple[int, str, str]:
        # Each run is a process of its own, with a service of its own
        for name in [name for name in sys.modules if name.startswith("operated_")]:
            del sys.modules[name]
        try:
            code = main([*arguments, "--app-dir", str(path.parent)] if "--" not in arguments else arguments)
        except SystemExit as left:
            code = int(str(left.code))
        printed, told = capsys.readouterr()
        for text in (printed, told):
            assert MASTERS.partition(":")[2] not in text
            assert "Traceback" not in text
        return code, printed, told

    return command


Run = Callable[..., tuple[int, str, str]]


def schedule_file(path: Path, **options: Any) -> str:
    file = path.parent / "schedule.json"
    file.write_text(json.dumps(options), encoding="utf-8")
    return str(file)


def audited(path: Path) -> list[tuple[str, dict[str, Any]]]:
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT event, members FROM jwt_asgi_audit ORDER BY seq").fetchall()
    return [(event, json.loads(members)) for event, members in rows]


# db


def test_the_tables_are_made_and_their_version_is_told(path: Path, run: Run) -> None:
    url = f"sqlite:///{path}"
    code, printed, told = run("db", "version", "--store", url)
    assert (code, printed) == (1, "")
    assert "jwt-asgi db upgrade" in told
    assert str(path) in told
    for _ in range(2):
        assert run("db", "upgrade", "--store", url) == (0, f"ok: the tables of {url} are of version v0001\n", "")
    assert run("db", "version", "--store", url)[0] == 0
    assert json.loads(run("db", "version", "--store", url, "--json")[1]) == {"version": "v0001"}


def test_tables_of_a_newer_release_are_a_failure_that_says_so(store: str, path: Path, run: Run) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE jwt_asgi_schema SET version_num = '9999'")
    for command in ("version", "upgrade"):
        code, _, told = run("db", command, "--store", store)
        assert code == 1
        assert "newer" in told


def test_the_environment_may_name_the_store(store: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_ASGI_STORE", store)
    assert run("db", "version")[0] == 0


def test_a_database_that_cannot_be_reached_is_a_failure_that_names_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JWT_ASGI_STORE", "postgresql://jwt:opensesame@127.0.0.1:9/tokens")
    code, printed, told = run("db", "version")
    assert (code, printed) == (1, "")
    assert "postgresql://127.0.0.1:9/tokens" in told
    assert "opensesame" not in told


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://jwt:opensesame@db/tokens",
        "postgresql://jwt@db/tokens?password=opensesame",
        "postgresql://jwt:opensesame@[db/tokens",
    ],
)
def test_a_password_among_the_arguments_is_refused_and_not_repeated(url: str, run: Run) -> None:
    code, printed, told = run("db", "version", "--store", url)
    assert (code, printed) == (2, "")
    assert "JWT_ASGI_STORE" in told
    assert "opensesame" not in told


@pytest.mark.parametrize("url", ["mysql://db/tokens", "tokens.db", "sqlite:///"])
def test_a_store_of_another_kind_is_refused(url: str, run: Run) -> None:
    code, _, told = run("db", "version", "--store", url)
    assert code == 2
    assert "expected" in told


# Which service.


def test_nothing_named_is_a_question(run: Run, path: Path) -> None:
    code, _, told = run("keys", "list")
    assert code == 2
    assert "app:service" in told


def test_a_service_and_a_store_are_too_much(target: str, store: str, run: Run) -> None:
    code, _, told = run("keys", "list", target, "--store", store)
    assert code == 2
    assert "--store" in told
    code, _, told = run("keys", "rotate", target, "--issuer", "https://x.test", "--schedule", "x.json")
    assert code == 2
    assert "--issuer, --schedule" in told


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("number", "of type int"),
        ("make", "add --factory"),
        ("missing", "has no 'missing'"),
        ("number --factory", "of type int"),
        ("raising --factory", "no configuration"),
    ],
)
def test_what_is_no_service_is_refused_with_what_is_one(target: str, run: Run, name: str, expected: str) -> None:
    module = target.partition(":")[0]
    first, *more = name.split()
    code, printed, told = run("keys", "list", f"{module}:{first}", *more)
    assert (code, printed) == (2, "")
    assert expected in told
    if name in {"number", "make"}:
        assert f"{module}:service" in told


def test_a_module_that_is_not_there_is_refused(run: Run, path: Path) -> None:
    for name in ("no_such_module:service", "service", "service.py:service"):
        assert run("keys", "list", name)[0] == 2


def test_a_factory_makes_the_service(target: str, store: str, run: Run) -> None:
    assert run("gc", target.replace(":service", ":make"), "--factory")[0] == 0


def test_wrong_master_keys_change_nothing(path: Path, store: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ("--store", store, "--issuer", ISSUER, "--schedule", schedule_file(path))
    assert run("keys", "rotate", *own)[0] == 0
    before = keys_of(path)
    assert len(before) == 1
    monkeypatch.setenv("JWT_ASGI_MASTER_KEYS", MasterKeys.new())
    # A key for the second algorithm is due
    schedule_file(path, algorithms=["ES256", "EdDSA"])
    for command in (("rotate",), ("rotate", "--now"), ("revoke", before[0].kid, "--yes")):
        code, _, told = run("keys", *command, *own)
        assert code == 1
        assert "master" in told or "does not open" in told
    assert keys_of(path) == before


# keys


def test_keys_are_listed_handed_over_and_revoked(target: str, path: Path, store: str, run: Run) -> None:
    code, printed, told = run("keys", "list", target)
    assert (code, told) == (0, "made\n")
    assert "no signing keys yet" in printed
    assert run("keys", "rotate", target)[0] == 0
    assert states(path) == ["active"]
    first = next(key for key in keys_of(path) if key.alg == "ES256")
    code, printed, _ = run("keys", "rotate", target, "--reason", "a colleague has left")
    assert code == 0
    assert f"{first.kid} signs until" in printed
    assert states(path) == ["retiring", "active"]
    code, printed, _ = run("keys", "rotate", target)
    assert code == 0
    assert "nothing was changed" in printed
    code, printed, _ = run("keys", "list", target)
    assert code == 0
    assert "retiring, signs" in printed
    code, printed, _ = run("keys", "revoke", target, first.kid, "--yes", "--reason", "stolen")
    assert code == 0
    assert f"{first.kid} is revoked" in printed
    assert states(path) == ["revoked", "active"]
    [kept] = [key for key in keys_of(path) if key.state is KeyState.REVOKED]
    assert kept.sealed == b""
    code, printed, _ = run("keys", "revoke", target, first.kid, "--yes")
    assert code == 0
    assert "was revoked before" in printed
    reasons = [(event, members["reason"]) for event, members in audited(path) if "reason" in members]
    assert ("key.rotate", "a colleague has left") in reasons
    assert reasons[-1] == ("revoke.key", "stolen")


def test_the_schedule_is_the_services_own(target: str, path: Path, store: str, run: Run) -> None:
    code, printed, _ = run("keys", "rotate", target, "--alg", "EdDSA")
    assert code == 0
    assert "is announced, and signs EdDSA when" in printed
    assert run("keys", "rotate", target)[0] == 0
    [old] = [key for key in keys_of(path) if key.alg == "ES256" and key.state is KeyState.RETIRING]
    assert old.sign_until is not None
    assert old.publish_until == old.sign_until + KeySchedule(longest_token=7200).retained
    code, _, told = run("keys", "rotate", target, "--alg", "RS256")
    assert code == 2
    assert "ES256, EdDSA" in told


def test_a_handover_may_be_brought_forward(target: str, path: Path, store: str, run: Run) -> None:
    run("keys", "rotate", target)
    run("keys", "rotate", target)
    [new] = [key for key in keys_of(path) if key.alg == "ES256" and key.state is KeyState.ACTIVE]
    assert run("keys", "rotate", target, "--now")[0] == 0
    [sooner] = [key for key in keys_of(path) if key.alg == "ES256" and key.state is KeyState.ACTIVE]
    assert new.kid == sooner.kid
    assert new.sign_from is not None
    assert sooner.sign_from is not None
    assert new.sign_from - sooner.sign_from > DAY / 2


def test_a_running_service_goes_on_with_what_the_command_has_done(
    target: str, path: Path, store: str, run: Run
) -> None:
    async def begin_and_hand_over() -> str:
        service = TokenService(
            issuer=ISSUER,
            store=store,
            master_keys=MasterKeys.from_env(),
            clients=[],
            schedule=KeySchedule(algorithms=("ES256", "EdDSA"), longest_token=7200),
        )
        async with service:
            signed = (await service.keys.signer(await service.store.now())).kid
            code, _, told = await asyncio.to_thread(run, "keys", "revoke", target, signed, "--yes")
            assert code == 0, told
            await service.keys.look()
            assert signed not in service.keys.document.body.decode()
            assert (await service.keys.signer(await service.store.now())).kid != signed
            await service.revocations.pull()
            assert service.revocations.count == 1
        return signed

    assert asyncio.run(begin_and_hand_over())


def test_without_the_service_issuer_and_schedule_have_to_be_told(
    store: str, path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = schedule_file(path, longest_token=3600)
    code, _, told = run("keys", "rotate", "--store", store)
    assert code == 2
    assert "--issuer" in told
    own = ("--store", store, "--issuer", ISSUER, "--schedule", file)
    assert run("keys", "rotate", *own)[0] == 0
    [key] = keys_of(path)
    monkeypatch.delenv("JWT_ASGI_MASTER_KEYS")
    code, _, told = run("keys", "revoke", key.kid, "--yes", *own)
    assert code == 2
    assert "JWT_ASGI_MASTER_KEYS" in told
    masters = path.parent / "masters"
    masters.write_text(MASTERS, encoding="utf-8")
    masters.chmod(0o644)
    assert run("keys", "revoke", key.kid, "--yes", *own, "--master-keys-file", str(masters))[0] == 2
    masters.chmod(0o600)
    assert run("keys", "revoke", key.kid, "--yes", *own, "--master-keys-file", str(masters))[0] == 0
    assert states(path) == ["revoked", "active"]
    # To look at the keys no secret is needed
    code, printed, _ = run("keys", "list", "--store", store)
    assert code == 0
    assert "revoked" in printed


@pytest.mark.parametrize("text", ["[]", "{", '{"longest_tokens": 1}', '{"announce": 1}', None])
def test_a_schedule_that_is_none_is_refused(text: str | None, store: str, path: Path, run: Run) -> None:
    file = path.parent / "schedule.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    code, _, told = run("keys", "rotate", "--store", store, "--issuer", ISSUER, "--schedule", str(file))
    assert code == 2
    assert "schedule.json" in told


def test_a_key_that_is_not_there_is_a_failure_that_names_those_that_are(target: str, store: str, run: Run) -> None:
    code, _, told = run("keys", "revoke", target, "no-such-key", "--yes")
    assert code == 1
    assert "no-such-key" in told
    assert "there are:" in told


def test_a_key_whose_name_begins_with_a_hyphen_can_be_named(
    target: str, store: str, path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    code, _, told = run("keys", "revoke", "--yes", target, "--", "-abc")
    assert code == 1
    assert "no signing key -abc" in told


@pytest.mark.parametrize(("answer", "code"), [("yes\n", 1), ("no\n", 2), ("\n", 2), ("", 2)])
def test_somebody_at_a_terminal_is_asked(
    target: str, store: str, run: Run, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return answer

    monkeypatch.setattr(sys, "stdin", Terminal())
    found, _, told = run("keys", "revoke", target, "a-key")
    assert found == code
    assert "cannot be undone" in told
    assert ("nothing was revoked" in told) == (code == 2)


def test_where_nobody_can_be_asked_yes_has_to_be_said(
    target: str, store: str, path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("keys", "rotate", target)
    with (path.parent / "nothing").open("w+") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        code, _, told = run("keys", "revoke", target, keys_of(path)[0].kid)
    assert code == 2
    assert "--yes" in told
    assert states(path) == ["active"]


def test_keys_are_printed_as_json_without_what_is_sealed(target: str, path: Path, store: str, run: Run) -> None:
    printed = json.loads(run("keys", "rotate", target, "--json")[1])
    assert printed["changed"] is True
    listed = json.loads(run("keys", "list", target, "--json")[1])
    assert (listed["good"], listed["fault"]) == (True, None)
    assert listed["keys"] == printed["keys"]
    assert [key["kid"] for key in listed["keys"] if key["signs"]] == [
        key.kid for key in keys_of(path) if key.alg == "ES256"
    ]
    assert set(listed["keys"][0]) == {
        *("kid", "alg", "state", "signs", "published"),
        *("created_at", "sign_from", "sign_until", "publish_until"),
    }


def test_keys_that_cannot_be_are_listed_and_a_failure(target: str, path: Path, store: str, run: Run) -> None:
    run("keys", "rotate", target)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE jwt_asgi_key SET sealed = zeroblob(40)")
    code, printed, told = run("keys", "list", target)
    assert code == 1
    assert "active" in printed
    assert "not sealed by this release" in told
    assert json.loads(run("keys", "list", target, "--json")[1])["good"] is False


# gc


def test_what_nobody_needs_is_forgotten(store: str, path: Path, run: Run) -> None:
    clock = Clock()
    clock.now = 1_600_000_000.0

    async def fill(store: SQLiteStore) -> None:
        for _ in range(5):
            await begin(store)

    asyncio.run(on(path, fill, clock=clock))
    assert json.loads(run("gc", "--store", store, "--once", "--batch", "2", "--json")[1]) == {"forgotten": 2}
    code, printed, _ = run("gc", "--store", store, "--batch", "2")
    assert (code, printed) == (0, f"ok: 3 rows of {store} forgotten\n")
    assert run("gc", "--store", store)[1].startswith("ok: 0 rows")


def test_records_are_forgotten_when_their_age_is_told(store: str, path: Path, target: str, run: Run) -> None:
    run("keys", "rotate", target)
    assert audited(path)
    assert run("gc", "--store", store)[1].startswith("ok: 0 rows")
    assert run("gc", "--store", store, "--keep-audit", "1")[1].startswith("ok: 0 rows")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE jwt_asgi_audit SET at = at - 90000")
    assert run("gc", "--store", store, "--keep-audit", "1")[0] == 0
    assert not audited(path)
    assert run("gc", "--store", store, "--keep-audit", "0")[0] == 2


@pytest.mark.parametrize("batch", ["0", "-1", "x", "100000"])
def test_a_batch_of_no_size_is_refused(store: str, run: Run, batch: str) -> None:
    assert run("gc", "--store", store, f"--batch={batch}")[0] == 2


# audit-log


def test_a_log_that_was_changed_is_a_failure_that_says_where(store: str, path: Path, target: str, run: Run) -> None:
    run("keys", "rotate", target)
    code, printed, told = run("audit-log", "verify", "--store", store)
    assert (code, told) == (0, "")
    head = printed.split()[-1]
    found = json.loads(run("audit-log", "verify", "--store", store, "--json", "--known", head)[1])
    assert (found["good"], found["head"], found["broken_at"]) == (True, head, None)
    assert found["records"] == len(audited(path)) >= 3
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE jwt_asgi_audit SET members = '{}' WHERE seq = 2")
    code, printed, told = run("audit-log", "verify", "--store", store)
    assert code == 1
    assert "record 2" in told
    assert printed.startswith("broken: at record 2")
    found = json.loads(run("audit-log", "verify", "--store", store, "--json")[1])
    assert (found["good"], found["broken_at"]) == (False, 2)


def test_a_log_that_was_written_anew_is_not_what_was_known(store: str, path: Path, target: str, run: Run) -> None:
    run("keys", "rotate", target)
    seq = len(audited(path))
    assert run("audit-log", "verify", "--store", store, "--known", f"{seq}:{'0' * 64}")[0] == 1


@pytest.mark.parametrize("known", ["", "7", "7:abc", "x:" + "0" * 64])
def test_what_is_no_number_and_hash_is_refused(store: str, run: Run, known: str) -> None:
    code, _, told = run("audit-log", "verify", "--store", store, f"--known={known}")
    assert code == 2
    assert "NUMBER:HASH" in told


# The program.


def test_a_store_of_the_applications_own_has_no_tables_here(path: Path, run: Run) -> None:
    name = f"operated_{next(_numbers)}"
    text = SERVICE.replace('"sqlite:///{path}"', "Own()") + "\n"
    text = text.replace('print("made")', "class Own:\n    async def aclose(self): pass\n    entries = None\n")
    text = text.replace("entries = None", "async def entries(self, after, *, limit): return []")
    (path.parent / f"{name}.py").write_text(text, encoding="utf-8")
    code, _, told = run("db", "version", f"{name}:service")
    assert code == 1
    assert "Own" in told


def test_without_the_extra_the_command_says_what_to_install() -> None:
    program = "import sys; sys.modules['sqlalchemy'] = None; from jwt_asgi.cli import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, "keys", "list", "app:service"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert 'pip install "jwt-asgi[issuer]"' in done.stderr
    assert "sqlalchemy" in done.stderr
    assert "Traceback" not in done.stderr
