"""What the server does in each line of `catalogue.FAULTS`: raw bytes, so that it can be what no server would send."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import zlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any

import pytest

from jwt_asgi._keys.fetch import MAX_BODY_BYTES, HttpxFetch
from tests.attacks.corpus.jws import b64
from tests.attacks.corpus.keyring import GOOD_MEMBERS, OCT_SECRET, RSA_1, RSA_ENC, jwks_body, public_jwk
from tests.faults.world import GOOD, GOOD_SET, World, authority_in, good
from tests.keys.server import Behaviour, Request, answer, drip, reset_after, silence

Break = Callable[[World], Awaitable[None]]
HOST = "127.0.0.1"
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
HTML = b"<!doctype html><title>Log in</title>"


def script(name: str) -> Break:
    """What to do to the world."""
    return {**_TRANSPORT, **_TIME, **_STATUS, **_BODY}[name]


def names() -> list[str]:
    """Of all scripts."""
    return [*_TRANSPORT, *_TIME, *_STATUS, *_BODY]


def says(made: bytes | Behaviour) -> Break:
    """Answer every request so."""

    async def act(world: World) -> None:
        world.publish(made)

    return act


# Transport


async def _refuse(world: World) -> None:
    await world.server.stop()


async def _forget_the_name(world: World) -> None:
    # No resolver needs to be asked about a label of more than 63 characters (RFC 1035 section 2.3.4)
    world.line.url = f"https://{'a' * 64}.test/jwks"


async def _hang_up(world: World) -> None:
    world.server.unasked = b""


async def _speak_plainly(world: World) -> None:
    world.server.unasked = answer(400, b"TLS?")
    world.line.url = f"https://{HOST}:{world.server.port}/jwks"


def _under_tls(host: str = HOST, *, trusting: bool = True, **certificate: Any) -> Break:
    async def act(world: World) -> None:
        authority = authority_in(world.directory)
        await world.server.become(tls=authority.serving(host, **certificate))
        world.line.url = f"https://{HOST}:{world.server.port}/jwks"
        if trusting:
            world.line.inner = HttpxFetch(authority.trusting())

    return act


async def _with_a_client_certificate(world: World) -> None:
    await _under_tls(of_clients=True)(world)
    authority = authority_in(world.directory)
    context = authority.trusting()
    context.load_cert_chain(authority.certificate("client"))
    world.line.inner = HttpxFetch(context)


async def _lose_the_proxy(world: World) -> None:
    await world.behind_a_proxy()
    assert world.proxy is not None
    await world.proxy.stop()


def _behind_a_proxy_named(url: str) -> Break:
    async def act(world: World) -> None:
        await world.behind_a_proxy()
        world.environment.setenv("HTTPS_PROXY", url)

    return act


def _behind_a_proxy(refusal: bytes = b"") -> Break:
    async def act(world: World) -> None:
        await world.behind_a_proxy(refusal)

    return act


async def _move_to_ipv6(world: World) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error}")
    await world.server.become(host="::1")
    world.line.url = f"http://[::1]:{world.server.port}/jwks"


_TRANSPORT: dict[str, Break] = {
    "the connection is refused": _refuse,
    "the name is not known": _forget_the_name,
    "it hangs up before the request": _hang_up,
    "it hangs up after the request": says(b""),
    "a reset before the answer": says(reset_after(b"")),
    "a reset within the body": says(reset_after(answer(200, b"{", {"content-length": "9000"}))),
    "a body shorter than its length": says(answer(200, GOOD_SET[:-1], {"content-length": str(len(GOOD_SET))})),
    "a chunk cut short": says(CHUNKED + b'ff\r\n{"keys":'),
    "a chunk without a size": says(CHUNKED + b'{"keys":[]}\r\n'),
    "a garbage status line": says(b"\x00\xff 200 of sorts\r\n\r\n" + GOOD_SET),
    "a header of 200 KB": says(HEAD + b"x: " + b"x" * 200_000 + b"\r\n\r\n" + GOOD_SET),
    "a certificate of another host": _under_tls("127.0.0.2"),
    "a certificate that has expired": _under_tls(days=-1),
    "a self-signed certificate": _under_tls(self_signed=True),
    "a certificate of an unknown authority": _under_tls(trusting=False),
    "a client certificate is asked for, there is none": _under_tls(of_clients=True),
    "a client certificate is asked for, and sent": _with_a_client_certificate,
    "plain HTTP where TLS is expected": _speak_plainly,
    "the proxy is down": _lose_the_proxy,
    "the proxy answers 502": _behind_a_proxy(answer(502)),
    "the proxy asks for a password": _behind_a_proxy(answer(407, headers={"proxy-authenticate": "Basic"})),
    "the proxy's URL is nonsense": _behind_a_proxy_named("://[::1"),
    "the proxy speaks what nobody knows": _behind_a_proxy_named("gopher://127.0.0.1:9"),
    "a proxy that works": _behind_a_proxy(),
    "an address of IPv6 alone": _move_to_ipv6,
}

# Time


def _late(answered: bytes, seconds: float = 0.05) -> Behaviour:
    async def behave(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(answered)

    return behave


async def _stall(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(GOOD[:-1])
    await writer.drain()
    await silence(request, writer)


async def _drip_the_body(request: Request, writer: asyncio.StreamWriter) -> None:
    head, _, body = GOOD.partition(b"\r\n\r\n")
    writer.write(head + b"\r\n\r\n")
    await drip(body, seconds=0.02)(request, writer)


async def _hint_for_ever(_: Request, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


def _retry_after(value: str, status: int = 503) -> Break:
    return says(answer(status, headers={"retry-after": value}))


def _retry_on(delta: timedelta) -> Break:
    async def act(world: World) -> None:
        date = format_datetime(datetime.now(UTC) + delta, usegmt=True)
        world.publish(answer(503, headers={"retry-after": date}))

    return act


_TIME: dict[str, Break] = {
    "no answer": says(silence),
    "a head and then nothing": says(_stall),
    "a head of a byte now and then": says(drip(GOOD, seconds=0.02)),
    "a body of a byte now and then": says(_drip_the_body),
    "103 without end": says(_hint_for_ever),
    "a first byte that is late, but in time": says(_late(GOOD)),
    "slow, and then 500": says(_late(answer(500))),
    "503 with Retry-After 7": _retry_after("7"),
    "429 with Retry-After 7": _retry_after("7", 429),
    "503 with Retry-After 0": _retry_after("0"),
    "503 with Retry-After 1000000000": _retry_after("1000000000"),
    "503 with Retry-After of 400 digits": _retry_after("9" * 400),
    "503 with Retry-After 1e9": _retry_after("1e9"),
    "503 with Retry-After -5": _retry_after("-5"),
    "503 with Retry-After soon": _retry_after("soon"),
    "503 with Retry-After of a date in 100 s": _retry_on(timedelta(seconds=100)),
    "503 with Retry-After of a date gone by": _retry_on(timedelta(days=-1)),
    "503 with Retry-After of a date in a year": _retry_on(timedelta(days=365)),
}

# Status


def _html(status: int) -> Break:
    return says(answer(status, HTML, {"content-type": "text/html"}))


def _moved(status: int, location: str = "{elsewhere}") -> Break:
    async def act(world: World) -> None:
        places = {"elsewhere": world.elsewhere.url("/jwks"), "here": world.server.url()}
        world.publish(answer(status, GOOD_SET, {"location": location.format(**places)}))

    return act


_STATUS: dict[str, Break] = {
    **{str(status): says(answer(status)) for status in (500, 502, 503, 504, 429, 404, 410, 204)},
    **{f"{status} with the key set": says(answer(status, GOOD_SET)) for status in (500, 206)},
    **{f"{status} with HTML": _html(status) for status in (401, 403)},
    **{f"{status} to another host": _moved(status) for status in (301, 302, 307, 308)},
    "304 that nobody asked for": says(answer(304)),
    "302 to the cloud's metadata": _moved(302, "http://169.254.169.254/latest/meta-data/"),
    "302 to the same host": _moved(302, "{here}/elsewhere"),
    "302 to itself": _moved(302, "{here}/jwks"),
    "302 to a file": _moved(302, "file:///etc/passwd"),
    "302 to gopher": _moved(302, "gopher://127.0.0.1:9/_keys"),
    "103 and then 200": says(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + GOOD),
    "100 and then 200": says(b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD),
}

# Body


def _with_member(literal: bytes) -> bytes:
    return GOOD_SET[:-1] + b',"x":' + literal + b"}"


def _typed(content_type: str) -> Break:
    return says(good(GOOD_SET, {"content-type": content_type}))


def _coded(body: bytes, coding: str = "gzip") -> bytes:
    return good(body, {"content-encoding": coding})


@cache
def _bomb() -> bytes:
    # A level of 1 is quick, and 100 MB of blanks still come to less than the limit
    compressed = gzip.compress(GOOD_SET + b" " * 100_000_000, 1)
    assert len(compressed) < MAX_BODY_BYTES
    return _coded(compressed)


async def _drop_the_bomb(world: World) -> None:
    world.publish(_bomb())


def _keys(count: int) -> bytes:
    (first, *_), rest = GOOD_MEMBERS, public_jwk(RSA_1)
    return good(json.dumps({"keys": [first, *({**rest, "kid": str(n)} for n in range(count - 1))]}).encode())


def _many_members() -> bytes:
    return good(json.dumps({"keys": [*GOOD_MEMBERS, *({"kty": "RSA"} for _ in range(20_000))]}).encode())


def _chunked(body: bytes) -> bytes:
    half = len(body) // 2
    return CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:], b""))


async def _blanks(_: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"content-length: 50000000\r\n\r\n")
    for _sent in range(1000):
        writer.write(b" " * 50_000)
        await writer.drain()


_TEXTS = {
    "empty": b"",
    "not JSON": b"{'keys': []}",
    "an array": b"[]",
    "null": b"null",
    "a string": b'"keys"',
    "an empty object": b"{}",
    "keys of null": b'{"keys":null}',
    "keys of an object": b'{"keys":{"rsa-1":{}}}',
    "keys of a string": b'{"keys":"rsa-1"}',
    "no key": b'{"keys":[]}',
    "keys of odd members alone": b'{"keys":[null,1,"rsa-1",[],{},{"kty":1},{"kty":"RSA","n":1,"e":[]}]}',
    "a symmetric key alone": jwks_body({"kty": "oct", "k": b64(OCT_SECRET), "kid": "rsa-1"}),
    "a key for encryption alone": jwks_body(public_jwk(RSA_ENC, kid="rsa-1", use="enc")),
    "100 000 brackets": _with_member(b"[" * 100_000 + b"]" * 100_000),
    "100 000 brackets that are never closed": b"[" * 100_000,
    "a number of 6000 digits": _with_member(b"9" * 6000),
    "UTF-16": GOOD_SET.decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD_SET,
    "bad UTF-8": _with_member(b'"\xff\xfe"'),
    "keys named twice": GOOD_SET[:-1] + b',"keys":[]}',
    "NaN": _with_member(b"NaN"),
    "more behind the end": GOOD_SET + b"}",
}
_BODY: dict[str, Break] = {
    **{name: says(good(text)) for name, text in _TEXTS.items()},
    "HTML": says(answer(200, HTML, {"content-type": "text/html"})),
    "5 MB": says(good(GOOD_SET + b" " * 5_000_000)),
    "50 MB that are sent": says(_blanks),
    "a gzip bomb of 100 MB": _drop_the_bomb,
    "gzip that is none": says(_coded(GOOD_SET)),
    "gzip cut short": says(_coded(gzip.compress(GOOD_SET)[:-9])),
    "br": says(_coded(GOOD_SET, "br")),
    "300 keys": says(_keys(300)),
    "20 000 keys": says(_many_members()),
    "a kid of 1 MB": says(good(jwks_body(GOOD_MEMBERS[0], public_jwk(RSA_1, kid="k" * 1_000_000)))),
    "256 keys": says(_keys(256)),
    "gzip that nobody asked for": says(_coded(gzip.compress(GOOD_SET))),
    "deflate that nobody asked for": says(_coded(zlib.compress(GOOD_SET), "deflate")),
    "in chunks": says(_chunked(GOOD_SET)),
    "without a length": says(HEAD + b"connection: close\r\n\r\n" + GOOD_SET),
    "text/html that is JSON": _typed("text/html"),
    "text/plain of another charset": _typed("text/plain; charset=utf-16"),
    "application/jwk-set+json": _typed("application/jwk-set+json"),
}
