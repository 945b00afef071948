"""One secret, from wherever it is kept; what is sealed with it opens with it alone."""

from __future__ import annotations

import hmac
import os
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer import sealing as module
from jwt_asgi.issuer.sealing import MasterKeys, Sealing

ONE, TWO = bytes(range(32)), bytes(range(100, 140))


def text_of(version: int, key: bytes) -> str:
    return f"{version}:{b64encode(key).decode()}"


def refused(make: Any, *arguments: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        make(*arguments)
    assert caught.value.option == "master_keys"
    assert caught.value.__cause__ is None
    return caught.value.detail.removeprefix("master_keys: ")


class TestMasterKeys:
    """Where the secret comes from."""

    def test_a_new_one_is_read_back(self) -> None:
        text = MasterKeys.new()
        assert text.startswith("1:")
        assert MasterKeys.from_text(text).versions == (1,)
        assert MasterKeys.new() != text

    def test_another_version_may_be_named_as_current_until_all_processes_have_the_highest(self) -> None:
        for text in (
            f"{text_of(2, TWO)},{text_of(1, ONE)},current=1",
            f"current=1 {text_of(1, ONE)} {text_of(2, TWO)}",
        ):
            keys = MasterKeys.from_text(text)
            assert keys.current == keys.sealing().current == keys.refresh_tokens().current == 1
            sealed = keys.sealing().seal(b"content", "name")
            assert MasterKeys({1: ONE}).sealing().open(sealed, "name") == b"content"
        assert MasterKeys({1: ONE, 2: TWO}, current=2).current == 2

    @pytest.mark.parametrize("named", ["current=2", "current=", "current=x", "current=1,current=1", "current=1000"])
    def test_what_is_named_as_current_must_be_one_of_them_and_once(self, named: str) -> None:
        with pytest.raises(ConfigurationError, match="master_keys"):
            MasterKeys.from_text(f"{text_of(1, ONE)},{named}")

    def test_the_highest_version_is_the_current_one(self) -> None:
        keys = MasterKeys({1: ONE, 7: TWO})
        assert (keys.current, keys.versions) == (7, (1, 7))

    @pytest.mark.parametrize("between", [",", " ", "\n", ", \n"])
    def test_several_are_separated_by_commas_or_white_space(self, between: str) -> None:
        assert MasterKeys.from_text(between.join([text_of(2, TWO), text_of(1, ONE)]) + "\n").versions == (1, 2)

    def test_both_spellings_of_base64_are_taken_padded_or_not(self) -> None:
        key = b"\xfb\xff\xbf" * 2 + ONE
        plain = MasterKeys({1: key}).sealing().seal(b"content", "name")
        for encoded in (b64encode(key).decode(), b64encode(key, b"-_").decode(), b64encode(key).decode().rstrip("=")):
            assert MasterKeys.from_text(f"1:{encoded}").sealing().open(plain, "name") == b"content"

    @pytest.mark.parametrize("keys", [{}, {0: ONE}, {256: ONE}, {True: ONE}, {"1": ONE}, [ONE], None])
    def test_versions_are_small_numbers(self, keys: Any) -> None:
        assert "expected master keys by version, from 1 to 255" in refused(MasterKeys, keys)

    @pytest.mark.parametrize("key", [ONE[:31], "a" * 40, None])
    def test_a_key_has_32_bytes(self, key: Any) -> None:
        assert refused(MasterKeys, {3: key}) == "expected 32 random bytes or more as version 3"

    def test_32_bytes_are_enough_and_16_of_them_different(self) -> None:
        assert MasterKeys({1: bytes(range(16)) * 2}).versions == (1,)

    @pytest.mark.parametrize("key", [bytes(32), b"changeme" * 8, bytes(range(15)) * 3])
    def test_a_placeholder_is_no_key(self, key: bytes) -> None:
        assert "version 1 is no random bytes; make some: python -c" in refused(MasterKeys, {1: key})

    def test_two_versions_are_two_keys(self) -> None:
        assert refused(MasterKeys, {1: ONE, 2: ONE}) == "two versions are the same key"

    @pytest.mark.parametrize(
        ("text", "detail"),
        [
            (None, "expected text, as 1:<base64>, or several separated by commas"),
            ("1" * 65_537, "expected text, as 1:<base64>, or several separated by commas"),
            ("", "expected master keys by version, from 1 to 255, as {1: bytes}"),
            ("secret", "entry 1 has no version; expected 1:<base64>, or several separated by commas"),
            ("one:secret", "entry 1 has no version; expected 1:<base64>, or several separated by commas"),
            ("1000:secret", "entry 1 has no version; expected 1:<base64>, or several separated by commas"),
            ("²:secret", "entry 1 has no version; expected 1:<base64>, or several separated by commas"),
            (f"{text_of(1, ONE)},2:secret!", "entry 2 is not base64 behind its version"),
            ("1:sécret", "entry 1 is not base64 behind its version"),
            (f"{text_of(1, ONE)},01:{b64encode(TWO).decode()}", "version 1 is there twice"),
        ],
    )
    def test_what_is_wrong_with_a_text_is_told_without_it(self, text: Any, detail: str) -> None:
        assert refused(MasterKeys.from_text, text) == detail

    def test_they_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JWT_ASGI_MASTER_KEYS", text_of(4, ONE))
        assert MasterKeys.from_env().versions == (4,)
        monkeypatch.setenv("OTHER", text_of(5, ONE))
        assert MasterKeys.from_env("OTHER").versions == (5,)

    @pytest.mark.parametrize("value", [None, ""])
    def test_without_the_variable_it_is_told_how_to_make_one(
        self, monkeypatch: pytest.MonkeyPatch, value: str | None
    ) -> None:
        monkeypatch.delenv("JWT_ASGI_MASTER_KEYS", raising=False)
        if value is not None:
            monkeypatch.setenv("JWT_ASGI_MASTER_KEYS", value)
        assert "the environment variable JWT_ASGI_MASTER_KEYS is not set; make" in refused(MasterKeys.from_env)

    @pytest.mark.parametrize("mode", [0o600, 0o400])
    def test_they_come_from_a_file_of_their_own(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "keys"
        path.write_text(text_of(1, ONE) + "\n")
        path.chmod(mode)
        assert MasterKeys.from_file(path).versions == (1,)
        assert MasterKeys.from_file(str(path)).versions == (1,)

    @pytest.mark.skipif(os.name != "posix", reason="files have modes on POSIX alone")
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601])
    def test_not_from_a_file_that_others_may_use(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "keys"
        path.write_text(text_of(1, ONE))
        path.chmod(mode)
        expected = f"{path} has mode {mode:04o}: others may use it; expected 0600, by chmod 600"
        assert refused(MasterKeys.from_file, path) == expected

    def test_where_files_have_no_modes_none_is_asked_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "keys"
        path.write_text(text_of(1, ONE))
        path.chmod(0o644)
        monkeypatch.setattr(module, "_HAS_MODES", False)
        assert MasterKeys.from_file(path).versions == (1,)

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        assert refused(MasterKeys.from_file, path) == f"cannot read {path}: No such file or directory"

    def test_a_file_of_anything_else_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        path.write_bytes(b"\xff" * 100)
        path.chmod(0o600)
        assert "entry 1 has no version" in refused(MasterKeys.from_file, path)

    @pytest.mark.parametrize("answer", [text_of(1, ONE), {1: ONE}])
    def test_they_come_from_a_function(self, answer: str | Mapping[int, bytes]) -> None:
        asked = []

        def callback() -> str | Mapping[int, bytes]:
            asked.append(answer)
            return answer

        keys = MasterKeys.from_callback(callback)
        assert keys.versions == (1,)
        assert len(asked) == 1

    def test_what_a_function_returns_is_checked(self) -> None:
        assert "expected master keys" in refused(MasterKeys.from_callback, lambda: None)

    def test_their_repr_has_no_secret(self) -> None:
        keys = MasterKeys({2: ONE, 1: TWO})
        assert repr(keys) == "MasterKeys(versions=[1, 2])"
        assert repr(keys.sealing()) == "Sealing(versions=[1, 2])"

    def test_refresh_tokens_of_one_service_are_read_by_the_next(self) -> None:
        family = bytes(16)
        token = MasterKeys({1: ONE}).refresh_tokens().write(family, 5, 1)
        read = MasterKeys({1: ONE, 2: TWO}).refresh_tokens().read(token)
        assert read is not None
        assert (read.family, read.generation) == (family, 5)
        assert MasterKeys({1: TWO}).refresh_tokens().read(token) is None

    def test_each_use_has_a_key_of_its_own(self) -> None:
        keys = MasterKeys({1: ONE})
        derived = [keys._derived(purpose)[1] for purpose in (module._REFRESH, module._SEAL)]
        assert len({ONE, *derived}) == 3
        assert {len(key) for key in derived} == {32}

    def test_a_key_is_derived_as_rfc_5869_says(self) -> None:
        """Known from an implementation of its own: HMAC of HMAC."""
        extracted = hmac.digest(bytes(32), ONE, "sha256")
        expected = hmac.digest(extracted, b"jwt-asgi sealing 1\x01", "sha256")
        assert MasterKeys({1: ONE})._derived(module._SEAL)[1] == expected


class TestSealing:
    """What the database keeps and does not know."""

    def test_what_is_sealed_opens(self) -> None:
        sealing = MasterKeys({1: ONE}).sealing()
        sealed = sealing.seal(b"content", "name")
        assert b"content" not in sealed
        assert len(sealed) == 2 + 12 + 7 + 16
        assert sealing.open(sealed, "name") == b"content"

    def test_twice_the_same_is_not_the_same(self) -> None:
        sealing = MasterKeys({1: ONE}).sealing()
        assert sealing.seal(b"content", "name") != sealing.seal(b"content", "name")

    def test_nothing_can_be_sealed_too(self) -> None:
        sealing = MasterKeys({1: ONE}).sealing()
        assert sealing.open(sealing.seal(b"", "name"), "name") == b""

    def test_it_is_aes_gcm_under_the_derived_key(self) -> None:
        keys = MasterKeys({1: ONE})
        sealed = keys.sealing().seal(b"content", "name")
        cipher = AESGCM(keys._derived(module._SEAL)[1])
        assert cipher.decrypt(sealed[2:14], sealed[14:], b"\x01\x01name") == b"content"

    def test_a_new_version_seals_and_the_old_one_still_opens(self) -> None:
        old = MasterKeys({1: ONE}).sealing()
        new = MasterKeys({1: ONE, 2: TWO}).sealing()
        sealed = old.seal(b"content", "name")
        assert new.open(sealed, "name") == b"content"
        again = new.seal(b"content", "name")
        assert (new.is_current(sealed), new.is_current(again)) == (False, True)
        assert MasterKeys({2: TWO}).sealing().open(again, "name") == b"content"

    def test_without_its_version_it_does_not_open(self) -> None:
        sealed = MasterKeys({1: ONE}).sealing().seal(b"content", "name")
        sealing = MasterKeys({2: TWO, 3: ONE}).sealing()
        assert refused(sealing.open, sealed, "name") == "name is sealed with version 1; given are 2, 3"

    def test_with_another_key_of_the_version_it_does_not_open(self) -> None:
        sealed = MasterKeys({1: ONE}).sealing().seal(b"content", "name")
        assert refused(MasterKeys({1: TWO}).sealing().open, sealed, "name") == (
            "name does not open: version 1 is another key than the one that sealed it, or the stored row was changed"
        )

    def test_it_does_not_open_under_another_name(self) -> None:
        sealing = MasterKeys({1: ONE}).sealing()
        assert "other does not open" in refused(sealing.open, sealing.seal(b"content", "name"), "other")

    def test_no_byte_of_it_can_be_changed(self) -> None:
        sealing = MasterKeys({1: ONE, 2: TWO}).sealing()
        sealed = sealing.seal(b"content", "name")
        for place in range(len(sealed)):
            changed = bytearray(sealed)
            changed[place] ^= 3 if place == 1 else 1
            assert refused(sealing.open, bytes(changed), "name")

    @pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01\x01" + bytes(27), b"\x02\x01" + bytes(60)])
    def test_what_was_never_sealed_is_told_from_it(self, sealed: bytes) -> None:
        sealing = MasterKeys({1: ONE}).sealing()
        assert refused(sealing.open, sealed, "name") == "what is stored as name was not sealed by this release"
        assert not sealing.is_current(sealed) or sealed[:2] == b"\x01\x01"

    def test_the_newest_of_its_keys_is_current(self) -> None:
        assert Sealing({1: ONE, 9: ONE}).current == 9
