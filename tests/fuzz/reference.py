"""A second opinion on a request: slow, naive, and written apart from the package. PyJWT verifies the signatures."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

from jwt.algorithms import get_default_algorithms

_TCHAR = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_B64TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
_KIND_OF_OTHERS = re.compile("(id|refresh|logout|offline)([-_]token)?", re.IGNORECASE | re.ASCII)
_LATEST = 253_402_300_799
_MOST_BYTES = 16_384
_MOST_LEVELS = 64

_FITS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "Ed25519",
    "Ed25519": "Ed25519",
}
_ALGORITHMS = get_default_algorithms() | {"Ed25519": get_default_algorithms()["EdDSA"]}


@dataclass(frozen=True, eq=False)
class PublishedKey:
    """A key that may verify. `algorithms`: None for all that fit its type."""

    kid: str | None
    kind: str
    public: Any
    algorithms: tuple[str, ...] | None = None
    issuer: str | None = None


@dataclass(frozen=True)
class Trusted:
    """What tokens of an issuer must be. With `tenants`, `issuer` holds `{tenantid}`."""

    issuer: str
    keys: tuple[PublishedKey, ...]
    audience: str
    algorithms: tuple[str, ...]
    types: tuple[str | None, ...] = (None, "jwt", "at+jwt", "application/at+jwt")
    required: tuple[str, ...] = ()
    azp: bool = True
    leeway: float = 30.0
    max_age: float | None = None
    max_lifetime: float | None = None
    tenants: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Opinion:
    """What must come of it. `sound`: all is well but what the key and the signature say."""

    status: int
    sound: bool = False
    header: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)


class _RefusedError(Exception):
    pass


def opinion(trusted: Sequence[Trusted], fields: Sequence[bytes], query: bytes, now: float) -> Opinion:
    """Say what must come of these Authorization fields."""
    if len(fields) != 1:
        return Opinion(400 if fields else 401)
    scheme, _, rest = fields[0].partition(b" ")
    if scheme.lower() != b"bearer":
        return Opinion(401 if _TCHAR.fullmatch(scheme) else 400)
    token = rest.lstrip(b" ")
    if _names_a_token(query):
        return Opinion(400)
    if len(token) > _MOST_BYTES or not _B64TOKEN.fullmatch(token):
        return Opinion(401 if len(token) > _MOST_BYTES else 400)
    try:
        trust, header, claims = _sound(trusted, token.decode("ascii"), now)
    except _RefusedError:
        return Opinion(401)
    good = _signed(trust, header, claims, token.decode("ascii"))
    return Opinion(200 if good else 401, sound=True, header=header, claims=claims)


def _names_a_token(query: bytes) -> bool:
    pairs = query.decode("latin-1").split("&")
    return any(pair and unquote_plus(pair.split("=")[0]) == "access_token" for pair in pairs)


def _sound(trusted: Sequence[Trusted], token: str, now: float) -> tuple[Trusted, dict[str, Any], dict[str, Any]]:
    header, claims = _read(token)
    _need(not {"crit", "b64"} & set(header))
    kid, typ = header.get("kid", "x"), header.get("typ", "jwt")
    _need(isinstance(kid, str) and 1 <= len(kid) <= 256)
    _need(isinstance(typ, str) and isinstance(header.get("alg"), str))
    trust = _trust(trusted, claims.get("iss"))
    _need(header["alg"] in trust.algorithms)
    _need((typ.lower() if "typ" in header else None) in trust.types)
    _need(_are_good(claims, trust, now))
    return trust, header, claims


@lru_cache(1)
def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    segments = token.split(".")
    _need(len(segments) == 3)
    raw_header, raw_claims, _ = map(_bytes, segments)
    return strict_json(raw_header), strict_json(raw_claims)


def _bytes(segment: str) -> bytes:
    _need(re.fullmatch("[A-Za-z0-9_-]*", segment) is not None and len(segment) % 4 != 1)
    raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    _need(base64.urlsafe_b64encode(raw).decode().rstrip("=") == segment)
    return raw


def strict_json(raw: bytes, *, surrogates: bool = False) -> dict[str, Any]:
    """The object; whoever allows `surrogates` takes lone ones too. Raises a ValueError."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_members)
        if not isinstance(value, dict):
            raise ValueError("no object")
        _walk(value, 1, surrogates=surrogates)
    except (ValueError, RecursionError) as error:
        raise _RefusedJsonError(str(error)) from None
    return value


