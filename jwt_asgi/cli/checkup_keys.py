"""The checks of `doctor` on the key set: what the service takes from it, and what should not be in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from jwt_asgi._core.jwks import MAX_KEYS, VerifyKey, import_keys, parse_jwks
from jwt_asgi._core.token import decode_segment, strict_json_object
from jwt_asgi._keys.fetch import MAX_BODY_BYTES
from jwt_asgi.cli.findings import Case, Finding, Published, fault, listed, not_checked, ok, quoted, warning
from jwt_asgi.errors import JWTASGIError, KeysUnavailable

__all__ = ["KEY_CHECKS", "read_keys"]

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "priv"})  # RFC 7518 sections 6.2.2 and 6.3.2
_LEAST_RSA_BITS = 2048
_NEAR = 0.75


def read_keys(body: bytes) -> Published:
    """Read a key set as the service does, and keep what it leaves out."""
    try:
        found = strict_json_object(body, whole_text=False).get("keys")
    except ValueError:
        found = None
    members = tuple(found) if isinstance(found, list) else ()
    try:
        return Published(members, parse_jwks(body), "", len(body))
    except KeysUnavailable as error:
        return Published(members, None, error.detail, len(body))


def _no_usable_key(case: Case, published: Published) -> Finding:  # noqa: ARG001 - as all checks of the table
    expected = "one public RSA, EC or OKP key for signatures, or more"
    left_out = list(_left_out(published.members[:MAX_KEYS]))
    told = f"left out: {listed(left_out)}"
    if published.keys is not None:
        names = listed([f"{_kid(key.kid)} ({key.kty})" for key in published.keys.keys])
        return ok(f"{names}; {told}" if left_out else names, expected)
    advice = "Every token is refused until the issuer publishes a key that can be used. See each key's reason."
    all_left_out = 0 < len(left_out) == len(published.members)
    return fault(told if all_left_out else published.refusal, expected, advice)


def _left_out(members: Iterable[Any]) -> Iterator[str]:
    for place, member in enumerate(members, start=1):
        try:
            import_keys({"keys": [member]})
        except KeysUnavailable as error:
            yield f"{_name(place, member)}: {error.detail.partition(': ')[2]}"


def _not_published(case: Case, published: Published) -> Finding:
    if published.keys is None:
        return not_checked("no key can be used")
    keys, expected = published.keys, f"a key for each of {', '.join(sorted(case.algorithms))}"
    missing = [alg for alg in sorted(case.algorithms) if not keys.lookup(None, alg)]
    if not missing:
        return ok("each has one", expected)
    there = ", ".join(_algorithms(keys.keys))
    found = f"no key fits {', '.join(missing)}; the published keys fit {there}"
    if len(missing) < len(case.algorithms):
        return warning(
            found, expected, "Leave out what the issuer does not sign with, unless it is about to change over."
        )
    advice = (
        "Every token is refused. Look at `alg` in the header of a token (`jwt-asgi explain` shows it), and pin that: "
        f"one of {there}."
    )
    return fault(found, expected, advice)


def _not_pinned(case: Case, published: Published) -> Finding:
    """Not a fault: an issuer may sign other things with other keys."""
    if published.keys is None:
        return not_checked("no key can be used")
    others = [key for key in published.keys.keys if not case.algorithms & key.algorithms.keys()]
    expected = "nothing; tokens signed with other algorithms are refused"
    return ok(
        f"published, and not pinned: {', '.join(_algorithms(others))}"
        if others
        else "every key fits a pinned algorithm",
        expected,
    )


def _weak_key(case: Case, published: Published) -> Finding:  # noqa: ARG001
    expected = f"RSA keys of {_LEAST_RSA_BITS} bits or more (RFC 7518 section 3.3)"
    weak = [
        f"{_name(place, member)} has {bits} bits"
        for place, member in enumerate(published.members, start=1)
        if (bits := _rsa_bits(member)) is not None and bits < _LEAST_RSA_BITS
    ]
    advice = "The service refuses all tokens signed with it. Have the issuer make a key of 2048 bits or more."
    return warning(listed(weak), expected, advice) if weak else ok("none", expected)


def _rsa_bits(member: Any) -> int | None:  # noqa: ANN401 - a member of a stranger's JSON
    modulus = member.get("n") if isinstance(member, dict) and member.get("kty") == "RSA" else None
    if not isinstance(modulus, str) or not modulus.isascii():
        return None
    try:
        return int.from_bytes(decode_segment(modulus.encode("ascii"), "key"), "big").bit_length()
    except JWTASGIError:
        return None


def _private_key(case: Case, published: Published) -> Finding:  # noqa: ARG001
    found = _with_members(published.members, _PRIVATE_MEMBERS)
    advice = (
        "Revoke it at once: whoever has read the key set can sign any token. Have the issuer sign with a new key, "
        "withdraw this one, and restart the service or wait until it has the new set."
    )
    expected = "public keys alone (RFC 7517 section 9.2)"
    return fault(f"with its private part: {listed(found)}", expected, advice) if found else ok("none", expected)


def _symmetric_key(case: Case, published: Published) -> Finding:  # noqa: ARG001
    found = _with_members(published.members, {"k"})
    advice = (
        "Revoke it at once: it is no secret any more. This service leaves it out; any other that verifies HMAC tokens "
        "with it lets anyone in."
    )
    expected = "public keys alone (RFC 7517 section 9.2)"
    return fault(f"a secret: {listed(found)}", expected, advice) if found else ok("none", expected)


def _with_members(members: Sequence[Any], names: AbstractSet[str]) -> list[str]:
    return [
        _name(place, member)
        for place, member in enumerate(members, start=1)
        if isinstance(member, dict) and any(member.get(name) for name in names)
    ]


def _kids(case: Case, published: Published) -> Finding:  # noqa: ARG001
    if published.keys is None:
        return not_checked("no key can be used")
    expected = "a kid for each key, and no two keys with one kid"
    keys = published.keys.keys
    nameless = sum(key.kid is None for key in keys)
    pairs = {(key.kid, key.thumbprint) for key in keys if key.kid is not None}
    kids = [kid for kid, _ in pairs]
    doubled = sorted({kid for kid in kids if kids.count(kid) > 1})
    told = [
        *([f"{nameless} without a kid"] if nameless else []),
        *(f"{_kid(kid)} names several keys" for kid in doubled),
    ]
    advice = (
        "Every key that may be meant is tried, so tokens verify all the same. But a new key is noticed at once only by "
        "a kid of its own: have the issuer give each key one."
    )
    return warning(listed(told), expected, advice) if told else ok(f"{len(pairs)}, all different", expected)


def _key_count(case: Case, published: Published) -> Finding:  # noqa: ARG001
    count, size = len(published.members), published.size
    expected = f"at most {MAX_KEYS} keys in {MAX_BODY_BYTES} bytes"
    found = f"{count} key{'' if count == 1 else 's'} in {size} bytes"
    advice = (
        "Have the issuer withdraw keys that nothing is signed with any more: above the limit the whole set is refused."
    )
    if count > MAX_KEYS:
        return fault(found, expected, advice)
    near = count > _NEAR * MAX_KEYS or size > _NEAR * MAX_BODY_BYTES
    return warning(found, expected, advice) if near else ok(found, expected)


def _name(place: int, member: Any) -> str:  # noqa: ANN401 - a member of a stranger's JSON
    kid = member.get("kid") if isinstance(member, dict) else None
    return _kid(kid) if isinstance(kid, str) else f"key {place}"


def _kid(kid: str | None) -> str:
    return "no kid" if kid is None else f"kid {quoted(kid)}"


def _algorithms(keys: Iterable[VerifyKey]) -> list[str]:
    return sorted({alg for key in keys for alg in key.algorithms})


def _of_key_set(check: Callable[[Case, Published], Finding]) -> Callable[[Case], Finding]:
    def checked(case: Case) -> Finding:
        return not_checked("there is no key set") if case.published is None else check(case, case.published)

    return checked


KEY_CHECKS: Mapping[str, Callable[[Case], Finding]] = {
    "no_usable_key": _of_key_set(_no_usable_key),
    "algorithm_not_published": _of_key_set(_not_published),
    "algorithm_not_pinned": _of_key_set(_not_pinned),
    "weak_key": _of_key_set(_weak_key),
    "private_key_published": _of_key_set(_private_key),
    "symmetric_key_published": _of_key_set(_symmetric_key),
    "kid": _of_key_set(_kids),
    "key_count": _of_key_set(_key_count),
}
