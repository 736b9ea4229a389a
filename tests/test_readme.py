"""What the READMEs say is true: commands work as written, names exist, links lead somewhere."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import Service

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", ROOT / "README.es.md"]
PAGES = [*READMES, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("*/README.md"))]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_curl_examples_work_as_written(page: Path, service: Service) -> None:
    examples = [text for text in blocks(page, "bash") if text.startswith("curl")]
    assert examples
    for example in examples:
        command = example.replace("http://localhost:8820", service.url)
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
        assert "session_id" in json.loads(done.stdout), done.stdout


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_python_examples_work_as_written(page: Path, service: Service) -> None:
    examples = blocks(page, "python")
    assert examples
    for example in examples:
        program = example.replace("http://localhost:8820", service.url)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert 0.0 <= float(done.stdout) <= 1.0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_and_scripts_that_pages_name_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z][a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"`make {target}` is not a chore"
    for script in re.findall(r"python (?:training/)?(\w+\.py)", text):
        assert (ROOT / "training" / script).is_file(), f"{script} does not exist"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{target} in {page.name}"


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_tree_names_every_folder_git_knows(page: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {name.split("/")[0] for name in listed if "/" in name and not name.startswith(".")}
    tree = set(re.findall(r"^([\w-]+)/ {2,}\S", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert tree == folders
