"""What is live now decides what a week stands on, and what it is served with."""

from __future__ import annotations

from persona_training.adapters import adapter_chain
from persona_training.evaluation.subjects import find_adapter
from persona_training.ollama.ledger import live_entry
from persona_training.settings import Settings

NO_SKILLS = ("none",)


def live_layer_1(given: str | None, persona: str | None, settings: Settings) -> tuple[str | None, str]:
    """The layer 1 that a week is trained on, and why; None leaves the choice to training: the newest finished one.

    The live one, because it has passed the gate and viewers know it; a newer layer 1 counts once it is deployed itself.
    """
    if given is not None:
        return given, "as asked"
    entry = live_entry(persona, settings.adapters_dir)
    adapter_id = entry["adapter_id"] if entry else None
    if adapter_id is None:
        return None, "no adapter is known to be live, so the newest finished layer 1"
    folder = find_adapter(str(adapter_id), settings.adapters_dir)
    if folder is None:
        return None, f"{adapter_id}, which is live, is not in {settings.adapters_dir}, so the newest finished layer 1"
    return adapter_chain(folder)[0].name, f"the layer 1 of {adapter_id}, which is live"


def skills_beside(given: tuple[str, ...], persona: str, settings: Settings) -> tuple[list[str], str]:
    """The layers 3 that the week is judged and served with, and why: those that are live, so that no skill gets lost."""
    if given == NO_SKILLS:
        return [], "none, as asked"
    if given:
        return list(given), f"{', '.join(given)}: as asked"
    entry = live_entry(persona, settings.adapters_dir)
    live = list(entry.get("skills") or []) if entry else []
    if not live:
        return [], "none: none is live"
    return live, f"{', '.join(live)}: live now; at weight 1, other weights are asked for with --skill NAME=WEIGHT"
