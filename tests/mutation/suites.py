"""Which tests hold which module: its own file, and wider ones that are tried for what survives it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["MEASURING", "MODULES", "Suite", "suite_of"]

Suite = tuple[str, ...]

_ROOT = Path(__file__).parents[2]


def _modules_of(folder: str) -> list[str]:
    return sorted(f"{folder}/{path.name}" for path in (_ROOT / folder).glob("[a-z]*.py"))


MODULES = (
    *_modules_of("jwt_asgi/_core"),
    *_modules_of("jwt_asgi/_keys"),
    "jwt_asgi/token_cache.py",
    "jwt_asgi/verifier.py",
)
"""What is run where no module is named."""

# Fewer and faster ones come first. Tests by hypothesis are left out: they search at random, and are slow at it.
_WIDER: dict[str, Suite] = {
    "_core/access.py": ("tests/test_access.py",),
    "_keys/remote.py": (
        *("tests/keys/test_events.py", "tests/keys/test_source.py", "tests/test_verifier.py"),
        *("tests/stories/test_outage.py", "tests/stories/test_rotation.py", "tests/stories/test_flood.py"),
        *("tests/stories/test_giving_up.py", "tests/stories/test_forks.py"),
    ),
    "verifier.py": ("tests/test_token_cache.py", "tests/test_access.py", "tests/test_tenants.py"),
}

MEASURING = {
    "test_a_fetch_that_hangs_is_given_up_after_the_time_that_an_attempt_has",
    "test_a_fetch_that_will_not_be_cancelled_holds_a_request_no_longer_than_that",
    "test_a_server_that_says_nothing_for_long_is_given_up_before_the_deadline",
    "test_a_start_asks_all_required_issuers_at_once_and_is_over_in_time",
    "test_a_start_waits_for_an_issuer_that_comes_up_in_time",
    "test_after_an_idle_spell_the_first_request_waits_for_news_but_not_for_long",
    "test_no_token_within_the_limit_takes_long_to_refuse",
    "test_once_an_attempt_has_failed_stale_keys_serve_without_waiting_while_the_next_one_runs",
    "test_the_whole_exchange_has_a_deadline",
    "test_where_metadata_and_key_set_both_hang_the_attempt_ends_in_its_time",
}
"""Tests that a busy machine could fail: no mutant counts as killed by one."""


def suite_of(module: str) -> tuple[Suite, Suite]:
    """Return a module's own test files, and the wider ones."""
    inside = Path(module).relative_to("jwt_asgi")
    folder = inside.parent.name.lstrip("_")
    own = Path("tests") / folder / f"test_{inside.name}"
    wider = tuple(file for file in _WIDER.get(str(inside), ()) if Path(file).exists())
    return ((str(own),) if own.exists() else ()), wider
