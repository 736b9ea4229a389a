"""docker-compose.yml and the images: valid by the Compose specification, and by the house's own rules."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from casiopy.cli import main as casiopy

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker-compose.yml"
SECRETS = ("POSTGRES_PASSWORD", "API_KEY")
DOCKERFILES = ("memory-service/Dockerfile", "dashboard/Dockerfile")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return loaded


def _violations(path: Path) -> str:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode else ""


def test_the_file_follows_the_compose_specification(tmp_path: Path) -> None:
    assert _violations(COMPOSE) == ""
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(COMPOSE.read_text(encoding="utf-8").replace("healthcheck:", "healthchecks:"), encoding="utf-8")
    assert "healthchecks" in _violations(wrong), "the check itself must be able to fail"


def test_the_documented_parts_are_there(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {
        "memory-postgres", "memory-migrate", "memory-service", "memory-worker", "memory-backup", "dashboard",
    }  # fmt: skip
    assert services["memory-postgres"]["container_name"] == "casiopy-memory-db"


def test_only_the_documented_ports_are_published_and_only_on_this_machine(services: dict[str, dict[str, Any]]) -> None:
    published = {port for service in services.values() for port in service.get("ports", [])}
    assert published == {"127.0.0.1:8820:8820", "127.0.0.1:8821:5432", "127.0.0.1:5000:5000"}


def test_every_long_running_service_has_a_health_check(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if service["restart"] == "no":
            assert name == "memory-migrate"
            continue
        check = service["healthcheck"]
        assert check["test"][0] == "CMD", name
        assert {"interval", "timeout", "retries", "start_period"} <= check.keys(), name


def test_nothing_runs_as_root_or_with_more_rights_than_it_needs(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["user"] not in {"root", "0", "0:0"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "privileged" not in service, name
        assert "network_mode" not in service, name


def test_secrets_come_from_env_and_have_no_default() -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    for secret in SECRETS:
        references = re.findall(rf"\$\{{{secret}[^}}]*\}}", text)
        assert references, secret
        assert all(reference.startswith(f"${{{secret}:?") for reference in references), secret
    literal = re.search(r"^ +\w*(PASSWORD|KEY|SECRET|TOKEN)\w*: +[\"']?[^\"'$\s]", text, re.MULTILINE)
    assert literal is None


def test_every_variable_is_explained_in_env_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text(encoding="utf-8")))
    explained = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    assert used <= explained


def test_nothing_starts_before_what_it_needs(services: dict[str, dict[str, Any]]) -> None:
    needs = {
        name: {other: how["condition"] for other, how in service.get("depends_on", {}).items()}
        for name, service in services.items()
    }
    migrated = {"memory-migrate": "service_completed_successfully"}
    assert needs == {
        "memory-postgres": {},
        "memory-migrate": {"memory-postgres": "service_healthy"},
        "memory-service": migrated,
        "memory-worker": migrated,
        "memory-backup": migrated,
        "dashboard": {"memory-service": "service_healthy"},
    }


def test_every_command_exists(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        checks = [service["healthcheck"]["test"][1:]] if "healthcheck" in service else []
        ours = [service["command"]] if service["image"].startswith("casiopy-") and "command" in service else []
        for words in [*ours, *(check[1:] for check in checks if check[0] == "casiopy")]:
            command: Any = casiopy
            for word in words:
                if not hasattr(command, "get_command"):
                    break
                command = command.get_command(None, word)
                assert command is not None, f"{name}: casiopy {' '.join(words)}"


def test_volumes_are_named_or_exist_in_the_checkout(services: dict[str, dict[str, Any]]) -> None:
    named = set(yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["volumes"])
    sources = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert {source for source in sources if not source.startswith("./")} == named
    assert all((ROOT / source).is_dir() for source in sources if source.startswith("./"))
    assert all(
        volume.endswith(":ro")
        for service in services.values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ), "containers never write into the checkout"


def test_images_are_pinned_to_a_major_version(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert re.search(r":(pg18|local)$", service["image"]), name
        if service["image"].endswith(":local"):
            assert service["build"]["dockerfile"] in DOCKERFILES, name


# --- The images


def _instructions(dockerfile: str) -> list[tuple[str, str]]:
    lines = (ROOT / dockerfile).read_text(encoding="utf-8").splitlines()
    joined = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word]


def _allowed() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines, "everything is left out unless it is named"
    return [line[1:] for line in lines if line.startswith("!")]


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_is_small_unprivileged_and_checked(dockerfile: str) -> None:
    instructions = _instructions(dockerfile)
    stages = [rest for word, rest in instructions if word == "FROM"]
    assert len(stages) == 2
    assert all(stage.startswith("python:3.11-slim") for stage in stages)
    last = instructions[max(index for index, (word, _) in enumerate(instructions) if word == "FROM") :]
    words = [word for word, _ in last]
    assert dict(last)["USER"] == "casiopy"
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert "HEALTHCHECK" in words
    assert not any(word == "RUN" and "pip" in rest for word, rest in last), "nothing is installed in the last stage"
    installs = " ".join(rest for word, rest in instructions if word == "RUN" and "pip install" in rest)
    assert "-c constraints.txt" in installs
    assert not any(secret in f"{word} {rest}" for word, rest in instructions for secret in SECRETS)


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_everything_copied_exists_and_reaches_the_build(dockerfile: str) -> None:
    allowed = _allowed()
    for word, rest in _instructions(dockerfile):
        if word != "COPY" or rest.startswith("--from="):
            continue
        *sources, _ = rest.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(source == entry or source.startswith(f"{entry}/") for entry in allowed), source


def test_private_files_never_reach_a_build() -> None:
    assert not {".env", "backups", "exports", "lora_adapters", ".casiopy", ".git"} & {
        entry.partition("/")[0] for entry in _allowed()
    }


def test_the_packages_build_from_what_the_images_copy(tmp_path: Path) -> None:
    for entry in _allowed():
        target = tmp_path / "context" / entry
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / entry).is_dir():
            # As .dockerignore does; besides, compiled files come and go while other tests run.
            shutil.copytree(ROOT / entry, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / entry, target)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index",
         "--no-build-isolation", "--wheel-dir", str(tmp_path / "wheels"), ".", "./memory-service", "./dashboard"],
        cwd=tmp_path / "context", check=True, capture_output=True,
    )  # fmt: skip
    inside = {name for wheel in (tmp_path / "wheels").iterdir() for name in zipfile.ZipFile(wheel).namelist()}
    for needed in (
        "casiopy/cli.py", "memory_service/migrations/versions/0001_tables.sql", "memory_service/migrations/script.py.mako",
        "memory_service/worker/heartbeat.py", "persona_dashboard/cli.py",
    ):  # fmt: skip
        assert needed in inside
    sources = {
        str(path.relative_to(ROOT / "dashboard/src"))
        for path in (ROOT / "dashboard/src/persona_dashboard/templates").rglob("*.html")
    }
    assert sources
    assert sources <= inside
