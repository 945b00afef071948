"""What the properties have in common: how many examples, and arbitrary JSON."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

# With lone surrogates, which JSON can spell and UTF-8 cannot
STRINGS = st.text(st.characters(), max_size=6)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS: st.SearchStrategy[Json] = st.one_of(st.none(), st.booleans(), NUMBERS, STRINGS)
JSON: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=5,
)


def examples(count: int) -> settings:
    """So many examples, however slow the machine is.

    They are the same in every run, so that a suite which passed passes again. With `PROPERTY_EXAMPLES=20` in the
    environment there are 20 times as many, and new ones each time.
    """
    return settings(
        max_examples=count * int(os.environ.get("PROPERTY_EXAMPLES", "1")),
        derandomize="PROPERTY_EXAMPLES" not in os.environ,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
