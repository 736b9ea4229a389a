"""The health check of a worker in a container of its own."""

from datetime import timedelta

import pytest
from memory_service.worker import heartbeat
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine


@pytest.mark.parametrize(
    ("since", "code", "words"),
    [
        (None, 1, "No worker has run"),
        (timedelta(seconds=59), 0, "59 s ago."),
        (timedelta(minutes=3), 0, "180 s ago."),
        (timedelta(minutes=4), 1, "240 s ago: too long."),
    ],
)
def test_what_it_says(since: timedelta | None, code: int, words: str) -> None:
    said = heartbeat.describe(since)
    assert said[0] == code
    assert words in said[1]


async def test_it_reads_the_queue_in_the_services_role(migrated_url: str) -> None:
    assert await heartbeat.since_last_run(migrated_url) is None
    engine = create_async_engine(migrated_url)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO pgqueuer_schedules (expression, entrypoint, last_run) "
                "VALUES ('* * * * *', 'x', now() - interval '2 minutes')"
            )
        )
    await engine.dispose()
    since = await heartbeat.since_last_run(migrated_url)
    assert since is not None
    assert timedelta(minutes=2) <= since < timedelta(minutes=3)


def test_without_a_database_url_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert heartbeat.main() == 2
    assert "DATABASE_URL is not set" in capsys.readouterr().out


def test_an_unreachable_database_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://casiopy@127.0.0.1:1/casiopy")
    assert heartbeat.main() == 1
    assert "does not answer" in capsys.readouterr().out
