"""Every face gives the same answers: the conformance suite, and its table in the documentation."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from jwt_asgi import Decision
from jwt_asgi.instrumentation import Outcome
from jwt_asgi.types import ASGIApp
from tests.asgi import Answer, http, websocket
from tests.faces.api_django import DJANGO_ASYNC, DJANGO_SYNC
from tests.faces.api_fastapi import BEARER, MIDDLEWARE
from tests.faces.api_litestar import FACES as LITESTAR
from tests.faces.api_mcp import MCP
from tests.faces.api_plain import PLAIN
from tests.faces.api_quart import QUART
from tests.faces.api_starlette import FACES as STARLETTE
from tests.faces.conformance import CASES, CONFIGURATIONS, ISSUER, Case, Face, seen

FACES: tuple[Face, ...] = (PLAIN, MIDDLEWARE, BEARER, *STARLETTE, *LITESTAR, QUART, DJANGO_ASYNC, DJANGO_SYNC, MCP)
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"
REFUSALS = {400, 401, 403, 503}

everywhere = pytest.mark.parametrize(
    ("face", "case"),
    [
        pytest.param(face, case, id=f"{face.name}: {case.name}")
        for face in FACES
        for configuration in CONFIGURATIONS
        for case in CASES
        if case.configuration == configuration
    ],
)


class Stage(AsyncExitStack):
    """Where one application runs at a time.

    It is made once for the cases of a configuration, which follow each other: some frameworks take 100 ms for it.
    """

    _running: tuple[tuple[Face, str], ASGIApp, list[Decision]] | None = None

    async def running(self, face: Face, case: Case) -> tuple[ASGIApp, list[Decision]]:
        """The API of a face in the case's configuration, and a list of what its hooks are told from now on."""
        key = (face, case.configuration)
        if self._running is None or self._running[0] != key:
            self._running = None
            await self.aclose()
            told: list[Decision] = []
            app = await self.enter_async_context(face.build(CONFIGURATIONS[case.configuration](told)))
            self._running = (key, app, told)
        _, app, told = self._running
        told.clear()
        return app, told


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


async def answer_of(face: Face, app: ASGIApp, case: Case) -> Answer:
    """What the case gets; an accepted WebSocket counts as 200 with what it was sent first."""
    token = None if case.token is None else case.token()
    request = face.request(case)
    path = request.path
    headers = [(name, value.replace(b"{token}", ISSUER.token().encode())) for name, value in request.headers]
    if not case.websocket:
        method, body = request.method, request.body
        return await http(app, path=path, method=method, token=token, headers=headers, query=case.query, body=body)
    offered: dict[str, Any] = {"websocket.http.response": {}}
    socket = await websocket(app, path=path, token=token, headers=headers, query=case.query, extensions=offered)
    if socket.denial is not None:
        assert not socket.accepted
        return socket.denial
    assert socket.accepted, socket.messages
    text = next(message["text"] for message in socket.messages if message["type"] == "websocket.send")
    return Answer(200, [], text.encode())


@everywhere
async def test_a_request_gets_the_one_right_answer(stage: Stage, face: Face, case: Case) -> None:
    if case.name in face.without:
        assert face.without[case.name]
        return
    app, told = await stage.running(face, case)
    answer = await answer_of(face, app, case)
    if case.status == 0:
        assert answer.status not in REFUSALS
    elif case.status == 200:
        assert answer.status == 200, answer
        if case.method != "HEAD":
            # An exempt request has no token, whatever was sent
            assert face.read(answer) == seen(told[0].token if told else None)
    else:
        _check_refusal(face, case, answer)
    _check_told(face, case, told)


def _check_refusal(face: Face, case: Case, answer: Answer) -> None:
    challenge = case.early if face.names_scopes_early and case.early is not None else case.challenge
    assert (answer.status, answer.challenge) == (case.status, challenge)
    assert answer.header("cache-control") == "no-store"
    assert (answer.header("retry-after") is not None) == case.retry
    assert case.method != "HEAD" or answer.body == b""
    # Nothing of the token or the reason comes back
    assert case.reason is not None
    assert case.reason.value.encode() not in answer.body
    assert b"eyJ" not in answer.body


def _check_told(face: Face, case: Case, told: list[Decision]) -> None:
    refusals = [decision for decision in told if decision.reason is not None]
    if case.outcome is Outcome.EXEMPT:
        assert [decision.outcome for decision in told] == [Outcome.EXEMPT] * face.tells_of_exempt
        return
    if case.reason is not None:
        assert [(decision.outcome, decision.reason) for decision in refusals] == [(case.outcome, case.reason)]
        assert len(told) == 1 or not face.one_decision
        return
    assert not refusals
    assert [decision.outcome for decision in told] == [case.outcome]


# --- the table ----------------------------------------------------------------------------------------------------


def page() -> str:
    """The table, as Markdown."""
    twice = "; ".join(face.name for face in FACES if not face.one_decision)
    untold = "; ".join(face.name for face in FACES if not face.tells_of_exempt)
    lines = [
        "# Conformance of the faces",
        "",
        "One API is built with every framework, and must give the same answers in each: status, `WWW-Authenticate`,",
        "`Cache-Control`, `Retry-After`, and what hooks are told. `tests/faces/test_conformance.py` sends each of",
        f"these {len(CASES)} requests to each of the {len(FACES)} faces, and makes this page:",
        "`python -m tests.faces.test_conformance`. A number is the reason why a face has no such request, or another",
        "answer. Bodies may be of the framework's own shape, and are not compared. MCP servers are not in the table,",
        "since their rules are those of tools: see [MCP](../how-to/mcp.md).",
        "",
        "Hooks are told once of each request. These verify before they know the rule, and tell of a grant first, and",
        f"then of the refusal: {twice}. Nothing is told of a request that needs no token by: {untold}.",
        "",
        f"| Request | Answer | {' | '.join(face.name for face in FACES)} |",
        f"|---|---|{'---|' * len(FACES)}",
    ]
    notes: dict[str, int] = {}
    for case in CASES:
        cells = []
        for face in FACES:
            reason = face.without.get(case.name)
            if reason is None:
                cells.append("yes")
            else:
                cells.append(f"({notes.setdefault(reason, len(notes) + 1)})")
        answer = "passes" if case.status == 0 else f"{case.status}"
        answer += f" `{case.reason.error}`" if case.reason is not None and case.reason.error else ""
        lines.append(f"| {case.name} | {answer} | {' | '.join(cells)} |")
    lines += ["", *(f"{number}. {reason}" for reason, number in notes.items())] if notes else []
    return "\n".join(lines) + "\n"


def test_the_page_is_what_the_suite_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_case_has_a_name_of_its_own_and_every_exception_is_a_case() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 60
    for face in FACES:
        assert set(face.without) <= set(names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(json.dumps({"cases": len(CASES), "faces": len(FACES)}) + "\n")
