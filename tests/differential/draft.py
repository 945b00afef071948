"""One token on its way: members, then bytes, segments, a signature, text. Each step can be spoilt."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from random import Random
from typing import Literal

from tests.attacks.corpus.jws import b64
from tests.differential.keys import AUDIENCE, ISSUER, KEYS, NOW, SECRET, SIGNERS, PrivateKey, sign

Stage = Literal["members", "bytes", "segments", "signature", "text"]
STAGES: tuple[Stage, ...] = ("members", "bytes", "segments", "signature", "text")
Must = Literal["accept", "refuse", "open"]
"""What must become of a token that has this one change; `open`: whatever the classes allow."""

_ALGORITHMS = ("HS256", "HS384", "HS512", "ES256", "EdDSA", "RS256", "PS256", "ES384", "ES512")
_WEIGHTS = (44, 3, 3, 20, 20, 3, 3, 2, 2)
_AUDIENCE = f'"{AUDIENCE}"'
_AUDIENCES = (_AUDIENCE, '"https://other.example"', '"x"')
_TYPES = (None, "JWT", "at+jwt", "at+JWT", "application/at+jwt", "jwt")


def literal(value: object) -> str:
    """JSON text."""
    return json.dumps(value)


@dataclass(slots=True)
class Draft:
    """A token that is being made. `header` and `claims` are pairs of JSON texts, so that they can be anything."""

    rng: Random
    secret: bool
    """Whether the verifiers have a shared secret, or published keys; `key` may become one that they have not."""
    alg: str
    key: PrivateKey | bytes
    header: list[tuple[str, str]]
    claims: list[tuple[str, str]]
    header_bytes: bytes = b""
    claims_bytes: bytes = b""
    segments: list[bytes] = field(default_factory=list)
    signature: bytes = b""
    token: bytes = b""

    def set(self, where: list[tuple[str, str]], name: str, value: str | None) -> None:
        """Give a member another JSON text, or add it; None: leave it out."""
        key = f'"{name}"'
        for index, (present, _) in enumerate(where):
            if present == key:
                if value is None:
                    del where[index]
                else:
                    where[index] = (key, value)
                return
        if value is not None:
            where.insert(self.rng.randrange(len(where) + 1), (key, value))

    def set_header(self, name: str, value: str | None) -> None:
        """Likewise, in the header."""
        self.set(self.header, name, value)

    def set_claim(self, name: str, value: str | None) -> None:
        """Likewise, among the claims."""
        self.set(self.claims, name, value)

    def edit(self, change: Callable[[bytes], bytes]) -> None:
        """Change the bytes of the header or of the claims."""
        if self.rng.random() < 0.5:
            self.header_bytes = change(self.header_bytes)
        else:
            self.claims_bytes = change(self.claims_bytes)


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change to a draft, at its stage."""

    name: str
    stage: Stage
    must: Must
    apply: Callable[[Draft], None]
    weight: int = 5
    """How often it is drawn, beside the others."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A token, the changes that made it, what must become of it, and a good token that is its like."""

    token: bytes
    mutations: tuple[str, ...]
    must: Must
    secret: bool
    good: bytes = b""


def fresh(rng: Random) -> Draft:
    """A good token, in one of its many shapes."""
    (alg,) = rng.choices(_ALGORITHMS, _WEIGHTS)
    kid = None if alg.startswith("HS") else rng.choice(SIGNERS[alg])
    header = [("alg", alg)]
    if kid is None:
        if rng.random() < 0.3:
            header.append(("kid", f"any-{rng.randrange(100)}"))
    elif rng.random() < 0.85:
        header.append(("kid", kid))
    typ = rng.choice(_TYPES)
    if typ is not None:
        header.append(("typ", typ))
    rng.shuffle(header)
    audience = _AUDIENCE if rng.random() < 0.6 else f"[{','.join(rng.sample(_AUDIENCES, 3))}]"
    claims = [('"iss"', f'"{ISSUER}"'), ('"aud"', audience), ('"exp"', str(NOW + rng.randrange(1, 100_000)))]
    others = {'"sub"': f'"user-{rng.randrange(1000)}"', '"jti"': f'"{rng.getrandbits(64):x}"', '"client_id"': '"c"'}
    claims += [member for member in others.items() if rng.random() < 0.8]
    if rng.random() < 0.7:
        claims.append(('"iat"', str(NOW - rng.randrange(1, 10_000))))
    if rng.random() < 0.3:
        claims.append(('"nbf"', str(NOW - rng.randrange(1, 10_000))))
    if rng.random() < 0.5:
        claims.append(('"scope"', rng.choice(('"read write"', '""', '["read","write"]', '"openid"'))))
    if rng.random() < 0.3:
        rng.shuffle(claims)
    return Draft(
        rng=rng,
        secret=kid is None,
        alg=alg,
        key=SECRET if kid is None else KEYS[kid],
        header=[(f'"{name}"', f'"{value}"') for name, value in header],
        claims=claims,
    )


def _text(pairs: Sequence[tuple[str, str]]) -> bytes:
    return ("{" + ",".join([f"{name}:{value}" for name, value in pairs]) + "}").encode("utf-8", "surrogatepass")


def finish(draft: Draft, mutations: Sequence[Mutation]) -> bytes:
    """Take the draft through all stages, each with the mutations that belong there."""
    stages = {mutation.stage for mutation in mutations}

    def spoil(stage: Stage) -> None:
        if stage in stages:
            for mutation in mutations:
                if mutation.stage == stage:
                    mutation.apply(draft)

    spoil("members")
    draft.header_bytes, draft.claims_bytes = _text(draft.header), _text(draft.claims)
    spoil("bytes")
    draft.segments = [b64(draft.header_bytes).encode("ascii"), b64(draft.claims_bytes).encode("ascii")]
    spoil("segments")
    draft.signature = sign(draft.alg, draft.key, b".".join(draft.segments))
    good = b".".join([*draft.segments, b64(draft.signature).encode("ascii")])
    spoil("signature")
    draft.token = b".".join([*draft.segments, b64(draft.signature).encode("ascii")])
    spoil("text")
    return good


class Deck(list[Mutation]):
    """Mutations to draw from, by their weights."""

    def draw(self, rng: Random, count: int) -> list[Mutation]:
        """At most so many, none twice."""
        drawn = rng.choices(self, cum_weights=self.weights, k=count)
        return list({mutation.name: mutation for mutation in drawn}.values())

    @cached_property
    def weights(self) -> list[int]:
        """Added up."""
        return list(accumulate(mutation.weight for mutation in self))


def sample(seed: int, number: int, deck: Deck) -> Sample:
    """The token that these two numbers name: two in ten good, six with one mutation, two with several."""
    rng = Random((seed << 40) + number)
    draft = fresh(rng)
    chance = rng.random()
    count = 0 if chance < 0.2 else 1 if chance < 0.8 else rng.randrange(2, 4)
    chosen = deck.draw(rng, count)
    good = finish(draft, chosen)
    must: Must = "accept" if not chosen else chosen[0].must if len(chosen) == 1 else "open"
    return Sample(
        token=draft.token,
        mutations=tuple(mutation.name for mutation in chosen),
        must=must,
        secret=draft.secret,
        good=good if good != draft.token else b"",
    )
