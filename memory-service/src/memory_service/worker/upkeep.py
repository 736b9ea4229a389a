"""Keeps the queue's own tables small."""

import logging

from sqlalchemy import text

from memory_service.db import Database

log = logging.getLogger(__name__)

# A week shows what went wrong over a weekend; a month shows a trend.
_PRUNE = (
    text("DELETE FROM pgqueuer_log WHERE created < now() - interval '7 days'"),
    text("DELETE FROM pgqueuer_statistics WHERE created < now() - interval '31 days'"),
)


async def prune_queue_log(database: Database) -> int:
    """Delete what the queue remembers of long finished jobs; returns the rows deleted."""
    async with database.unowned() as connection:
        pruned = sum([(await connection.execute(statement)).rowcount for statement in _PRUNE])
    if pruned:
        log.info("Deleted %d old rows of the queue's log", pruned)
    return pruned
