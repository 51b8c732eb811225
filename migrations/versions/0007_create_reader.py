"""The role `rosetta_reader`: it may read the views of `analytics`, and nothing else.

A role belongs to the whole server, and several databases may hold a store: it is made once, without a login,
and goes with the last of them. `service.database.reader.enable` lets it log in.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CREATE = """
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rosetta_reader') THEN
    CREATE ROLE rosetta_reader NOLOGIN;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN
    NULL;  -- another database's migration was quicker
  WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'user % may not create the role rosetta_reader: let an administrator run ALTER ROLE % CREATEROLE',
      current_user, quote_ident(current_user);
END
$$
"""
DROP = """
DO $$
BEGIN
  DROP ROLE IF EXISTS rosetta_reader;
EXCEPTION
  WHEN dependent_objects_still_exist OR insufficient_privilege THEN
    NULL;  -- another database still uses it, or an administrator made it
END
$$
"""


def upgrade() -> None:
    op.execute(CREATE)
    op.execute("GRANT USAGE ON SCHEMA analytics TO rosetta_reader")
    op.execute("GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO rosetta_reader")


def downgrade() -> None:
    op.execute("REVOKE SELECT ON ALL TABLES IN SCHEMA analytics FROM rosetta_reader")
    op.execute("REVOKE USAGE ON SCHEMA analytics FROM rosetta_reader")
    op.execute(DROP)
