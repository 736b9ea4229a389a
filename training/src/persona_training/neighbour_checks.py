"""What `casiopy doctor` asks of its neighbours: the base model, the memory service, Ollama. Nothing is started or fetched."""

from __future__ import annotations

from pathlib import Path

import httpx
from packaging.version import InvalidVersion, Version

from persona_training.config import read_recipe
from persona_training.errors import RecipeError
from persona_training.findings import Check
from persona_training.settings import Settings

ANSWER_SECONDS = 3.0
# /api/create takes files by their digest since 0.5.5; deploying sends nothing else.
OLLAMA_SINCE = Version("0.5.5")
CONFIGS = Path(__file__).parents[2] / "configs"


def check_base(settings: Settings, gpu: bool) -> Check:
    """The base model of the recipe that is taken without --recipe: built here, downloaded, or neither yet."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    from persona_training.tiny.build import TinyRecipe

    if not gpu:
        name = TinyRecipe().name
        if (settings.data_dir / "tiny" / name / "config.json").is_file():
            return Check("base model", "ok", f"{name} is built")
        return Check(
            "base model", "note", "the tiny one is not built yet", "The first run builds it; or: casiopy tiny build"
        )
    try:
        name = read_recipe(CONFIGS / "hermes-3-llama-3.1-8b" / "personality.yaml").base_model
        folder = snapshot_download(name, local_files_only=True)
    except RecipeError as error:
        return Check("base model", "fail", error.message, "Reinstall the training package.")
    except LocalEntryNotFoundError:
        remedy = f"The first run downloads it (16 GB); or now: hf download {name}; or --base-model with a folder."
        return Check("base model", "note", f"{name} is not on this machine", remedy)
    return Check("base model", "ok", f"{name} in {folder}")


def check_memory_service(settings: Settings) -> Check:
    """The service that exports datasets and keeps the registry; training works without it."""
    url = settings.memory_service_url
    try:
        answer = httpx.get(f"{url}/health", timeout=ANSWER_SECONDS, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        remedy = (
            "Start it with `casiopy up`, or set MEMORY_SERVICE_URL. Needed to export and to register, not to train."
        )
        return Check("memory service", "note", f"{url} does not answer ({type(error).__name__})", remedy)
    if not answer.is_success:
        return Check("memory service", "note", f"{url} answers {answer.status_code}", f"Look at {url}/health.")
    return Check("memory service", "ok", url)


def check_ollama() -> Check:
    """Ollama and its version; training works without it."""
    from persona_training.ollama.server import OllamaAwayError, OllamaError, OllamaServer

    try:
        server = OllamaServer(silence_seconds=ANSWER_SECONDS)
    except httpx.InvalidURL as error:
        return Check("ollama", "note", f"OLLAMA_HOST is no address ({error})", "Set it to e.g. http://127.0.0.1:11434.")
    try:
        version = server.version()
    except OllamaAwayError:
        remedy = "Start it with `ollama serve`, or set OLLAMA_HOST. Needed to deploy, not to train."
        return Check("ollama", "note", f"{server.url} does not answer", remedy)
    except OllamaError as error:
        return Check("ollama", "note", error.message, "Look at Ollama's log.")
    try:
        old = Version(version) < OLLAMA_SINCE
    except InvalidVersion:
        old = False  # a build of one's own, such as 0.0.0-dirty
    found = f"{version} at {server.url}"
    if old:
        return Check("ollama", "fail", found, f"Update Ollama: deploying needs {OLLAMA_SINCE} or newer.")
    return Check("ollama", "ok", found)
