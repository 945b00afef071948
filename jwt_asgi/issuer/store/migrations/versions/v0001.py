"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_ACTIVE = sa.text("state = 'active'")


def upgrade() -> None:
    """Make them, with a row for each log."""
    _sessions()
    op.create_table(
        "jwt_asgi_revocation",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(1), nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("before", sa.Double, nullable=False),
    )
    op.create_index("jwt_asgi_revocation_until", "jwt_asgi_revocation", ["until"])
    op.create_index("jwt_asgi_revocation_key", "jwt_asgi_revocation", ["key"])
    op.create_table(
        "jwt_asgi_seen",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.create_index("jwt_asgi_seen_until", "jwt_asgi_seen", ["until"])
    op.create_table(
        "jwt_asgi_key",
        sa.Column("kid", sa.String, primary_key=True),
        sa.Column("alg", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("public", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("sign_from", sa.Double),
        sa.Column("sign_until", sa.Double),
        sa.Column("publish_until", sa.Double),
    )
    op.create_index(
        "jwt_asgi_key_active", "jwt_asgi_key", ["alg"], unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE
    )
    _logs()


def _sessions() -> None:
    op.create_table(
        "jwt_asgi_session",
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("key_version", sa.SmallInteger, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("tenant", sa.String),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("audience", sa.Text, nullable=False),
        sa.Column("auth_time", sa.Double, nullable=False),
        sa.Column("acr", sa.String),
        sa.Column("amr", sa.Text, nullable=False),
        sa.Column("claims", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("client_id", sa.String, nullable=False),
        sa.Column("proof_kind", sa.String),
        sa.Column("proof_value", sa.String),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("rotated_at", sa.Double, nullable=False),
        sa.Column("confirmed_at", sa.Double),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("idle_until", sa.Double, nullable=False),
        sa.Column("absolute_until", sa.Double, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("ended_for", sa.String),
        sa.Column("collect_at", sa.Double, nullable=False),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("jwt_asgi_session_subject", "jwt_asgi_session", ["subject", "status"])
    op.create_index("jwt_asgi_session_collect_at", "jwt_asgi_session", ["collect_at"])


def _logs() -> None:
    op.create_table(
        "jwt_asgi_audit",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=False),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("members", sa.Text, nullable=False),
        sa.Column("prev_hash", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    heads = op.create_table(
        "jwt_asgi_head",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("floor_seq", sa.BigInteger, nullable=False),
        sa.Column("floor_hash", sa.LargeBinary, nullable=False),
    )
    empty = {"seq": 0, "hash": bytes(32), "floor_seq": 0, "floor_hash": bytes(32)}
    op.bulk_insert(heads, [{"name": name, **empty} for name in ("entries", "audit", "keys")])
