"""Alembic migrations, one concern a file; `service.database.migrate` runs them."""
