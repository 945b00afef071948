"""The seeds hold every invariant without atheris, too."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import door, issuer, key_set, mutation
from tests.fuzz.engine import arguments, run
from tests.fuzz.packed import CORPUS, pack, seeds

ATHERIS = "atheris"


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
    inputs = changed("jwks", mutation.change_jwks, 150)
    taken = [found for data in inputs if (found := at_the_keys.check(data)) is not None]
    assert len(taken) > 5, "the changes leave no key that can be used"


def test_so_it_is_with_metadata(at_the_metadata: issuer.Metadata) -> None:
    inputs = [*seeds("metadata"), *changed("metadata", mutation.change_metadata, 150)]
    found = {uri for data in inputs if (uri := at_the_metadata.check(data)) is not None}
    assert found > {issuer.JWKS_URI, "https://issuer.example:443/a?b=c"}


def test_so_it_is_with_headers(at_the_headers: issuer.Headers) -> None:
    inputs = [*seeds("headers"), *changed("headers", mutation.change_headers, 60)]
    assert {at_the_headers.check(data) for data in inputs} > {300.0, 600.0, 3_600.0}


# --- the tool -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["authorization", "jwks", "metadata", "headers"])
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


def test_without_atheris_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, ATHERIS, None)
    with pytest.raises(SystemExit, match="pip install 'atheris"):
        run("jwks", "key_set:World", "change_jwks")


def test_new_inputs_go_to_the_folder_that_is_named_and_what_is_found_elsewhere(tmp_path: Path) -> None:
    own, folder = tmp_path / "a" / "b", tmp_path / "c"
    made = arguments("jwks", ["x", "-runs=1", str(own)], folder)
    unpacked = folder / "seeds" / "jwks"
    assert made[:2] == ["x", "-runs=1"]
    assert made[-2:] == [str(own), str(unpacked)]
    assert own.is_dir()
    assert sorted(path.read_bytes() for path in unpacked.iterdir()) == sorted(seeds("jwks"))
    assert f"-artifact_prefix={folder}/found/jwks-" in made
    assert (folder / "found").is_dir()
    assert arguments("jwks", ["x"], folder)[-2:] == [str(folder / "corpus" / "jwks"), str(unpacked)]


def test_a_reproducer_is_played_alone(tmp_path: Path) -> None:
    reproducer = tmp_path / "crash"
    reproducer.write_bytes(b"x")
    made = arguments("jwks", ["x", str(reproducer), "-artifact_prefix=/elsewhere/"], tmp_path)
    assert made[1:4] == ["-artifact_prefix=/elsewhere/", "-max_len=20000", "-timeout=25"]
    assert made[-1] == str(reproducer)
    assert not (tmp_path / "seeds").exists()
