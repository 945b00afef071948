"""Mutations of base64url, of signatures, and of the token's text."""

from __future__ import annotations

import base64
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.attacks.corpus.jws import b64
from tests.differential.draft import Draft
from tests.differential.keys import AUDIENCE, ISSUER, KEYS, NOW, RSA
from tests.differential.mutation_table import mutation

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
_EC_ORDERS = {
    256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    384: int("f" * 48 + "c7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16),
    521: int("1" + "f" * 64 + "fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409", 16),
}


def _unused_bits(segment: bytes, bits: int) -> bytes:
    """The same bytes, spelled with an unused bit set; the segment itself where it has none."""
    remainder = len(segment) % 4
    if remainder in {0, 1} or segment[-1] not in _ALPHABET:
        return segment
    spare = bits % (16 if remainder == 2 else 4) or 1
    return segment[:-1] + bytes([_ALPHABET[_ALPHABET.index(segment[-1]) | spare]])


@mutation("segments")
def a_segment_has_unused_bits_and_is_signed_so(draft: Draft) -> None:
    place = draft.rng.randrange(2)
    draft.segments[place] = _unused_bits(draft.segments[place], draft.rng.randrange(1, 16))


@mutation("segments", "refuse")
def a_segment_is_padded_and_signed_so(draft: Draft) -> None:
    place = draft.rng.randrange(2)
    segment = draft.segments[place]
    draft.segments[place] = segment + (b"=" * (-len(segment) % 4) or draft.rng.choice((b"=", b"====")))


@mutation("segments", "refuse")
def a_segment_holds_junk_and_is_signed_so(draft: Draft) -> None:
    place = draft.rng.randrange(2)
    junk = draft.rng.choice(
        (b"!", b"!!!!", b"\n", b" ", b"\r\n", b"\0", b"+", b"/", b"\xe9", b"%3D", b"~", b"A", b",", b'"')
    )
    segment = draft.segments[place]
    at = draft.rng.choice((0, len(segment) // 2, len(segment)))
    draft.segments[place] = segment[:at] + junk + segment[at:]


@mutation("segments", "refuse")
def a_segment_is_empty_and_signed_so(draft: Draft) -> None:
    draft.segments[draft.rng.randrange(2)] = b""


_SIGNATURES: tuple[Callable[[bytes], bytes], ...] = (
    lambda raw: b"",
    lambda raw: raw[:1],
    lambda raw: raw[:-1],
    lambda raw: raw[1:],
    lambda raw: raw + b"\0",
    lambda raw: b"\0" + raw,
    lambda raw: raw * 2,
    lambda raw: raw[: len(raw) // 2],
    lambda raw: raw[::-1] + b"x",
    lambda raw: bytes(len(raw)),
    lambda raw: b"\xff" * len(raw),
    lambda raw: bytes(len(raw) - 1) + b"\1",
    lambda raw: b64(raw).encode(),
    lambda raw: raw.hex().encode(),
    lambda raw: bytes(byte ^ 0xFF for byte in raw),
    lambda raw: raw + b"x" * 2000,
)


@mutation("signature", "refuse")
def signature_is_spoilt(draft: Draft) -> None:
    draft.signature = draft.rng.choice(_SIGNATURES)(draft.signature)


@mutation("signature", "refuse")
def a_bit_of_the_signature_is_turned(draft: Draft) -> None:
    spoilt = bytearray(draft.signature)
    if spoilt:
        spoilt[draft.rng.randrange(len(spoilt))] ^= 1 << draft.rng.randrange(8)
    draft.signature = bytes(spoilt)


@mutation("signature", "refuse")
def signature_is_at_random(draft: Draft) -> None:
    draft.signature = draft.rng.randbytes(len(draft.signature))


def _halves(draft: Draft, size: int) -> tuple[int, int]:
    """The two numbers of a signature, which may be spoilt already."""
    return int.from_bytes(draft.signature[:size], "big"), int.from_bytes(draft.signature[size : 2 * size], "big")


@mutation("signature", "accept")
def ecdsa_signature_has_its_other_s(draft: Draft) -> None:
    key = draft.key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        r, s = _halves(draft, size)
        order = _EC_ORDERS[key.curve.key_size]
        draft.signature = r.to_bytes(size, "big") + ((order - s) % order).to_bytes(size, "big")


@mutation("signature", "refuse")
def signature_numbers_are_out_of_range(draft: Draft) -> None:
    """With some other mutation for HMAC, which has no numbers."""
    key, rng = draft.key, draft.rng
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size, order = (key.curve.key_size + 7) // 8, _EC_ORDERS[key.curve.key_size]
        r, s = _halves(draft, size)
        pairs = ((0, 0), (0, 1), (1, 0), (1, 1), (order, order), (r, 0), (0, s), (s, r), (r, r), (r, order))
        pair = rng.choice((*pairs, (r, order - 1), ((order - r) % order, s)))
        draft.signature = b"".join(number.to_bytes(size, "big") for number in pair)
        if rng.random() < 0.15:
            draft.signature = encode_dss_signature(r, s)
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        s = int.from_bytes(draft.signature[32:64], "little")
        other = rng.choice((s + _ED25519_ORDER, 0, _ED25519_ORDER, s + 2 * _ED25519_ORDER, 2**256 - 1))
        draft.signature = draft.signature[:32] + (other % 2**256).to_bytes(32, "little")
    elif isinstance(key, rsa.RSAPrivateKey):
        modulus = RSA.public_key().public_numbers().n
        number = int.from_bytes(draft.signature, "big")
        other = rng.choice((number + modulus, abs(modulus - number), 0, 1, modulus, modulus - 1, number * 256))
        draft.signature = other.to_bytes(max(256, (other.bit_length() + 7) // 8), "big")
    else:
        draft.signature = draft.signature[: rng.randrange(len(draft.signature) or 1)]


@mutation("signature", "refuse")
def claims_are_swapped_under_the_signature(draft: Draft) -> None:
    claims = f'{{"iss":"{ISSUER}","aud":"{AUDIENCE}","exp":{NOW + 999},"sub":"admin-{draft.rng.randrange(999)}"}}'
    draft.segments[1] = b64(claims.encode()).encode()


@mutation("signature", "refuse")
def header_is_swapped_under_the_signature(draft: Draft) -> None:
    alg = draft.rng.choice(("HS256", "ES256", "EdDSA", "RS256"))
    kid = draft.rng.choice(tuple(KEYS))
    draft.segments[0] = b64(f'{{"alg": "{alg}", "kid": "{kid}"}}'.encode()).encode()


@mutation("text", "refuse")
def dots_are_added_or_lost(draft: Draft) -> None:
    token = draft.token
    first, _, rest = token.partition(b".")
    draft.token = draft.rng.choice(
        (
            *(
                token + b".",
                b"." + token,
                token.replace(b".", b"..", 1),
                token.replace(b".", b""),
                token + b".x.y",
                b"..",
            ),
            *(token.rpartition(b".")[0], first, rest, token + b"." * 300, token.replace(b".", b",", 1), b"", b"."),
            *(token.replace(b".", "\uff0e".encode(), 1), token.replace(b".", b"%2E"), token + b".AA", b"...", b"...."),
        )
    )


@mutation("text", "refuse")
def signature_is_padded(draft: Draft) -> None:
    draft.token += b"=" * (-len(draft.token.rpartition(b".")[2]) % 4) or b"===="


@mutation("text")
def signature_has_unused_bits(draft: Draft) -> None:
    front, _, last = draft.token.rpartition(b".")
    draft.token = front + b"." + _unused_bits(last, draft.rng.randrange(1, 16))


@mutation("text", "refuse")
def junk_is_in_the_text(draft: Draft) -> None:
    junk = draft.rng.choice(
        (b" ", b"\n", b"\r\n", b"\t", b"\0", b"!", b"=", b"\xff", "é".encode(), b"?", b"%", b'"', b"$")
    )
    at = draft.rng.choice((0, len(draft.token) // 2, len(draft.token), draft.rng.randrange(len(draft.token) + 1)))
    draft.token = draft.token[:at] + junk + draft.token[at:]


@mutation("text")
def alphabet_is_that_of_base64(draft: Draft) -> None:
    draft.token = draft.token.translate(bytes.maketrans(b"-_", b"+/"))


@mutation("text")
def a_character_is_another(draft: Draft) -> None:
    if draft.token:
        at = draft.rng.randrange(len(draft.token))
        draft.token = draft.token[:at] + bytes([draft.rng.choice(_ALPHABET + b".=")]) + draft.token[at + 1 :]


@mutation("text", "refuse")
def text_is_wrapped(draft: Draft) -> None:
    token = draft.token
    head, _, rest = token.partition(b".")
    payload, _, signature = rest.partition(b".")
    flattened = b'{"protected":"%s","payload":"%s","signature":"%s"}' % (head, payload, signature)
    draft.token = draft.rng.choice(
        (
            *(
                b'"' + token + b'"',
                b"Bearer " + token,
                base64.b64encode(token),
                token.upper(),
                token.lower(),
                token * 2,
            ),
            *(flattened, b"[" + flattened + b"]", b"null", b"undefined", b"0", token + b"," + token, token[::-1]),
        )
    )
