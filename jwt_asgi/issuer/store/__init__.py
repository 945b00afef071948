"""Where sessions, signing keys and revocations are kept: a file of SQLite, or PostgreSQL.

schema.py              the tables, the same on both; migrations/ makes and changes them
rows.py                a session, a key, an entry <-> a row
prepared.py            a statement as a driver takes it
database.py            what is asked of a database: work in a transaction, the time, one exception
sqlite.py              a file: one thread that writes, a few that read
postgresql.py          a server: a pool for each event loop
sessions.py            rotation.py in the database: one statement, and a lock where that found nothing
revocations.py         the log that no reader misses an entry of
audit.py               the log that none can change unseen
seen.py                names that count once
keys.py                signing keys, changed by one process at a time
garbage.py             what is forgotten, and when
migrate.py             alembic, from inside
migrations/            what it does: the steps from nothing to the tables of this release
stores.py              SQLiteStore, PostgreSQLStore, open_store
"""

from jwt_asgi.issuer.store.audit import AuditCheck
from jwt_asgi.issuer.store.stores import PostgreSQLStore, SQLiteStore, open_store

__all__ = ["AuditCheck", "PostgreSQLStore", "SQLiteStore", "open_store"]
