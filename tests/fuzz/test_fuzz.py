"""The seeds hold every invariant without atheris, too; and a package with a fault is found out by them."""

from __future__ import annotations

import base64
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc.jws import JWSRegistry

from jwt_asgi import Verifier
from jwt_asgi._core import challenge, claims, jwks, token
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.errors import Reason, TokenError
from tests.fuzz import door, key_set, mutation
from tests.fuzz.engine import arguments, run
from tests.fuzz.packed import CORPUS, pack, seeds

World = door.World | key_set.World
Patch = pytest.MonkeyPatch
Fault = Callable[[Patch], None]
ATHERIS = "atheris"


@pytest.fixture
def at_the_door() -> Iterator[door.World]:
    world = door.World()
    yield world
    world.close()


@pytest.fixture
def at_the_keys() -> Iterator[key_set.World]:
    world = key_set.World()
    yield world
    world.close()


def is_found(world: World, inputs: list[bytes], text: str) -> bool:
    """Whether one of the inputs finds what is said so."""
    for data in inputs:
        try:
            world.check(data)
        except door.FindingError as finding:
            if text in str(finding):
                return True
    return False


def changed(name: str, change: Callable[..., bytes], count: int) -> list[bytes]:
    """Seeds that were changed by chance, the same ones each time."""
    chance = random.Random(name)

    def mutate(data: bytes, most: int) -> bytes:
        raw, at = bytearray(data), chance.randrange(len(data) + 1)
        raw[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        return bytes(raw[:most])

    made: list[bytes] = []
    for data in chance.choices(seeds(name), k=count):
        for _ in range(chance.randrange(1, 4)):
            data = change(data, 20_000, chance.getrandbits(32), mutate)  # noqa: PLW2901
        made.append(data)
    return made


# --- what holds -----------------------------------------------------------------------------------------------------


def test_every_seed_of_the_door_is_answered_as_a_second_opinion_says(at_the_door: door.World) -> None:
    statuses = Counter(status for data in seeds("authorization") for status in at_the_door.check(data))
    assert set(statuses) == {200, 400, 401, 403, 503}
    assert statuses[200] > 50


def test_every_seed_of_the_key_sets_gives_the_keys_that_a_second_opinion_finds(at_the_keys: key_set.World) -> None:
    taken = [found for data in seeds("jwks") if (found := at_the_keys.check(data)) is not None]
    assert {alg for keys in taken for key in keys.keys for alg in key.algorithms} > {
        "RS256",
        "ES512",
        "ES256K",
        "EdDSA",
    }
    assert any(keys.skipped for keys in taken)


def test_so_it_is_with_seeds_that_are_changed_and_signed_anew(at_the_door: door.World) -> None:
    inputs = changed("authorization", mutation.change_authorization, 250)
    statuses = Counter(status for data in inputs for status in at_the_door.check(data))
    assert statuses[200] > 10, "the changes do not get past the decoder"
    assert statuses[401] > 50


def test_so_it_is_with_key_sets_that_are_changed(at_the_keys: key_set.World) -> None:
    inputs = changed("jwks", mutation.change_json, 150)
    taken = [found for data in inputs if (found := at_the_keys.check(data)) is not None]
    assert len(taken) > 5, "the changes leave no key that can be used"


# --- what would be noticed ------------------------------------------------------------------------------------------


def _any_signature(patch: Patch) -> None:
    patch.setattr(type(JWSRegistry.algorithms["EdDSA"]), "verify", lambda *_: True)


def _any_claims(patch: Patch) -> None:
    patch.setattr(claims, "failed_claims", lambda *_: ())


def _a_cache_that_forgets_to_look_at_the_clock(patch: Patch) -> None:
    verify, kept = Verifier.verify, dict[object, Any]()

    async def cached(self: Verifier, text: str | bytes) -> Any:
        if (self, text) not in kept:
            kept[self, text] = await verify(self, text)
        return kept[self, text]

    patch.setattr(Verifier, "verify", cached)


def _a_cache_that_is_shared_by_issuers(patch: Patch) -> None:
    verify, kept = Verifier.verify, dict[object, Any]()

    async def cached(self: Verifier, text: str | bytes) -> Any:
        if text not in kept:
            kept[text] = await verify(self, text)
        return kept[text]

    patch.setattr(Verifier, "verify", cached)


def _lax_base64(patch: Patch) -> None:
    def decode(segment: bytes, _: str) -> bytes:
        with suppress(ValueError):
            return base64.urlsafe_b64decode(segment + b"==")
        raise TokenError(Reason.TOKEN_MALFORMED)

    patch.setattr(token, "decode_segment", decode)


def _duplicate_members(patch: Patch) -> None:
    def parse(raw: bytes) -> dict[str, Any]:
        value = json.loads(raw.decode("utf-8"))
        if not isinstance(value, dict):
            raise ValueError("no object")
        return value

    patch.setattr(token, "strict_json_object", parse)


def _a_text_of_the_token_in_the_log(patch: Patch) -> None:
    def parse(text: bytes) -> Any:
        raise TokenError(Reason.TOKEN_MALFORMED, f"what is {text!r}?")

    patch.setattr("jwt_asgi.verifier.parse_token", parse)


def _a_cause_in_the_body(patch: Patch) -> None:
    original = challenge.answer_to

    def answer(error: Any, *args: Any, **options: Any) -> Any:
        made = original(error, *args, **options)
        return replace(made, body=made.body + str(error).encode())

    patch.setattr("jwt_asgi.gate.answer_to", answer)


def _an_exception(patch: Patch) -> None:
    def bearer(headers: Any, _: bytes = b"") -> Any:
        return next(value for name, value in headers if name == b"authorization").decode("ascii").split(" ")[1]

    patch.setattr("jwt_asgi.gate.bearer_token", bearer)


def _a_fetch_for_anything(patch: Patch) -> None:
    patch.setattr("jwt_asgi.verifier.check_before_fetch", lambda *_: None)


def _no_decision_told(patch: Patch) -> None:
    patch.setattr("jwt_asgi.gate.tell", lambda *_: None)


DOOR_FAULTS: dict[Fault, str] = {
    _any_signature: "200, not 401",
    _any_claims: "200, not 401",
    _a_cache_that_forgets_to_look_at_the_clock: "200, not 401",
    _a_cache_that_is_shared_by_issuers: "200, not 401",
    _lax_base64: "200, not 401",
    _duplicate_members: "200, not 401",
    _a_text_of_the_token_in_the_log: "the detail holds a part of the token",
    _a_cause_in_the_body: "says what no plain refusal says",
    _an_exception: "left the door",
    _a_fetch_for_anything: "caused a fetch",
    _no_decision_told: "0 decisions were told",
}


@pytest.mark.parametrize("fault", DOOR_FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_door_with_a_fault_is_found_out(fault: Fault, at_the_door: door.World, monkeypatch: Patch) -> None:
    fault(monkeypatch)
    assert is_found(at_the_door, seeds("authorization"), DOOR_FAULTS[fault])


def _any_algorithm(patch: Patch) -> None:
    patch.setattr(jwks, "_narrow", lambda _kty, sizes, _alg: sizes)


def _keys_for_encryption(patch: Patch) -> None:
    patch.setattr(jwks, "_check_use", lambda _: None)


def _one_bad_key_spoils_the_set(patch: Patch) -> None:
    original = jwks._import_key

    def strict(member: Any, digest: str) -> Any:
        try:
            return original(member, digest)
        except Exception as error:
            raise SystemError from error

    patch.setattr(jwks, "Exception", (), raising=False)
    patch.setattr(jwks, "_import_key", strict)


def _a_curve_less(patch: Patch) -> None:
    patch.setattr(jwks, "_CURVES", {name: curve for name, curve in jwks._CURVES.items() if name != "P-521"})


def _the_wrong_curve(patch: Patch) -> None:
    patch.setattr(jwks, "_CURVES", {**jwks._CURVES, "P-384": jwks._CURVES["P-256"]})


def _no_limit(patch: Patch) -> None:
    patch.setattr(jwks, "MAX_KEYS", 100_000)


def _what_is_at_hand_is_lost(patch: Patch) -> None:
    original = RemoteKeys._fail

    def fail(self: RemoteKeys, *args: Any) -> Any:
        self._snapshot = None
        return original(self, *args)

    patch.setattr(RemoteKeys, "_fail", fail)


KEY_FAULTS: dict[Fault, str] = {
    _any_algorithm: "taken, though it is no key",
    _keys_for_encryption: "taken, though it is no key",
    _one_bad_key_spoils_the_set: "left parse_jwks",
    _a_curve_less: "refused",
    _the_wrong_curve: "taken, though it is no key",
    _no_limit: "of a document that is no JWK Set",
    _what_is_at_hand_is_lost: "took away good keys",
}


@pytest.mark.parametrize("fault", KEY_FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_key_source_with_a_fault_is_found_out(fault: Fault, at_the_keys: key_set.World, monkeypatch: Patch) -> None:
    fault(monkeypatch)
    assert is_found(at_the_keys, seeds("jwks"), KEY_FAULTS[fault])


# --- the tool -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["authorization", "jwks"])
def test_the_seeds_are_few_and_small_and_each_is_there_once(name: str) -> None:
    text = (CORPUS / f"{name}.txt").read_text(encoding="ascii")
    assert pack(seeds(name)) == text
    assert sum(path.stat().st_size for path in CORPUS.glob("*.txt")) < 300 * 1024


def test_any_bytes_come_back_from_a_line() -> None:
    inputs = [bytes(range(256)), b"", b"\r\n\\\xff", b"\\n", b"\\x41", b"Bearer a"]
    text = pack(inputs)
    assert text.count("\n") == len(inputs)
    assert text.isascii()
    assert text.isprintable() is False or "\n" in text


def test_without_atheris_it_is_said_how_to_get_it(monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, ATHERIS, None)
    with pytest.raises(SystemExit, match="pip install atheris"):
        run("jwks", "key_set", "change_json")


def test_new_inputs_go_to_the_folder_that_is_named_and_findings_never_into_the_repository(tmp_path: Path) -> None:
    own, unpacked = tmp_path / "a" / "b", tmp_path / "seeds"
    unpacked.mkdir()
    made = arguments("jwks", ["x", "-runs=1", str(own)], unpacked)
    assert made[0] == "x"
    assert made[-2:] == [str(own), str(unpacked)]
    assert own.is_dir()
    assert len(list(unpacked.iterdir())) == len(seeds("jwks"))
    (prefix,) = [option for option in made if option.startswith("-artifact_prefix=")]
    assert Path(__file__).parents[2] not in Path(prefix.partition("=")[2]).parents


def test_a_reproducer_is_played_alone(tmp_path: Path) -> None:
    reproducer = tmp_path / "crash"
    reproducer.write_bytes(b"x")
    made = arguments("jwks", ["x", str(reproducer), "-artifact_prefix=/elsewhere/"], tmp_path)
    assert made[1:4] == ["-artifact_prefix=/elsewhere/", "-max_len=20000", "-timeout=25"]
    assert made[-1] == str(reproducer)
    assert list(tmp_path.iterdir()) == [reproducer]
