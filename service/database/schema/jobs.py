"""Jobs and their parts."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from service.database.schema.base import created, identity, metadata

jobs = sa.Table(
    "jobs",
    metadata,
    identity(),
    sa.Column("kind", sa.Text, nullable=False),
    # What the job is about, in words a repetition would use again: no two unfinished jobs share it.
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="queued"),
    sa.Column("parameters", JSONB, nullable=False),
    sa.Column("result", JSONB),
    sa.Column("error_code", sa.Text),
    sa.Column("error_message", sa.Text),
    # Parts that are not done yet; the one that counts it down to zero finishes the job.
    sa.Column("remaining", sa.Integer, nullable=False),
    sa.Column("started_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("finished_at", sa.TIMESTAMP(timezone=True)),
    created(),
    sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
    sa.Index(
        "uq_jobs_unfinished_key",
        "key",
        unique=True,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    ),
)

job_parts = sa.Table(
    "job_parts",
    metadata,
    sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.Text, nullable=False, server_default="queued"),
    sa.Column("payload", JSONB, nullable=False),
    sa.Column("owner", sa.Uuid),
    sa.Column("lease_until", sa.TIMESTAMP(timezone=True)),
    sa.Column("attempt", sa.SmallInteger, nullable=False, server_default="0"),
    # When the doorbell was last rung; null: never.
    sa.Column("rung_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("progress_done", sa.Integer, nullable=False, server_default="0"),
    sa.Column("progress_total", sa.Integer, nullable=False, server_default="0"),
    sa.Column("progress_note", sa.Text, nullable=False, server_default=""),
    sa.Column("started_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("finished_at", sa.TIMESTAMP(timezone=True)),
    sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
    sa.Index("ix_job_parts_unfinished", "state", "lease_until", postgresql_where=sa.text("finished_at IS NULL")),
)
