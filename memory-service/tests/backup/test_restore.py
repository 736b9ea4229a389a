"""Backup, loss, restore: on a real embedded server, through the commands a person types."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pyrage
import pytest
from click.testing import CliRunner, Result
from memory_service.backup import DatabaseServer, backup_commands, making
from memory_service.backup.making import make_backup
from memory_service.backup.restoring import row_counts
from memory_service.backup.server import BackupError, embedded_server, server_at
from memory_service.embedded import EmbeddedPostgres
from memory_service.embedded.claim import exclusive
from sqlalchemy.engine import make_url

Casiopy = Callable[..., Result]


def _counts(home: Path) -> dict[str, int]:
    with EmbeddedPostgres(home / "postgres") as server:
        return row_counts(embedded_server(server))


def _lose_everything(home: Path) -> None:
    with EmbeddedPostgres(home / "postgres") as server:
        server.psql("DROP DATABASE casiopy", database="postgres")


def _only(home: Path, kind: str) -> Path:
    (path,) = (path for path in (home / "backups" / kind).iterdir() if path.suffix != ".sha256")
    return path


@pytest.mark.parametrize(("kind", "suffix"), [("daily", ".dump"), ("weekly", ".tar")])
def test_what_was_lost_comes_back(home: Path, casiopy: Casiopy, kind: str, suffix: str) -> None:
    before = _counts(home)
    assert before["core_memory"] == 25
    said = casiopy("backup", kind).output
    path = _only(home, kind)
    assert path.suffix == suffix
    assert "not encrypted" in said
    assert f"./restore_backup.sh {path}" in said
    assert path.stat().st_mode & 0o777 == 0o600
    subprocess.run(["sha256sum", "--check", "--status", f"{path.name}.sha256"], cwd=path.parent, check=True)

    _lose_everything(home)
    assert _counts(home) == {}
    assert "core_memory" in casiopy("restore", path).output
    assert _counts(home) == before
    with EmbeddedPostgres(home / "postgres") as server:
        databases = server.psql("SELECT datname FROM pg_database ORDER BY 1").split()
        assert databases == ["casiopy", "postgres", "template0", "template1"], "nothing is left behind"
        assert server.psql("SET ROLE casiopy_app; SELECT count(*) FROM core_memory") == "0", "rows stay their owner's"
        refusal = "SET ROLE casiopy_app; SET app.owner_id = 'local'; DELETE FROM core_memory"
        with pytest.raises(RuntimeError, match=r"(?i)immutable"):
            server.psql(refusal)
    assert sorted(part.name for part in home.iterdir()) == ["backups", "logs", "postgres"]


def test_a_dump_restores_on_a_machine_that_never_had_a_database(home: Path, casiopy: Casiopy) -> None:
    casiopy("backup", "daily")
    path = _only(home, "daily")
    before = _counts(home)
    shutil.rmtree(home / "postgres")
    casiopy("restore", path)
    assert _counts(home) == before


@pytest.mark.parametrize("kind", ["daily", "weekly"])
def test_a_database_with_content_is_replaced_only_with_yes(home: Path, casiopy: Casiopy, kind: str) -> None:
    casiopy("backup", kind)
    path = _only(home, kind)
    with EmbeddedPostgres(home / "postgres") as server:
        server.psql("INSERT INTO owners (id) VALUES ('later')")
    later = _counts(home)
    refused = casiopy("restore", path, expect=1).output
    assert "is not empty" in refused
    assert "--yes" in refused
    assert _counts(home) == later
    casiopy("restore", path, "--yes")
    assert _counts(home)["owners"] == later["owners"] - 1


def test_a_database_in_use_is_left_alone(home: Path, casiopy: Casiopy) -> None:
    casiopy("backup", "daily")
    with EmbeddedPostgres(home / "postgres") as server:
        psql = [str(server.binaries.program("psql")), "-X", "-q", "-A", "-t"]
        service = subprocess.Popen(
            psql,
            env=server.psql_env() | {"PGAPPNAME": "casiopy"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert service.stdin is not None
        assert service.stdout is not None
        service.stdin.write("SELECT 'connected';\n")
        service.stdin.flush()
        assert service.stdout.readline() == "connected\n"
        before = row_counts(embedded_server(server))
        refused = casiopy("restore", _only(home, "daily"), "--yes", expect=1).output
        assert "is in use (1 connections: casiopy)" in refused
        assert "Stop the memory service" in refused
        assert row_counts(embedded_server(server)) == before
        service.communicate("")


def test_a_base_backup_does_not_replace_a_server_another_process_holds(home: Path, casiopy: Casiopy) -> None:
    casiopy("backup", "weekly")
    with EmbeddedPostgres(home / "postgres") as held:
        refused = casiopy("restore", _only(home, "weekly"), "--yes", expect=1).output
        assert "is in use by another process: stop the service" in refused
        assert held.psql("SELECT count(*) FROM core_memory") == "25"


def _damage(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * 64)


@pytest.mark.parametrize("kind", ["daily", "weekly"])
def test_a_damaged_backup_is_refused_with_and_without_its_checksum(home: Path, casiopy: Casiopy, kind: str) -> None:
    casiopy("backup", kind)
    path = _only(home, kind)
    before = _counts(home)
    _damage(path)
    assert "is damaged: its SHA-256" in casiopy("restore", path, "--yes", expect=1).output
    assert "is damaged" in casiopy("backup", "check", expect=1).output
    path.with_name(f"{path.name}.sha256").unlink()
    refused = casiopy("restore", path, "--yes", expect=1).output
    assert "Traceback" not in refused
    assert _counts(home) == before


def test_a_truncated_dump_is_refused(home: Path, casiopy: Casiopy) -> None:
    casiopy("backup", "daily")
    whole, torn = _only(home, "daily").read_bytes(), home / "torn.dump"
    before = _counts(home)
    for length in (0, 10, len(whole) // 2, len(whole) - 100):
        torn.write_bytes(whole[:length])
        assert "pg_restore failed" in casiopy("restore", torn, "--yes", expect=1).output, length
    assert _counts(home) == before


def test_a_wrong_path_names_what_is_there(home: Path, casiopy: Casiopy) -> None:
    casiopy("backup", "daily")
    path = _only(home, "daily")
    said = casiopy("restore", path.with_name("memory_daily_20200101_000000.dump"), expect=1).output
    assert "There is no backup" in said
    assert path.name in said
    assert "There is no backup" in casiopy("restore", home / "nowhere" / "x.dump", expect=1).output


@pytest.mark.parametrize("kind", ["daily", "weekly"])
def test_a_rehearsal_counts_rows_and_touches_nothing(home: Path, casiopy: Casiopy, kind: str) -> None:
    casiopy("backup", kind)
    with EmbeddedPostgres(home / "postgres") as server:
        server.psql("INSERT INTO owners (id) VALUES ('later')")
        said = casiopy("backup", "rehearse").output
        assert "can be restored. Your database was not touched." in said
        assert "core_memory" in said
        assert server.psql("SELECT count(*) FROM owners WHERE id = 'later'") == "1"
        assert "rehearsal" not in server.psql("SELECT datname FROM pg_database")
    assert not (home / "postgres.scratch").exists()


def test_an_encrypted_backup_opens_only_with_its_key(
    home: Path, casiopy: Casiopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    for name, key in (("right", right), ("wrong", wrong)):
        (home / name).write_text(f"# created: today\n# public key: {key.to_public()}\n{key}\n")
    monkeypatch.setenv("BACKUP_RECIPIENT", str(right.to_public()))
    for kind, suffix in (("daily", ".dump.age"), ("weekly", ".tar.age")):
        said = casiopy("backup", kind).output
        assert "encrypted" in said
        assert "not encrypted" not in said
        path = _only(home, kind)
        assert path.name.endswith(suffix)
        assert path.read_bytes().startswith(b"age-encryption.org/v1")
        assert "pass --identity" in casiopy("restore", path, "--yes", expect=1).output
        assert "does not open" in casiopy("restore", path, "--yes", "--identity", home / "wrong", expect=1).output
        assert "Cannot read the identity" in casiopy("restore", path, "--identity", home / "none", expect=1).output
        _lose_everything(home)
        casiopy("restore", path, "--identity", home / "right")
        assert _counts(home)["core_memory"] == 25


def test_a_recipient_that_is_no_key_is_refused(home: Path, casiopy: Casiopy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKUP_RECIPIENT", "not-a-key")
    assert "BACKUP_RECIPIENT is not an age public key" in casiopy("backup", "daily", expect=1).output
    assert [part.name for part in (home / "backups" / "daily").iterdir()] == []


def test_an_empty_database_is_not_backed_up_over_a_good_backup(home: Path, casiopy: Casiopy) -> None:
    casiopy("backup", "daily")
    path = _only(home, "daily")
    _lose_everything(home)
    assert "nothing to back up" in casiopy("backup", "daily", expect=1).output
    assert _only(home, "daily") == path


def test_a_backup_while_the_service_writes_does_not_stop_it(home: Path, casiopy: Casiopy) -> None:
    with EmbeddedPostgres(home / "postgres") as service:
        casiopy("backup", "hourly")
        casiopy("backup", "weekly")
        assert service.psql("SELECT count(*) FROM core_memory") == "25"


def test_check_wants_a_recent_backup(home: Path, casiopy: Casiopy) -> None:
    assert "There is no backup" in casiopy("backup", "check", expect=1).output
    casiopy("backup", "hourly")
    assert re.search(r" is intact and \d minutes old\.", casiopy("backup", "check").output)
    path = _only(home, "hourly")
    old = path.with_name("memory_hourly_20260101_000000.dump")
    path.rename(old)
    path.with_name(f"{path.name}.sha256").rename(f"{old}.sha256")
    assert "hours old" in casiopy("backup", "check", expect=1).output


def test_retention_removes_old_files_with_their_checksums_and_nothing_else(home: Path, casiopy: Casiopy) -> None:
    daily = home / "backups" / "daily"
    daily.mkdir(parents=True)
    for day in range(1, 10):
        for suffix in ("", ".sha256"):
            (daily / f"memory_daily_2026010{day}_000000.dump{suffix}").write_text("old")
    (daily / "my notes.txt").write_text("keep me")
    (daily / "memory_daily_20250101_000000.dump").write_text("no checksum: not ours to judge")
    casiopy("backup", "daily")
    names = sorted(path.name for path in daily.iterdir() if path.suffix == ".dump")
    assert len(names) == 1 + 7
    assert "memory_daily_20260103_000000.dump" not in names
    assert not (daily / "memory_daily_20260103_000000.dump.sha256").exists()
    assert (daily / "my notes.txt").exists()
    assert "memory_daily_20250101_000000.dump" in names


def test_a_killed_backup_leaves_nothing_that_looks_finished(home: Path, casiopy: Casiopy) -> None:
    (home / "backups" / "daily" / ".partial-killed").mkdir(parents=True)
    (home / "backups" / "daily" / ".partial-killed" / "dump").write_text("half")
    assert "No backups" in casiopy("backup", "list").output
    casiopy("backup", "daily")
    assert not (home / "backups" / "daily" / ".partial-killed").exists()
    assert casiopy("backup", "list").output.count("memory_daily_") == 1


def test_rows_hidden_by_row_level_security_stop_the_backup(home: Path) -> None:
    with EmbeddedPostgres(home / "postgres") as embedded:
        embedded.psql("CREATE ROLE weak LOGIN; GRANT pg_read_all_data TO weak")
        ours = embedded_server(embedded)
        weak = DatabaseServer({**ours.env, "PGUSER": "weak"}, ours.database, ours.program)
        with pytest.raises(BackupError, match="row-level security policy"):
            make_backup(weak, home / "backups", "daily")
        assert not list((home / "backups" / "daily").iterdir())
        whole = make_backup(DatabaseServer(ours.env, ours.database, ours.program), home / "backups", "weekly")
        assert whole.path.suffix == ".dump", "a server of somebody else gives a dump every week"


def test_an_external_server_is_described_by_its_url_without_leaking_the_password() -> None:
    server = server_at("postgresql://casiopy:s%20cret@db.example:8821/memory?sslmode=disable")
    wanted = {
        "PGHOST": "db.example",
        "PGPORT": "8821",
        "PGUSER": "casiopy",
        "PGPASSWORD": "s cret",
        "PGDATABASE": "memory",
        "PGSSLMODE": "disable",
    }
    assert {name: server.env[name] for name in wanted} == wanted
    assert "row_security=off" in server.env["PGOPTIONS"]


def test_an_external_database_is_backed_up_and_restored(
    migrated_url: str, story: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(make_url(migrated_url).database)
    monkeypatch.setenv("DATABASE_URL", migrated_url)
    monkeypatch.setenv("CASIOPY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BACKUPS_DIR", str(tmp_path / "backups"))
    server = server_at(migrated_url)
    server.psql(story)
    before = row_counts(server)
    group = click.Group(commands={command.name or "": command for command in backup_commands})
    assert CliRunner().invoke(group, ["backup", "daily"]).exit_code == 0
    path = _only(tmp_path, "daily")
    server.psql(f"DROP DATABASE {name}", database="postgres")
    server.psql(f"CREATE DATABASE {name}", database="postgres")
    result = CliRunner().invoke(group, ["restore", str(path)])
    assert result.exit_code == 0, result.output
    assert row_counts(server) == before


def test_keep_makes_what_is_due_and_lets_the_database_rest_in_between(home: Path) -> None:
    command = [sys.executable, "-c", "from memory_service.backup import backup_commands; backup_commands[0](['keep'])"]
    keeper = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert keeper.stderr is not None
    said = []
    for line in keeper.stderr:
        said.append(line)
        if line.rstrip().endswith("stopped"):
            break
    keeper.send_signal(signal.SIGTERM)
    keeper.communicate(timeout=120)
    assert [_only(home, kind).suffix for kind in ("hourly", "daily", "weekly")] == [".dump", ".dump", ".tar"], said
    assert not EmbeddedPostgres(home / "postgres").status().running


def test_two_backups_at_once_take_turns(home: Path, casiopy: Casiopy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_WAIT_SECONDS", 0.2)
    (home / "backups").mkdir()
    with exclusive(home / "backups" / ".lock"):
        assert "Another process has been writing a backup there" in casiopy("backup", "daily", expect=1).output
    casiopy("backup", "daily")
