"""What all tables share: their metadata, and columns that many have."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def created() -> sa.Column[object]:
    """When the row was written."""
    return sa.Column(
        "created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
    )


def identity() -> sa.Column[int]:
    """A number that Postgres gives."""
    return sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True)


def model_reference(name: str = "model_id") -> sa.Column[int]:
    """A model; the row goes with it."""
    return sa.Column(name, sa.Integer, sa.ForeignKey("models.id", ondelete="CASCADE"), nullable=False)
