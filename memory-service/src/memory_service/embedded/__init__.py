"""A PostgreSQL server with pgvector for machines without one: started from the binaries of a Python wheel.

Importing this package starts nothing; `EmbeddedPostgres(folder).start()` does.
"""

from memory_service.embedded.binaries import SUPERUSER, EmbeddedPostgresError
from memory_service.embedded.server import DATABASE, EmbeddedPostgres, Status

__all__ = ["DATABASE", "SUPERUSER", "EmbeddedPostgres", "EmbeddedPostgresError", "Status"]
