"""Names that count once, as the assertions of clients: who comes first is told so, and nobody else is."""

from __future__ import annotations

from sqlalchemy import Connection, text

from jwt_asgi.issuer.store.rows import is_text

__all__ = ["remember"]

# One that was to be forgotten and is there still counts as seen: nobody has a reason to come with it again
_FIRST = text(
    "INSERT INTO jwt_asgi_seen (name, until) VALUES (:name, :until) ON CONFLICT (name) DO NOTHING RETURNING name"
)


def remember(connection: Connection, name: str, until: float) -> bool:
    """Return whether the name was there already."""
    if not is_text(name):
        raise ValueError("expected text without NUL and without half of a surrogate pair")
    return connection.execute(_FIRST, {"name": name, "until": float(until)}).first() is None
