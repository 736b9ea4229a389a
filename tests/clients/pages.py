"""Replays a documentation page: every `bash` block is run as written, and its answer held against the `json` block below it.

Pages write the service as `http://localhost:8820`, keys as `YOUR_API_KEY`, and ids as shell variables (`$MEMORY_ID`), filled
from the answers that came before.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from running import Service

# The service's API_KEY in these tests.
KEY = "mi-clave-api-privada"

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Fields whose value is different every time; their type is still checked.
_VOLATILE = re.compile(
    r"^(?!user_id)(.*_)?(id|at|ms|score|summary|oldest|newest|timestamp|version|model|sha256)$|^response$"
)


@dataclass(frozen=True)
class Step:
    """One block to run and, where the page shows one, the answer it promises."""

    line: int
    command: str
    promised: Any


def steps(page: Path) -> Iterator[Step]:
    """The page's `bash` blocks that call the service, in order."""
    text = page.read_text(encoding="utf-8")
    fences = list(_FENCE.finditer(text))
    for index, fence in enumerate(fences):
        if fence[1] != "bash" or "curl" not in fence[2]:
            continue
        following = fences[index + 1] if index + 1 < len(fences) else None
        promised = json.loads(following[2]) if following is not None and following[1] == "json" else None
        yield Step(text[: fence.start()].count("\n") + 1, fence[2], promised)


def python_blocks(page: Path) -> list[str]:
    """The page's Python programs."""
    return [fence[2] for fence in _FENCE.finditer(page.read_text(encoding="utf-8")) if fence[1] == "python"]


def pointed(text: str, service: Service, key: str) -> str:
    """`text` with the service's address and a key that is valid there."""
    return text.replace("http://localhost:8820", service.url).replace("YOUR_API_KEY", key)


def replay(page: Path, service: Service, key: str = "") -> list[tuple[Step, Any]]:
    """Run the page from top to bottom; each step with its answer.

    Raises:
        AssertionError: a command failed, or its answer is not the promised one.
    """
    variables: dict[str, str] = {}
    answers = []
    for step in steps(page):
        done = subprocess.run(
            ["bash", "-c", pointed(step.command, service, key)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **variables},
        )
        where = f"{page.name}:{step.line}"
        assert done.returncode == 0, f"{where}: {done.stderr}"
        answer = json.loads(done.stdout) if done.stdout.strip() else None
        if step.promised is not None:
            hold(answer, step.promised, where)
        variables |= _ids(answer)
        answers.append((step, answer))
    return answers


def _ids(answer: Any) -> dict[str, str]:
    """`memory_id` as MEMORY_ID, and so on."""
    if not isinstance(answer, dict):
        return {}
    return {name.upper(): value for name, value in answer.items() if name.endswith("_id") and isinstance(value, str)}


def hold(answer: Any, promised: Any, where: str) -> None:
    """Every promised field is there with its value, or at least its type where the value changes from run to run."""
    if isinstance(promised, dict):
        assert isinstance(answer, dict), f"{where}: an object is promised, not {answer!r}"
        for name, value in promised.items():
            assert name in answer, f"{where}: {name} is missing in {answer}"
            if _VOLATILE.search(name) and not isinstance(value, dict | list):
                assert type(answer[name]) is type(value), f"{where}.{name}: {answer[name]!r}"
            else:
                hold(answer[name], value, f"{where}.{name}")
    elif isinstance(promised, list):
        assert isinstance(answer, list), f"{where}: a list is promised, not {answer!r}"
        assert len(answer) >= len(promised), f"{where}: {len(promised)} items are promised, not {answer!r}"
        for index, value in enumerate(promised):
            hold(answer[index], value, f"{where}[{index}]")
    else:
        assert answer == promised, f"{where}: {promised!r} is promised, not {answer!r}"
