"""Rows 73 to 84: the compact serialization and base64url."""

from __future__ import annotations

import base64

from tests.attacks.corpus.case import Case, Sign, bearer, rows
from tests.attacks.corpus.jws import (
    b64,
    claims,
    compact,
    encode,
    header,
    join,
    parts,
    raw_sign,
    sign,
    unb64,
)
from tests.attacks.corpus.keyring import RSA_1, good, rs256

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SEEN = (bearer(good()),)


def _unused_bit(segment: str) -> str:
    """The same bytes to a lenient decoder: the lowest bit of the last character is not used."""
    assert len(segment) % 4, "no unused bits here"
    return segment[:-1] + _ALPHABET[_ALPHABET.index(segment[-1]) ^ 1]


def _payload_unused_bits() -> str:
    padding = ""
    while len(encode(claims(pad=padding))) % 4 == 0:
        padding += "x"
    signed = f"{encode(header())}.{_unused_bit(encode(claims(pad=padding)))}".encode("ascii")
    return join(signed, raw_sign(RSA_1, "RS256", signed))


def _with_character(character: str) -> str:
    """A good token in whose signature this base64url character occurs."""
    while character not in parts(token := rs256())[2]:
        pass
    return token


def _standard_alphabet() -> str:
    token = _with_character("-")
    head, payload, signature = parts(token)
    return f"{head}.{payload}.{base64.b64encode(unb64(signature)).decode('ascii').rstrip('=')}"


def _plus() -> str:
    head, payload, signature = parts(_with_character("-"))
    return f"{head}.{payload}.{signature.replace('-', '+', 1)}"


def _base64() -> list[Case]:
    head, payload, signature = parts(good())
    junk = {
        "format.sig-junk": good() + "!!!!",
        "format.header-junk": f"{head[:4]}?{head[4:]}.{payload}.{signature}",
        "format.plus": _plus(),
        "format.std-alphabet": _standard_alphabet(),
    }
    space = {
        "sig-newline": good() + "\n",
        "sig-tab": good() + "\t",
        "sig-nul": good() + "\0",
        "space-inside": f"{head}.{payload}.{signature[:9]} {signature[9:]}",
        "crlf-inside": f"{head}.{payload}.{signature[:9]}\r\n {signature[9:]}",
        "payload-space": f"{head}.{payload[:8]} {payload[8:]}.{signature}",
    }
    return [
        *rows(73, Sign.U, {"format.sig-unused-bits": f"{head}.{payload}.{_unused_bit(signature)}"}),
        *rows(73, Sign.U, {"cache.unused-bits": f"{head}.{payload}.{_unused_bit(signature)}"}, before=_SEEN),
        *rows(74, Sign.M, {"format.payload-unused-bits": _payload_unused_bits()}),
        *rows(75, Sign.U, {"format.sig-padding": good() + "==", "format.sig-one-pad": good() + "="}),
        *rows(75, Sign.U, {"cache.padded": good() + "=="}, before=_SEEN),
        *rows(76, Sign.U, junk),
        *rows(76, Sign.U, {"cache.junk-after": good() + "!!!!"}, before=_SEEN),
        *rows(77, Sign.U, space, prefix="format."),
        *rows(79, Sign.U, _len_mod_4(), prefix="format.len-mod-4"),
    ]


def _len_mod_4() -> dict[str, str]:
    """Five characters are a number of bytes to no decoder: binascii.Error in CPython."""
    head, payload, signature = parts(good())
    padded = compact(header()) + b" " * (-len(compact(header())) % 3)
    signed = f"{b64(padded)}A.{encode(claims())}".encode("ascii")
    return {
        "": f"{head}.{payload}.AAAAA",
        "-header": join(signed, raw_sign(RSA_1, "RS256", signed)),
        "-payload": f"{head}.AAAAA.{signature}",
        "-one": f"{head}.{payload}.A",
    }


def _segments() -> list[Case]:
    head, payload, signature = parts(good())
    tokens = {
        "one": head,
        "two": f"{head}.{payload}",
        "four": f"{good()}.{signature}",
        "dots": "..",
        "three-dots": "...",
        "five-empty": "....",
        "leading-dot": f".{good()}",
        "trailing-dot": f"{good()}.",
        "no-header": f".{payload}.{signature}",
        "no-payload": f"{head}..{signature}",
    }
    return rows(78, Sign.U, tokens, prefix="format.")


def _odd_text() -> list[Case]:
    head, payload, signature = parts(good())
    tokens = {
        "quoted": f'"{good()}"',
        "sig-quote": f'{good()}"',
        "sig-percent": f"{good()}%3D%3D",
        "percent-dots": good().replace(".", "%2E"),
        "comma": f"{good()},x=1",
        "word": "undefined",
        "null": "null",
        "zero": "0",
    }
    ascii_token = good().encode("ascii")
    not_ascii = {
        "latin1": ascii_token + b"\xe9",
        "fullwidth-dots": good().replace(".", "\uff0e").encode("utf-8"),
        "zero-width-space": f"{head}.\u200b{payload}.{signature}".encode(),
        "ff": ascii_token + b"\xff",
        "ff-inside": ascii_token[:20] + b"\xff" + ascii_token[20:],
        "nul": b"\0" + ascii_token,
        "surrogate": ascii_token + b"\xed\xa0\x80",
        # KELVIN SIGN and its like: a letter of the alphabet once lower-cased.
        "kelvin": ascii_token + "\u212a".encode(),
        # A digit to str.isdigit() and to a careless regular expression.
        "arabic-digit": ascii_token + "\u0663".encode(),
    }
    return [
        *rows(80, Sign.U, tokens, prefix="format."),
        *rows(81, Sign.U, not_ascii, prefix="format.bytes-"),
    ]


def _json_serialization() -> list[Case]:
    head, payload, signature = parts(good())
    flattened = compact({"protected": head, "payload": payload, "signature": signature})
    general = compact({"payload": payload, "signatures": [{"protected": head, "signature": signature}]})
    forged = encode(claims(sub="canary-admin"))
    # CVE-2022-39227: JSON to one parser, compact to the other.
    mixed = f'{{"  {head}.{forged}.":"","protected":"{head}","payload":"{payload}","signature":"{signature}"}}'
    return rows(
        82,
        Sign.U,
        {"json-flattened": flattened, "json-general": general, "json-mixed": mixed},
        prefix="format.",
    )


def _huge() -> list[Case]:
    head, _, signature = parts(good())
    return [
        *rows(83, Sign.L, {"many-dots": "." * 100_000, "dots-after": good() + "." * 50_000}, prefix="format."),
        *rows(84, Sign.L, {"format.megabyte": f"{head}.{'QUFB' * 262_144}.{signature}"}),
        *rows(84, Sign.L, {"format.megabyte-signed": sign(RSA_1, header(), claims(pad="x" * 1_000_000))}),
    ]


CASES = [*_base64(), *_segments(), *_odd_text(), *_json_serialization(), *_huge()]