class _RefusedJsonError(_RefusedError, ValueError):
    pass


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise ValueError("twice")
    return dict(pairs)


def _walk(value: object, level: int, *, surrogates: bool) -> None:
    if isinstance(value, str) and not surrogates and re.search("[\ud800-\udfff]", value):
        raise ValueError("surrogate")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("number")
    if isinstance(value, (dict, list)):
        if level > _MOST_LEVELS:
            raise ValueError("deep")
        for member in value.values() if isinstance(value, dict) else value:
            _walk(member, level + 1, surrogates=surrogates)
        for name in value if isinstance(value, dict) else ():
            _walk(name, level + 1, surrogates=surrogates)


def _trust(trusted: Sequence[Trusted], issuer: object) -> Trusted:
    for trust in trusted:
        if isinstance(issuer, str) and issuer in _names(trust):
            return trust
    raise _RefusedError


def _names(trust: Trusted) -> tuple[str, ...]:
    if trust.tenants is None:
        return (trust.issuer,)
    return tuple(trust.issuer.replace("{tenantid}", tenant) for tenant in trust.tenants)


def _are_good(claims: dict[str, Any], trust: Trusted, now: float) -> bool:
    aud, scope = claims.get("aud"), claims.get("scope", "")
    audiences = aud if isinstance(aud, list) else [aud]
    identifiers = [claims[name] for name in ("sub", "jti", "client_id") if name in claims]
    if trust.azp and claims.get("azp") is not None:
        identifiers.append(claims["azp"])
    kinds = [claims.get(name) for name in ("token_use", "typ", "type")]
    return (
        (trust.tenants is None or claims["iss"] == trust.issuer.replace("{tenantid}", str(claims.get("tid"))))
        and all(isinstance(name, str) for name in audiences)
        and trust.audience in audiences
        and "cnf" not in claims
        and not any(isinstance(kind, str) and _KIND_OF_OTHERS.fullmatch(kind) for kind in kinds)
        and all(name in claims for name in trust.required)
        and all(isinstance(text, str) and not re.search("[\0-\x1f\x7f]", text) for text in identifiers)
        and isinstance(scope, (str, list))
        and _is_in_time(claims, trust, now)
    )


def _is_in_time(claims: dict[str, Any], trust: Trusted, now: float) -> bool:
    dates = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    for date in dates.values():
        if isinstance(date, bool) or not isinstance(date, (int, float)) or not -_LATEST <= date <= _LATEST:
            return False
    if "exp" not in dates or ("iat" not in dates and (trust.max_age is not None or trust.max_lifetime is not None)):
        return False
    exp, early, late = dates["exp"], now - trust.leeway, now + trust.leeway
    iat = dates.get("iat", now)
    return bool(
        exp > early
        and dates.get("nbf", now) <= late
        and iat <= late
        and (trust.max_age is None or iat >= early - trust.max_age)
        and (trust.max_lifetime is None or exp - iat <= trust.max_lifetime)
    )


def _signed(trust: Trusted, header: dict[str, Any], claims: dict[str, Any], token: str) -> bool:
    alg, (signed, _, signature) = header["alg"], token.rpartition(".")
    raw = _bytes(signature)
    for key in trust.keys:
        if key.kind != _FITS.get(alg) or (key.algorithms is not None and alg not in key.algorithms):
            continue
        if "kid" in header and key.kid != header["kid"]:
            continue
        if key.issuer is not None and trust.tenants is not None:
            tenant = claims["iss"][len(trust.issuer.partition("{tenantid}")[0]) :].partition("/")[0]
            if key.issuer.replace("{tenantid}", tenant) != claims["iss"]:
                continue
        if _verifies(alg, signed.encode("ascii"), key, raw):
            return True
    return False


@lru_cache(4)
def _verifies(alg: str, signed: bytes, key: PublishedKey, signature: bytes) -> bool:
    return bool(_ALGORITHMS[alg].verify(signed, key.public, signature))


def _need(holds: bool) -> None:
    if not holds:
        raise _RefusedError
