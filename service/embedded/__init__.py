"""The embedded servers: Postgres with pgvector and Redis from installed packages, on private sockets."""

from service.embedded.postgres import PostgresServer
from service.embedded.redis import RedisServer

__all__ = ["PostgresServer", "RedisServer"]
