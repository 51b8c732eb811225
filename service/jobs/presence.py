"""Who is at work: a worker's sweeper holds a connection, by whose name it is known."""

from __future__ import annotations

import sqlalchemy as sa

SWEEPER = "rosetta-sweeper"  # in pg_stat_activity


def workers_at_work(connection: sa.Connection) -> int:
    """How many workers are connected to this database."""
    counted = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name AND datname = current_database()"
    )
    return int(connection.execute(counted, {"name": SWEEPER}).scalar_one())
