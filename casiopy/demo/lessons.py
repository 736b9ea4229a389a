"""What she learns: datasets, two adapters, the gate and the deployment, by the very scripts an operator runs each week."""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from casiopy.demo.errors import DemoError
from casiopy.demo.page import title
from casiopy.demo.progress import Progress
from casiopy.stack import Stack

# The sample month lies in ISO weeks 1 to 4 of 2026.
WEEK, YEAR = "4", "2026"
_LEAVE_SECONDS = 20
# The gate's verdicts are exit codes: 0 pass, 1 fail, 2 inconclusive. All three are results.
_VERDICTS = frozenset({0, 1, 2})


def export(stack: Stack, progress: Progress) -> None:
    """Two datasets: everything that is her, and what happened in week 4."""
    title(stack, "5 · Export: from a month of talk to two datasets")
    for kind, flags in (("personality", []), ("episodic", ["--week", WEEK, "--year", YEAR])):
        known = progress.exports.get(kind)
        if known and (stack.exports / known / "manifest.json").is_file():
            stack.console.print(f"  {kind}: {known} is there already.")
            continue
        _script(stack, "export_training_data.py", "--type", kind, *flags)
        progress.exports[kind] = str(_newest(stack.exports, type=kind)["export_id"])


def train(stack: Stack, progress: Progress) -> None:
    """Layer 1 on her base, layer 2 on top of it. The dashboard follows both live."""
    title(stack, "6 · Train: layer 1 makes her herself, layer 2 teaches her the week")
    lessons: tuple[tuple[str, str, int, list[str]], ...] = (
        ("personality", "train_personality_lora.py", 1, []),
        ("episodic", "train_episodic_lora.py", 2, ["--week", WEEK, "--year", YEAR]),
    )
    stack.console.print(f"  Watch the loss fall at {stack.dashboard_url}/runs", style="dim")
    for kind, script, layer, flags in lessons:
        known = progress.adapters.get(kind)
        if known and (stack.adapters / known / "manifest.json").is_file():
            stack.console.print(f"  Layer {layer}: {known} is trained already.")
            continue
        begun = time.monotonic()
        config = stack.root / "training" / "configs" / "tiny" / f"{kind}.yaml"
        parent = ["--parent", progress.adapters["personality"]] if layer == 2 else []
        dataset = str(stack.exports / progress.exports[kind])
        _script(stack, script, "--dataset", dataset, "--config", str(config), *flags, *parent)
        found = _newest(stack.adapters, layer=layer, status="finished")
        progress.adapters[kind] = str(found["adapter_id"])
        stack.console.print(f"  Layer {layer} is trained ({time.monotonic() - begun:.0f} s): {found['adapter_id']}")


def judge(stack: Stack, progress: Progress) -> None:
    """The personality gate on both layers, each beside the untrained base."""
    title(stack, "7 · Judge: is she still herself, and not stupid?")
    for adapter_id in progress.adapters.values():
        if adapter_id in progress.judged and (stack.adapters / adapter_id / "summary.json").is_file():
            stack.console.print(f"  {adapter_id} has its report already.")
            continue
        _script(stack, "test_personality.py", "--model", adapter_id, "--save-report", accept=_VERDICTS)
        progress.judged.append(adapter_id)


def deploy(stack: Stack, progress: Progress) -> None:
    """To Ollama where one answers; otherwise the artefacts are written and the way is shown."""
    title(stack, "8 · Deploy: put her on Ollama")
    adapter_id = progress.adapters["episodic"]
    if progress.deployed == adapter_id:
        stack.console.print(f"  {adapter_id} has been deployed already.")
        return
    # Anything but 0 has been explained on the console: no passing report, or no Ollama here. Neither ends the demo.
    code = _script(stack, "deploy_to_ollama.py", "--week", WEEK, "--year", YEAR, accept=frozenset(range(1, 10)))
    if code == 0:
        progress.deployed = adapter_id


def _script(stack: Stack, name: str, *flags: str, accept: frozenset[int] = frozenset()) -> int:
    """Run one of the documented scripts on this console; returns its exit code.

    Raises:
        DemoError: it failed in a way that `accept` does not name.
    """
    stack.require_alive()
    shown = shlex.join(["python", f"training/{name}", *(_short(stack, flag) for flag in flags)])
    stack.console.print(f"  [dim]$ {shown}[/]", highlight=False, soft_wrap=True)
    command = [sys.executable, str(stack.root / "training" / name), *flags]
    with subprocess.Popen(command, cwd=stack.root, env=stack.environment) as script:
        try:
            code = script.wait()
        except KeyboardInterrupt:
            # Training saves a checkpoint before it leaves; give it the time.
            script.terminate()
            script.wait(_LEAVE_SECONDS)
            raise
    if code != 0 and code not in accept:
        raise DemoError(
            f"`{shown}` ended with exit code {code}. Its message stands above; `make demo` goes on from here."
        )
    return code


def _short(stack: Stack, flag: str) -> str:
    path = Path(flag)
    return str(path.relative_to(stack.root)) if path.is_absolute() and path.is_relative_to(stack.root) else flag


def _newest(folder: Path, **wanted: object) -> dict[str, Any]:
    """The youngest manifest under `folder` whose fields are as `wanted`."""
    manifests = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*/manifest.json")]
    fitting = [manifest for manifest in manifests if wanted.items() <= manifest.items()]
    if not fitting:
        raise DemoError(f"The script ended well, yet {folder} holds no manifest of what it should have made.")
    newest: dict[str, Any] = max(fitting, key=lambda manifest: str(manifest["created_at"]))
    return newest
