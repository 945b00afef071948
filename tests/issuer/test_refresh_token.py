"""A refresh token says its family and generation, and nobody without the master key can make one."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi import ConfigurationError
from jwt_asgi.issuer.refresh_token import FAMILY_BYTES, MAX_GENERATION, PREFIX, Presented, RefreshTokens

MASTER = bytes(range(32))
TOKENS = RefreshTokens({1: MASTER})
FAMILY = bytes(range(100, 100 + FAMILY_BYTES))
TEXT = TOKENS.write(FAMILY, 7, 1)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

families = st.binary(min_size=FAMILY_BYTES, max_size=FAMILY_BYTES)
generations = st.integers(0, MAX_GENERATION)


@given(families, generations, st.sampled_from([1, 2, 255]))
def test_what_was_written_is_read(family: bytes, generation: int, version: int) -> None:
    tokens = RefreshTokens({1: MASTER, 2: MASTER[::-1], 255: b"x" * 40})
    assert tokens.read(tokens.write(family, generation, version)) == Presented(family, generation)


def test_the_token_of_a_generation_is_always_the_same_and_has_60_characters() -> None:
    assert TOKENS.write(FAMILY, 7, 1) == TEXT
    assert len(TEXT) == 60
    assert TEXT.startswith(PREFIX)
    assert "jrt_AQFkZWZnaGlqa2xtbm9wcXJzAAAAB" + TEXT[33:] == TEXT


def test_each_generation_family_and_master_key_has_a_mac_of_its_own() -> None:
    macs = {
        tokens.write(family, generation, 1)[-28:]
        for tokens in (TOKENS, RefreshTokens({1: MASTER + b"x"}))
        for family in (FAMILY, FAMILY[::-1])
        for generation in (0, 1)
    }
    assert len(macs) == 8


@pytest.mark.parametrize("at", range(60))
def test_no_other_character_anywhere_is_taken(at: int) -> None:
    for character in {*ALPHABET, "=", "+", "/", " ", "é"} - {TEXT[at]}:
        assert TOKENS.read(TEXT[:at] + character + TEXT[at + 1 :]) is None


@given(st.text())
def test_any_other_text_is_no_token(text: str) -> None:
    assert TOKENS.read(text) is None
    assert TOKENS.read(PREFIX + text) is None


@pytest.mark.parametrize(
    "text", ["", PREFIX, TEXT[:-1], TEXT + "A", TEXT + "=", " " + TEXT, TEXT.lower(), TEXT[4:] + "jrt_"]
)
def test_nor_is_what_is_longer_or_shorter(text: str) -> None:
    assert TOKENS.read(text) is None


def test_a_token_that_another_service_wrote_is_not_read() -> None:
    other = RefreshTokens({1: secrets.token_bytes(32)})
    assert TOKENS.read(other.write(FAMILY, 7, 1)) is None


def test_a_master_key_may_be_followed_by_another_and_be_dropped() -> None:
    both, later = RefreshTokens({1: MASTER, 2: MASTER[::-1]}), RefreshTokens({2: MASTER[::-1]})
    assert (TOKENS.current, both.current, later.current) == (1, 2, 2)
    assert both.read(TEXT) == Presented(FAMILY, 7)
    assert later.read(TEXT) is None
    assert later.read(both.write(FAMILY, 8, 2)) == Presented(FAMILY, 8)
    assert both.write(FAMILY, 8, 2) != both.write(FAMILY, 8, 1)
    with pytest.raises(KeyError):
        later.write(FAMILY, 8, 1)


@pytest.mark.parametrize(
    "masters", [{}, {0: MASTER}, {256: MASTER}, {1: MASTER[:31]}, {1: "x" * 32}, {1: MASTER, 2: b""}]
)
def test_master_keys_are_checked_and_not_shown(masters: dict[int, bytes]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RefreshTokens(masters)
    assert ": masters: expected " in str(caught.value)
    assert "xxx" not in str(caught.value)
