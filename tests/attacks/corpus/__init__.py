"""The hostile corpus: every case as data, built without the package under test or a JOSE library."""

from __future__ import annotations

from tests.attacks.corpus import (
    algorithm,
    claim_values,
    dpop,
    header,
    json_text,
    jwe_and_cache,
    keys,
    serialization,
    signature,
    time_claims,
    travel,
)
from tests.attacks.corpus.case import Case

GROUPS: dict[str, list[Case]] = {
    "header": header.CASES,
    "algorithm": algorithm.CASES,
    "key": keys.CASES,
    "signature": signature.CASES,
    "serialization": serialization.CASES,
    "json": json_text.CASES,
    "claim": claim_values.CASES,
    "time": time_claims.CASES,
    "travel": travel.CASES,
    "dpop": dpop.CASES,
    "jwe and cache": jwe_and_cache.CASES,
}
CASES: list[Case] = [case for group in GROUPS.values() for case in group]
