"""Pure tensor code: no database, no queue."""
