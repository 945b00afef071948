"""Brings the tables of a database to the version of this release, by alembic."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from jwt_asgi.issuer.store.database import check_version, version_of
from jwt_asgi.issuer.store.schema import REVISIONS, VERSION_TABLE, metadata

__all__ = ["migrate"]


def migrate(connection: Connection) -> None:
    """Take the steps that are missing, in the transaction that the connection is in.

    Raises:
        ConfigurationError: the tables are of a newer version.
    """
    if version_of(connection) not in {None, *REVISIONS}:
        check_version(connection)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)

    def steps(current: str, _: MigrationContext) -> Iterable[MigrationStep]:
        return script._upgrade_revs("head", current)  # noqa: SLF001 - as alembic.command does

    with EnvironmentContext(config, script, fn=steps, destination_rev="head") as environment:
        environment.configure(connection=connection, target_metadata=metadata, version_table=VERSION_TABLE)
        environment.run_migrations()
