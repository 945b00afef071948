"""Revocation that reaches resource servers: what the verifying side knows of it, and how it keeps up with the issuer.

feed.py                judges tokens by what it knows, and says so when that is too old
poller.py              keeps up with the source, in whatever event loop asks
watch.py               connections that are open, and end when their token is revoked
status.py              how a feed is
source.py              what a source promises
polled.py              a table of the database, polled
stream.py              a stream of Valkey or Redis
served.py              a snapshot and what came after it, over HTTP
"""

from jwt_asgi._core.revocation import Entry, EntryKind, key_of
from jwt_asgi.revocation.feed import RevocationFeed
from jwt_asgi.revocation.polled import FromStore
from jwt_asgi.revocation.served import FromHTTP
from jwt_asgi.revocation.source import Piece, Reader, Source, SourceError
from jwt_asgi.revocation.status import RevocationStatus
from jwt_asgi.revocation.stream import FromValkey

__all__ = [
    "Entry",
    "EntryKind",
    "FromHTTP",
    "FromStore",
    "FromValkey",
    "Piece",
    "Reader",
    "RevocationFeed",
    "RevocationStatus",
    "Source",
    "SourceError",
    "key_of",
]
