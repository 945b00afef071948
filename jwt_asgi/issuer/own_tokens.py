"""An access token -> its claims, if this service signed it and it has not expired; and the keys of its revocations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import floor
from typing import Any

from jwt_asgi._core.jwks import KeySet
from jwt_asgi._core.revocation import CUT_OFF_KINDS, Entry, EntryKind, key_of
from jwt_asgi._core.signature import verify_signature
from jwt_asgi._core.token import parse_token
from jwt_asgi.errors import TokenError

__all__ = ["is_revoked", "read_access_token", "revocation_keys"]

_KINDS: Mapping[EntryKind, str] = {"s": "sid", "j": "jti", "u": "sub", "c": "client_id"}


def read_access_token(token: str, keys: KeySet, *, issuer: str, now: float) -> tuple[Mapping[str, Any], str] | None:
    """Return the claims and the `kid` of a token that this service signed; None: it did not, or the token has expired.

    What a signature of ours covers is as `AccessTokens` made it, so no claim is judged but issuer and expiry.
    """
    try:
        untrusted = parse_token(token)
        # RFC 9068 section 2.1; each of ours names its key
        if untrusted.typ != "at+jwt" or untrusted.kid is None:
            return None
        verified = verify_signature(untrusted, keys.lookup(untrusted.kid, untrusted.alg) or ())
    except TokenError:
        return None
    claims = verified.claims
    if claims.get("iss") != issuer or not now < claims.get("exp", 0):
        return None
    return claims, untrusted.kid


def revocation_keys(claims: Mapping[str, Any], kid: str) -> list[bytes]:
    """Return the keys of the entries that revoke a token, if they are there."""
    named = [(kind, claims[claim]) for kind, claim in _KINDS.items() if isinstance(claims.get(claim), str)]
    return [key_of(claims["iss"], kind, value) for kind, value in [*named, ("k", kid)]]


def is_revoked(claims: Mapping[str, Any], found: Iterable[Entry] | Sequence[Entry]) -> bool:
    """Whether one of the entries with its keys covers a token."""
    return any(entry.kind.encode() not in CUT_OFF_KINDS or claims["iat"] <= floor(entry.before) for entry in found)
