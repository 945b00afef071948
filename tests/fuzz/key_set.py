"""The harness of `jwks`: a document for `parse_jwks` and for a key source, and what must hold of the keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from jwt_asgi._core.freshness import KeyCaching
from jwt_asgi._core.jwks import KeySet, VerifyKey, parse_jwks
from jwt_asgi._keys.events import KeyEvent
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.errors import KeysUnavailable, Reason
from jwt_asgi.types import FetchResponse
from tests.fuzz.door import FindingError, need
from tests.fuzz.key_reference import MOST, Reading, members_of, reading
from tests.fuzz.keys import public_jwk

GOOD = json.dumps({"keys": [public_jwk("ed-1", kid="good")]}).encode()
_SIZES = {"P-256": 64, "P-384": 96, "P-521": 132, "secp256k1": 64, "Ed25519": 64, "Ed448": 114}


class World:
    """An event loop, and an issuer that answers with what it is told to."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.body = GOOD
        self.events: list[KeyEvent] = []
        options: dict[str, Any] = {"jwks_uri": "https://issuer.example/jwks", "clock": lambda: 0.0}
        self.source = RemoteKeys(
            "https://issuer.example", fetch=self._fetch, caching=KeyCaching(), notify=self.events.append, **options
        )

    def check(self, data: bytes) -> KeySet | None:
        """Raise a FindingError where an invariant does not hold."""
        members = members_of(data)
        found = _parsed(data)
        readings = [reading(member) for member in members or ()]
        if found is None:
            plain = [known for known in readings if known is not None and known.plain]
            need(not plain, f"a good key was refused: {plain}")
        else:
            need(members is not None, "keys of a document that is no JWK Set")
            _check_keys(found, [known for known in readings if known is not None])
            need(len(found.keys) + len(found.skipped) <= len(members or ()) <= MOST, "more keys than members")
            need(all(skipped.why.isprintable() for skipped in found.skipped), "an odd text for the log")
        self.loop.run_until_complete(self._refresh(data, found))
        return found

    def close(self) -> None:
        """End the loop."""
        self.loop.close()

    async def _fetch(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        return FetchResponse(200, {}, self.body)

    async def _refresh(self, data: bytes, found: KeySet | None) -> None:
        """A source with a good set is given the document: it takes its keys, or keeps what it has."""
        source = self.source
        if source.status().kids != ("good",):
            self.body = GOOD
            await source.reload()
        self.events.clear()
        self.body = data
        failed: Exception | None = None
        try:
            await source.reload()
        except KeysUnavailable as error:
            failed = error
        except Exception as error:
            raise FindingError(f"{type(error).__name__} left the key source: {error}") from error
        need((failed is None) is (found is not None), f"the key source says otherwise: {failed}")
        need(failed is None or str(failed).isprintable(), "an odd text for the log")
        status = source.status()
        json.dumps(status.as_dict())
        if found is None:
            need(status.kids == ("good",), "a document that cannot be used took away good keys")
            need(source.lookup("good", "EdDSA"), "a good key is no more found")
        else:
            expected = tuple(key.thumbprint if key.kid is None else key.kid for key in found.keys)
            need(status.kids == expected, f"{status.kids} in the source, {expected} in the document")
        for event in self.events:
            need(event.detail.isprintable(), f"an odd text for the log: {event.detail!r}")


def _parsed(data: bytes) -> KeySet | None:
    try:
        found = parse_jwks(data)
    except KeysUnavailable as error:
        need(error.reason is Reason.KEYS_UNUSABLE, f"refused for {error.reason}")
        return None
    except Exception as error:
        raise FindingError(f"{type(error).__name__} left parse_jwks: {error}") from error
    need(found.keys, "a set without keys")
    return found


def _check_keys(found: KeySet, readings: list[Reading]) -> None:
    taken = {_of(key) for key in found.keys}
    may = {known._replace(plain=True) for known in readings}
    must = {known for known in readings if known.plain}
    need(taken <= may, f"taken, though it is no key: {taken - may}")
    need(must <= taken, f"not taken: {must - taken}")
    for key in found.keys:
        need(key.kty != "oct" and not key.key.is_private, "a key that is not public")
        for alg, size in key.algorithms.items():
            need(size == _size(key), f"a signature of {size} bytes by {alg}")
            need(key in (found.lookup(key.kid, alg) or ()), "a key that is not found by its kid")
            need(key in (found.lookup(None, alg) or ()), "a key that is not found without a kid")


def _of(key: VerifyKey) -> Reading:
    """What was taken, in the terms of the second opinion."""
    return Reading(key.kid, tuple(sorted(key.algorithms)), key.issuer, key.private, _numbers(key), plain=True)


def _numbers(key: VerifyKey) -> tuple[object, ...]:
    public: Any = key.key.public_key
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return "RSA", numbers.n, numbers.e
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        return "EC", key.key.as_dict()["crv"], point.x, point.y
    return "OKP", key.key.as_dict()["crv"], public.public_bytes_raw()


def _size(key: VerifyKey) -> int:
    """How many bytes a signature has."""
    kind, name, *_ = _numbers(key)
    return (int(str(name)).bit_length() + 7) // 8 if kind == "RSA" else _SIZES[str(name)]
