"""The tables, the same on SQLite and PostgreSQL; times are in seconds since the epoch, and lists and objects are JSON.

A session is one row, however often it is refreshed. No index holds a column that a rotation changes, and half of each
page is left free, so that PostgreSQL writes the new row into the same page and touches no index (a HOT update).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

__all__ = [
    "AUDIT",
    "ENTRIES",
    "KEYS",
    "REVISIONS",
    "VERSION_TABLE",
    "audit",
    "heads",
    "keys",
    "metadata",
    "revocations",
]
__all__ += ["seen", "sessions"]

REVISIONS = ("v0001",)
"""Every version of the schema that there was, the oldest first."""
VERSION_TABLE = "jwt_asgi_schema"
"""Where alembic keeps the version: an application beside us may have an `alembic_version` of its own."""

ENTRIES, AUDIT, KEYS = "entries", "audit", "keys"
"""The rows of `heads`."""

metadata = MetaData()
_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

sessions = Table(
    "jwt_asgi_session",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("key_version", SmallInteger, nullable=False),
    Column("subject", String, nullable=False),
    Column("tenant", String),
    Column("scopes", Text, nullable=False),
    Column("audience", Text, nullable=False),
    Column("auth_time", Double, nullable=False),
    Column("acr", String),
    Column("amr", Text, nullable=False),
    Column("claims", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    # The family
    Column("client_id", String, nullable=False),
    Column("proof_kind", String),
    Column("proof_value", String),
    Column("generation", BigInteger, nullable=False),
    Column("rotated_at", Double, nullable=False),
    Column("confirmed_at", Double),
    Column("retries", Integer, nullable=False),
    Column("idle_until", Double, nullable=False),
    Column("absolute_until", Double, nullable=False),
    Column("status", SmallInteger, nullable=False),
    # Its end
    Column("ended_at", Double),
    Column("ended_for", String),
    Column("collect_at", Double, nullable=False),
    Index("jwt_asgi_session_subject", "subject", "status"),
    Index("jwt_asgi_session_collect_at", "collect_at"),
    postgresql_with={"fillfactor": 50},
)

revocations = Table(
    "jwt_asgi_revocation",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=False),
    Column("kind", String(1), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("until", Double, nullable=False),
    Column("before", Double, nullable=False),
    Index("jwt_asgi_revocation_until", "until"),
    Index("jwt_asgi_revocation_key", "key"),
)

seen = Table(
    "jwt_asgi_seen",
    metadata,
    Column("name", String, primary_key=True),
    Column("until", Double, nullable=False),
    Index("jwt_asgi_seen_until", "until"),
)
"""What must not be shown twice, as the assertions of clients."""

keys = Table(
    "jwt_asgi_key",
    metadata,
    Column("kid", String, primary_key=True),
    Column("alg", String, nullable=False),
    Column("state", String, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("public", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("sign_from", Double),
    Column("sign_until", Double),
    Column("publish_until", Double),
    Index(
        "jwt_asgi_key_active",
        "alg",
        unique=True,
        sqlite_where=text("state = 'active'"),
        postgresql_where=text("state = 'active'"),
    ),
)

audit = Table(
    "jwt_asgi_audit",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=False),
    Column("event", String, nullable=False),
    Column("at", Double, nullable=False),
    Column("members", Text, nullable=False),
    Column("prev_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

heads = Table(
    "jwt_asgi_head",
    metadata,
    Column("name", String, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("floor_seq", BigInteger, nullable=False),
    Column("floor_hash", LargeBinary, nullable=False),
)
"""Where each log stands. Whoever appends holds the row until he commits: numbers are committed in their order."""
