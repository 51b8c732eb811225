"""The store: schema, sessions, bulk COPY, the embedded server."""
