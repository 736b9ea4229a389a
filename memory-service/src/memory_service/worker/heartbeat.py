"""`python -m memory_service.worker.heartbeat`: succeeds while a worker runs its every-minute job. For health checks."""

import asyncio
import sys
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from memory_service.db import Database
from memory_service.settings import Settings

# The job runs every minute; a busy machine may be late once.
OLDEST = timedelta(minutes=3)
_SINCE = text("SELECT now() - max(last_run) FROM pgqueuer_schedules")


async def since_last_run(url: str) -> timedelta | None:
    """How long ago a worker last ran a periodic job; None when none ever did."""
    database = Database(url, pool_size=1)
    try:
        async with database.unowned() as connection:
            since: timedelta | None = await connection.scalar(_SINCE)
    finally:
        await database.close()
    return since


def describe(since: timedelta | None) -> tuple[int, str]:
    """(exit code, sentence) for the answer of `since_last_run`."""
    if since is None:
        return 1, "No worker has run here yet."
    late = since > OLDEST
    return int(
        late
    ), f"The worker's last periodic job ran {since.total_seconds():.0f} s ago{': too long' if late else ''}."


def main() -> int:
    """Print how the worker is; 0 when it is alive."""
    settings = Settings()
    if settings.database_url is None:
        code, said = 2, "DATABASE_URL is not set: a worker in a process of its own is meant for a shared server."
    else:
        try:
            code, said = describe(asyncio.run(since_last_run(settings.database_url.get_secret_value())))
        except (SQLAlchemyError, OSError) as error:
            code, said = 1, f"The database does not answer: {error}"
    sys.stdout.write(f"{said}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
