"""Backups that are checked when they are made, and restores that never touch the database before they have worked.

Formats: `pg_dump -Fc` (hourly, daily, and weekly on servers of others) and full base backups of the embedded server.
"""

from memory_service.backup.commands import backup_commands
from memory_service.backup.server import BackupError, DatabaseServer, database_server

__all__ = ["BackupError", "DatabaseServer", "backup_commands", "database_server"]
