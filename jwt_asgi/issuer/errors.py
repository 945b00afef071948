"""What the token service's parts raise: the store could not be asked."""

from __future__ import annotations

__all__ = ["StoreUnavailable"]


class StoreUnavailable(Exception):  # noqa: N818 - the public name says what is the case
    """The database cannot be asked just now, or failed while it was: 503. What was begun happened whole, or not at all.

    `retry_after` is in seconds from now. The message names the kind of failure, and no statement, value or address.
    """

    def __init__(self, detail: str, *, retry_after: float = 1.0) -> None:
        """Keep the time beside what went wrong."""
        super().__init__(f"the store cannot be asked just now: {detail}")
        self.detail = detail
        self.retry_after = retry_after
