"""`jwt-asgi keys`: the signing keys of a token service, changed by what the running service runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence

from jwt_asgi.cli.service import Setup, done, find_setup, said, time_text
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.key_schedule import KeySchedule
from jwt_asgi.issuer.keyring import check_keys, published, signer
from jwt_asgi.issuer.signing_keys import SigningKeys
from jwt_asgi.issuer.types import KeyState, StoredKey

__all__ = ["run_list", "run_revoke", "run_rotate"]

_OK, _FAILED = 0, 1
_NONE = "there are no signing keys yet: the service makes the first when it starts"


def run_list(options: argparse.Namespace) -> int:
    """List the keys; where the schedule is known, check them."""

    async def work(setup: Setup) -> int:
        keys, now = await setup.store.keys(), await setup.store.now()
        fault = _fault(setup, keys, now)
        rows = _rows(setup, keys, now)
        if options.json:
            print(json.dumps({"good": not fault, "fault": fault or None, "now": now, "keys": rows}, indent=2))
        else:
            print(_table(keys, rows) if keys else _NONE)
        if fault:
            said(f"{setup.where}: {fault}. Start the service, which does what is due, and look again")
        return _FAILED if fault else _OK

    return done(find_setup(options), work)


def run_rotate(options: argparse.Namespace) -> int:
    """Hand over to a new key."""
    setup = find_setup(options, keys=True)
    schedule, signing = _parts(setup)
    alg = schedule.algorithms[0] if options.alg is None else options.alg
    if alg not in schedule.algorithms:
        there = ", ".join(schedule.algorithms)
        raise ConfigurationError(
            "alg", f"--alg {alg!r}: the schedule has {there}, and a key for another would not stay"
        )

    async def work(setup: Setup) -> int:
        is_first = not await _opened(setup)
        await signing.look()
        before = signing.stored
        if not is_first:
            await signing.rotate(alg=alg, unannounced=options.now, reason=options.reason)
        keys, now = signing.stored, await setup.store.now()
        changed = is_first or keys != before
        news = _next(keys, alg) + ("" if changed else ": that was decided before, and nothing was changed")
        _tell(options, [news, *_leaving(keys, alg)], changed=changed, keys=_rows(setup, keys, now))
        return _OK

    return done(setup, work)


def run_revoke(options: argparse.Namespace) -> int:
    """Take a key back."""
    setup = find_setup(options, keys=True)
    _, signing = _parts(setup)
    _ask(options, setup)

    async def work(setup: Setup) -> int:
        await _opened(setup)
        await signing.look()
        found = next((key for key in signing.stored if key.kid == options.kid), None)
        if found is None:
            there = ", ".join(key.kid for key in signing.stored)
            said(f"{setup.where}: there is no signing key {options.kid}; there are: {there}")
            return _FAILED
        changed = found.state not in {KeyState.GONE, KeyState.REVOKED}
        if changed:
            await signing.revoke(options.kid, reason=options.reason)
        keys, now = signing.stored, await setup.store.now()
        news = [
            f"{found.kid} is {KeyState.REVOKED.value}" if changed else f"{found.kid} was {found.state.value} before"
        ]
        now_signs = signer(keys, now, _algorithms(setup))
        if now_signs is not None:
            news.append(f"{now_signs.kid} signs {now_signs.alg} now; running services know of it within seconds")
        _tell(options, news, changed=changed, keys=_rows(setup, keys, now))
        return _OK

    return done(setup, work)


def _ask(options: argparse.Namespace, setup: Setup) -> None:
    """Have somebody say yes.

    Raises:
        ConfigurationError: nobody can, or he does not.
    """
    if options.yes:
        return
    what = f"revoking {options.kid} of {setup.where} makes every token that it has signed bad, and cannot be undone"
    if not sys.stdin.isatty():
        raise ConfigurationError("yes", f"{what}: add --yes, as nobody can be asked here")
    print(f"{what}. Write yes to do it: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise ConfigurationError("yes", "nothing was revoked")


def _parts(setup: Setup) -> tuple[KeySchedule, SigningKeys]:
    if setup.schedule is None or setup.keychain is None or setup.issuer is None:
        raise ConfigurationError("service", f"{setup.where} says nothing of keys")
    return setup.schedule, SigningKeys(setup.store, setup.keychain, setup.schedule, issuer=setup.issuer)


async def _opened(setup: Setup) -> list[StoredKey]:
    """Return the keys, if they open: made with other master keys, one would be nothing that the service can use."""
    keys = await setup.store.keys()
    if setup.keychain is not None:
        setup.keychain.open(published(keys, await setup.store.now()))
    return keys


def _algorithms(setup: Setup) -> Sequence[str]:
    return () if setup.schedule is None else setup.schedule.algorithms


def _fault(setup: Setup, keys: Sequence[StoredKey], now: float) -> str:
    """Return what is wrong with the keys, as far as that can be told."""
    if setup.schedule is None or not keys:
        return ""
    try:
        check_keys(keys, now, setup.schedule)
        if setup.keychain is not None:
            setup.keychain.open(published(keys, now))
    except ConfigurationError as error:
        return error.detail
    return ""


def _rows(setup: Setup, keys: Sequence[StoredKey], now: float) -> list[dict[str, object]]:
    signs = signer(keys, now, _algorithms(setup))
    shown = {key.kid for key in published(keys, now)}
    return [
        {
            "kid": key.kid,
            "alg": key.alg,
            "state": key.state.value,
            "signs": signs is not None and key.kid == signs.kid,
            "published": key.kid in shown,
            "created_at": key.created_at,
            "sign_from": key.sign_from,
            "sign_until": key.sign_until,
            "publish_until": key.publish_until,
        }
        for key in keys
    ]


def _table(keys: Sequence[StoredKey], rows: Sequence[Mapping[str, object]]) -> str:
    lines = [("KID", "ALG", "STATE", "SIGNS FROM", "SIGNS UNTIL", "PUBLISHED UNTIL")]
    for key, row in zip(keys, rows, strict=True):
        state = f"{key.state.value}, signs" if row["signs"] else key.state.value
        begin, end, gone = map(time_text, (key.sign_from, key.sign_until, key.publish_until))
        lines.append((key.kid, key.alg, state, begin, end, gone))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _next(keys: Sequence[StoredKey], alg: str) -> str:
    for key in keys:
        if key.alg == alg and key.state is KeyState.ACTIVE:
            return f"{key.kid} signs {alg} from {time_text(key.sign_from)} on"
    staged = ", ".join(key.kid for key in keys if key.alg == alg and key.state is KeyState.STAGED)
    return f"{staged} is announced, and signs {alg} when verifiers have had the time to learn of it"


def _leaving(keys: Sequence[StoredKey], alg: str) -> list[str]:
    leaving = [key for key in keys if key.alg == alg and key.state is KeyState.RETIRING]
    return [
        f"{key.kid} signs until {time_text(key.sign_until)}, and is published until {time_text(key.publish_until)}"
        for key in leaving
    ]


def _tell(options: argparse.Namespace, news: Sequence[str], **members: object) -> None:
    print(json.dumps(members, indent=2) if options.json else "\n".join(news))
