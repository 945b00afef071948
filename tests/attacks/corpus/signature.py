"""Rows 59 to 71: the signature's encoding."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.attacks.corpus.case import Case, Sign, rows
from tests.attacks.corpus.jws import (
    b64,
    claims,
    encode,
    header,
    join,
    parts,
    pkcs1_block,
    raw_sign,
    signing_input,
    unb64,
)
from tests.attacks.corpus.keyring import EC_1, ED_1, RSA_1, good, rs256

_N_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_L_ED25519 = 2**252 + 27742317777372353535851937790883648493
"""The order of the base point (RFC 8032 section 5.1)."""


def _altered(alter: Callable[[bytes], bytes]) -> str:
    head, payload, signature = parts(good())
    return f"{head}.{payload}.{b64(alter(unb64(signature)))}"


def _any() -> list[Case]:
    tokens = {
        "empty": _altered(lambda _: b""),
        "one-byte": _altered(lambda _: b"\x01"),
        "first-bit": _altered(lambda s: bytes([s[0] ^ 0x80]) + s[1:]),
        "last-bit": _altered(lambda s: s[:-1] + bytes([s[-1] ^ 1])),
        "cut": _altered(lambda s: s[:-1]),
        "longer": _altered(lambda s: s + b"\0"),
        "doubled": _altered(lambda s: s + s),
        "reversed": _altered(lambda s: s[::-1]),
        "zeros": _altered(lambda s: b"\0" * len(s)),
        "ones": _altered(lambda s: b"\xff" * len(s)),
    }
    head, _, signature = parts(good())
    swapped = {
        "other-token": f"{head}.{parts(good())[1]}.{parts(rs256(sub='canary-other'))[2]}",
        "payload-swapped": f"{head}.{encode(claims(sub='canary-admin'))}.{signature}",
    }
    return [
        *rows(59, Sign.M, tokens, prefix="sig."),
        *rows(60, Sign.T, swapped, prefix="sig."),
        *rows(71, Sign.L, {"sig.huge": _altered(lambda s: s + b"\x01" * 90_000)}),
    ]


def _ecdsa_input() -> bytes:
    return signing_input(header(alg="ES256", kid="ec-1"), claims())


def _ecdsa() -> tuple[bytes, int, int]:
    data = _ecdsa_input()
    signature = raw_sign(EC_1, "ES256", data)
    return data, int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")


def _pair(r: int, s: int, size: int = 32) -> str:
    return join(_ecdsa_input(), r.to_bytes(size, "big") + s.to_bytes(size, "big"))


def _ecdsa_numbers() -> list[Case]:
    data, r, s = _ecdsa()
    x = EC_1.public_key().public_numbers().x
    top = 2**256 - 1

    def real(first: int, second: int) -> str:
        return join(data, first.to_bytes(32, "big") + second.to_bytes(32, "big"))

    outside = {
        "zero-zero": _pair(0, 0),
        "zero-one": _pair(0, 1),
        "one-zero": _pair(1, 0),
        "one-one": _pair(1, 1),
        "zero-s": real(0, s),
        "r-zero": real(r, 0),
        "n-n": _pair(_N_P256, _N_P256),
        "max": _pair(top, top),
    }
    rearranged = {"swapped": real(s, r), "key-x": real(x, x), "r-twice": real(r, r)}
    return [
        *rows(61, Sign.M, {"sig.ecdsa-der": join(data, encode_dss_signature(r, s))}),
        *rows(62, Sign.M, outside, prefix="sig.ecdsa-"),
        *rows(63, Sign.M, rearranged, prefix="sig.ecdsa-"),
        *rows(65, Sign.ACCEPT, {"ok.ecdsa-other-s": real(r, _N_P256 - s)}),
    ]


def _ecdsa_lengths() -> list[Case]:
    data, r, s = _ecdsa()
    pair = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    tokens = {
        "63-bytes": join(data, pair[:-1]),
        "65-bytes": join(data, b"\0" + pair),
        "66-bytes": join(data, r.to_bytes(33, "big") + s.to_bytes(33, "big")),
        "32-bytes": join(data, pair[:32]),
    }
    return rows(64, Sign.M, tokens, prefix="sig.ecdsa-")


def _ed25519() -> list[Case]:
    data = signing_input(header(alg="EdDSA", kid="ed-1"), claims())
    signature = ED_1.sign(data)
    r, s = signature[:32], signature[32:]
    plus_order = (int.from_bytes(s, "little") + _L_ED25519).to_bytes(32, "little")
    tokens = {
        "zero": join(data, b"\0" * 64),
        "identity": join(data, b"\x01" + b"\0" * 63),
        "cut": join(data, signature[:-1]),
        "long": join(data, signature + b"\0"),
        "halves-swapped": join(data, s + r),
    }
    return [
        *rows(66, Sign.M, {"sig.ed25519-s-plus-l": join(data, r + plus_order)}),
        *rows(67, Sign.M, tokens, prefix="sig.ed25519-"),
    ]


def _rsa_until(wanted: Callable[[int], bool]) -> tuple[bytes, int]:
    """A signing input whose RS256 signature, as a number, is as wanted."""
    while True:
        data = signing_input(header(), claims())
        number = int.from_bytes(raw_sign(RSA_1, "RS256", data), "big")
        if wanted(number):
            return data, number


def _rsa_numbers() -> list[Case]:
    n = RSA_1.public_key().public_numbers().n
    short_data, short = _rsa_until(lambda s: s < 2**2040)
    low_data, low = _rsa_until(lambda s: s + n < 2**2048)

    def number(value: int) -> str:
        return join(low_data, value.to_bytes(256, "big"))

    return [
        *rows(
            68,
            Sign.M,
            {
                "sig.rsa-leading-zero-cut": join(short_data, short.to_bytes(255, "big")),
                "sig.rsa-leading-zero-added": join(short_data, short.to_bytes(257, "big")),
            },
        ),
        *rows(68, Sign.ACCEPT, {"ok.rsa-leading-zero": join(short_data, short.to_bytes(256, "big"))}),
        *rows(
            69,
            Sign.M,
            {
                "sig.rsa-plus-n": number(low + n),
                "sig.rsa-zero": number(0),
                "sig.rsa-one": number(1),
                "sig.rsa-n-minus-1": number(n - 1),
                "sig.rsa-n": number(n),
            },
        ),
    ]


_SHA1_INFO = bytes.fromhex("3021300906052b0e03021a05000414")


def _rsa_block(block: bytes) -> int:
    private = RSA_1.private_numbers()
    return pow(int.from_bytes(block, "big"), private.d, private.public_numbers.n)


def _rsa_padding() -> list[Case]:
    """Forged with the private key itself, so the padding alone is wrong (CVE-2006-4339)."""
    data = signing_input(header(), claims())
    info = pkcs1_block(data)[-51:]
    sha1 = _SHA1_INFO + hashlib.sha1(data, usedforsecurity=False).digest()

    def block(kind: bytes, padding: bytes, content: bytes) -> str:
        size = 256 - 3 - len(content)
        return join(data, _rsa_block(b"\0" + kind + padding * size + b"\0" + content).to_bytes(256, "big"))

    garbage = b"\0\x01" + b"\xff" * 8 + b"\0" + info
    tokens = {
        "short-padding": join(data, _rsa_block(garbage + b"\x5a" * (256 - len(garbage))).to_bytes(256, "big")),
        "zero-padding": block(b"\x01", b"\0", info),
        "type-2": block(b"\x02", b"\xff", info),
        "sha1": block(b"\x01", b"\xff", sha1),
    }
    control = {"ok.rsa-block": join(data, _rsa_block(pkcs1_block(data)).to_bytes(256, "big"))}
    return [*rows(70, Sign.T, tokens, prefix="sig.rsa-"), *rows(70, Sign.ACCEPT, control)]


CASES = [
    *_any(),
    *_ecdsa_numbers(),
    *_ecdsa_lengths(),
    *_ed25519(),
    *_rsa_numbers(),
    *_rsa_padding(),
]
