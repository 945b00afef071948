"""Whatever is done with sessions, in whatever order: both databases do what `rotation.py` says."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from jwt_asgi.issuer import rotation
from jwt_asgi.issuer.rotation import FamilyStatus, Proof, RotationPolicy, Step
from jwt_asgi.issuer.types import Session
from tests.issuer.store.postgresql import fast_folder
from tests.issuer.store.world import AnyStore, Clock, make_session, make_store, present

POLICIES = (
    RotationPolicy(),
    RotationPolicy(idle=100.0, absolute=300.0, retries=2),
    RotationPolicy(reuse="strict", idle=1000.0),
    RotationPolicy(reuse="window", window=30.0, retries=3, idle=1000.0, absolute=1000.0),
    RotationPolicy(window=20.0, grace=0.0),
)
PROOFS: tuple[Proof, ...] = (None, ("jkt", "a"), ("jkt", "b"), ("x5t#S256", "a"))
CLIENTS = ("spa", "app")


class Sessions(RuleBasedStateMachine):
    """Sessions in a store, and beside them what the table makes of them."""

    runner: asyncio.Runner
    store: AnyStore
    clock: Clock

    made: Bundle[bytes] = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.wanted: dict[bytes, Session] = {}
        self.replayed: set[str] = set()
        self.entries_before = 0

    @initialize()
    def start(self) -> None:
        entries = self.runner.run(self.store.entries(0))
        self.entries_before = entries[-1].seq if entries else 0

    @rule(
        target=made,
        client=st.sampled_from(CLIENTS),
        proof=st.sampled_from(PROOFS),
        policy=st.sampled_from(POLICIES),
    )
    def begin(self, client: str, proof: Proof, policy: RotationPolicy) -> bytes:
        session = make_session(self.clock.now, policy=policy, client_id=client, proof=proof)
        self.runner.run(self.store.add_session(session))
        self.wanted[session.id] = session
        return session.id

    @rule(of=made, ahead=st.sampled_from([0, 0, 0, -1, -1, -2, -5, 1, 2, 2**32]), policy=st.sampled_from(POLICIES))
    def present(self, of: bytes, ahead: int, policy: RotationPolicy) -> None:
        family = self.wanted[of].family
        self._present(of, family.generation + ahead, family.client_id, family.proof, policy)

    @rule(of=made, client=st.sampled_from(CLIENTS), proof=st.sampled_from(PROOFS), ahead=st.sampled_from([0, -3]))
    def present_as_somebody(self, of: bytes, client: str, proof: Proof, ahead: int) -> None:
        self._present(of, self.wanted[of].family.generation + ahead, client, proof, POLICIES[0])

    def _present(self, of: bytes, generation: int, client: str, proof: Proof, policy: RotationPolicy) -> None:
        old = self.wanted[of]
        right = rotation.present(
            old.family, generation, client_id=client, proof=proof, policy=policy, now=self.clock.now
        )
        version = 2 if right.step in {Step.ROTATE, Step.CATCH_UP} else old.key_version
        new = replace(old, family=right.family, key_version=version)
        step, session, now = self.runner.run(
            present(self.store, of, generation, client_id=client, proof=proof, policy=policy, key_version=2)
        )
        assert (step, session, now) == (right.step, new, self.clock.now)
        self.wanted[of] = new
        if step is Step.REPLAY:
            self.replayed.add(old.sid)

    @rule(of=made, ahead=st.sampled_from([0, 0, -1, 1]))
    def confirm(self, of: bytes, ahead: int) -> None:
        old = self.wanted[of]
        right = rotation.confirmed(old.family, old.family.generation + ahead, self.clock.now)
        changed = self.runner.run(self.store.confirm(of, old.family.generation + ahead))
        assert changed == (right is not old.family)
        self.wanted[of] = replace(old, family=right)

    @rule(of=made)
    def end(self, of: bytes) -> None:
        old = self.wanted[of]
        live = old.family.is_live(self.clock.now)
        ended = self.runner.run(self.store.end(id=of, reason="test"))
        assert [session.id for session in ended] == ([of] if live else [])
        if live:
            self.wanted[of] = replace(old, family=replace(old.family, status=FamilyStatus.REVOKED))

    @rule(seconds=st.sampled_from([0.5, 5.0, 10.0, 11.0, 40.0, 120.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    def teardown(self) -> None:
        for of, wanted in self.wanted.items():
            assert self.runner.run(self.store.session(of)) == wanted

        # Each replay, and nothing else, has written an entry
        entries = self.runner.run(self.store.entries(self.entries_before))
        assert len(entries) == len(self.replayed)


@contextmanager
def machine(url: str) -> Iterator[type[Sessions]]:
    with asyncio.Runner() as runner:
        clock = Clock()
        store = make_store(url, clock)
        yield type("Machine", (Sessions,), {"runner": runner, "store": store, "clock": clock})
        runner.run(store.aclose())


def test_both_databases_do_what_the_table_says(url: str) -> None:
    with machine(url) as kind:
        run_state_machine_as_test(
            kind,
            settings=settings(
                max_examples=8,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )


def test_a_table_that_is_another_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine itself is no proof while it cannot fail."""

    async def made(path: Path) -> None:
        store = make_store(f"sqlite:///{path}")
        await store.migrate()
        await store.aclose()

    right = rotation.confirmed
    monkeypatch.setattr(rotation, "confirmed", lambda family, generation, now: right(family, generation, now + 1.0))
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        path = Path(folder) / "store.db"
        asyncio.run(made(path))
        with machine(f"sqlite:///{path}") as kind, pytest.raises(AssertionError):
            run_state_machine_as_test(
                kind, settings=settings(max_examples=50, deadline=None, database=None, phases=[Phase.generate])
            )
