"""A client that sends good tokens to a server without pause, over several connections, and notes every answer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

import anyio
import httpx
from joserfc import jws

from tests.interop.identity_provider import IdentityProvider

CONNECTIONS = 10
EACH_PER_SECOND = 15
TOKENS_OF_A_KEY = 4
REQUESTS_OF_A_CONNECTION = 50
"""Then the next one comes, which any of the workers may accept."""

_PATIENCE = 60.0
_STEP = 0.02


@dataclass(frozen=True)
class Answer:
    """What one request got; `worker` is the process that gave it, None where the middleware did not let it in."""

    kid: str
    status: int
    worker: int | None
    sent_at: float
    seconds: float
    fetches_answered: int
    fetches_failed: int


class Load:
    """Tokens of every key of a provider, taken in turn, and what became of them."""

    def __init__(self, provider: IdentityProvider, client: httpx.AsyncClient) -> None:
        """Have one token."""
        self.provider = provider
        self.provider_in_use = asyncio.Lock()
        self.answers: list[Answer] = []
        self.over = False
        self._client = client
        self._tokens: dict[str, deque[str]] = {}
        self._turns = count()
        self._add(provider.token())

    @property
    def kids(self) -> list[str]:
        """Every key that a token was signed with so far, the newest last."""
        return list(self._tokens)

    @property
    def refused(self) -> list[Answer]:
        """The answers that are not 200."""
        return [answer for answer in self.answers if answer.status != 200]

    async def rotate(self) -> str:
        """Have the provider sign with a new key, send its first token at once, and return its kid."""
        async with self.provider_in_use:
            await asyncio.to_thread(self.provider.rotate, keep=True)
            token = await asyncio.to_thread(self.provider.token)
        self._add(token)
        return (await self.send(token)).kid

    async def get_tokens(self) -> None:
        """Get a token from the provider ten times a second; while another holds the lock, the old ones go on."""
        while not self.over:
            async with self.provider_in_use:
                self._add(await asyncio.to_thread(self.provider.token))
            await asyncio.sleep(0.1)

    async def send_steadily(self, delay: float) -> None:
        """Send at a steady pace; where the server is slower than that, the requests left out are not made up for."""
        due = time.monotonic() + delay
        for number in count(1):
            await asyncio.sleep(due - time.monotonic())
            if self.over:
                return
            await self.send(self._next(), last=number % REQUESTS_OF_A_CONNECTION == 0)
            due = max(due + 1 / EACH_PER_SECOND, time.monotonic())

    async def send(self, token: str, *, last: bool = False) -> Answer:
        """Send a request, perhaps as the last of its connection, and note the answer."""
        headers = {"authorization": f"Bearer {token}"} | ({"connection": "close"} if last else {})
        sent_at = time.monotonic()
        response = await self._client.get("/", headers=headers)
        worker, answered, failed = (
            response.headers.get(name) for name in ("pid", "fetches-answered", "fetches-failed")
        )
        answer = Answer(
            kid=kid_of(token),
            status=response.status_code,
            worker=None if worker is None else int(worker),
            sent_at=sent_at,
            seconds=time.monotonic() - sent_at,
            fetches_answered=int(answered or 0),
            fetches_failed=int(failed or 0),
        )
        self.answers.append(answer)
        return answer

    async def until(self, what: str, reached: Callable[[], bool]) -> None:
        """Go on until this is so, or a request was refused: then there is nothing to wait for."""
        deadline = time.monotonic() + _PATIENCE
        while not self.refused and not reached():
            assert time.monotonic() < deadline, f"not reached within {_PATIENCE:g} s: {what}"
            await asyncio.sleep(_STEP)

    async def until_time(self, moment: float) -> None:
        """Go on until the monotonic clock says this."""
        await self.until("a moment", lambda: time.monotonic() >= moment)

    async def until_served(self, kid: str, *, workers: int, requests: int) -> None:
        """Go on until all workers have answered with this kid, and so many requests with any were made since now."""
        enough = len(self.answers) + requests
        await self.until(
            f"{requests} more requests, and {kid} served by {workers} workers",
            lambda: len(self.answers) >= enough and len(self.workers_of(kid)) == workers,
        )

    def workers_of(self, kid: str) -> Counter[int]:
        """How many requests with this kid each worker has let in."""
        return Counter(answer.worker for answer in self.answers if answer.kid == kid and answer.worker is not None)

    def latest(self) -> dict[int, Answer]:
        """The last answer of each worker."""
        return {answer.worker: answer for answer in self.answers if answer.worker is not None}

    def report(self) -> str:
        """The figures."""
        seconds = max(answer.sent_at for answer in self.answers) - min(answer.sent_at for answer in self.answers)
        times = sorted(answer.seconds for answer in self.answers)
        workers = Counter(answer.worker for answer in self.answers)
        lines = [
            f"{len(self.answers)} requests in {seconds:.1f} s, {len(self.refused)} refused; by worker {dict(workers)}",
            f"median {times[len(times) // 2] * 1000:.1f} ms, slowest {times[-1] * 1000:.1f} ms",
        ]
        for kid in self.kids:
            first: dict[int | None, float] = {}
            for answer in sorted((each for each in self.answers if each.kid == kid), key=lambda each: each.sent_at):
                first.setdefault(answer.worker, answer.seconds)
            milliseconds = ", ".join(f"{worker}: {each * 1000:.1f} ms" for worker, each in first.items())
            lines.append(f"kid {kid[:8]}: by worker {dict(self.workers_of(kid))}; the first answer of {milliseconds}")
        return "\n".join(lines)

    def _add(self, token: str) -> None:
        """Send this one too from now on; of each key the last few are kept."""
        self._tokens.setdefault(kid_of(token), deque(maxlen=TOKENS_OF_A_KEY)).append(token)

    def _next(self) -> str:
        """Every other time a token of the newest key, in between those of all keys in turn."""
        turn = next(self._turns)
        kids = self.kids
        tokens = self._tokens[kids[-1] if turn % 2 else kids[turn // 2 % len(kids)]]
        return tokens[turn % len(tokens)]


def kid_of(token: str) -> str:
    """The kid in the token's header, unverified."""
    return str(jws.extract_compact(token.encode()).headers()["kid"])


@asynccontextmanager
async def steady_load(url: str, provider: IdentityProvider) -> AsyncIterator[Load]:
    """Send until the block ends; whoever has a request under way then still waits for its answer."""
    limits = httpx.Limits(max_connections=CONNECTIONS + 2, keepalive_expiry=2)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=20, trust_env=False) as client:
        load = Load(provider, client)
        async with anyio.create_task_group() as group:
            group.start_soon(load.get_tokens)
            for number in range(CONNECTIONS):
                group.start_soon(load.send_steadily, number / CONNECTIONS / EACH_PER_SECOND)
            try:
                yield load
            finally:
                load.over = True
