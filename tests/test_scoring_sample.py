"""The scorer against a human's judgment of the sample month: what should be learned from ranks above what should not."""

import json
import re
from pathlib import Path

import pytest
from memory_service.scoring import Exchange, PersonaStyle, QualityScore, ScoringContext, score
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).parents[1]
# As many replies of the persona as a busy evening has; the sample repeats some lines on purpose.
RECENT = 50

Judged = list[tuple[dict[str, object], QualityScore]]


def _persona_style() -> PersonaStyle:
    """The style the shipped core memory gives its persona, read from the script that ships it."""
    script = (ROOT / "init-scripts" / "02_populate_core_memory.sql").read_text(encoding="utf-8")
    found = re.search(r"'(\{\s*\"style\".*?\})'::jsonb", script, re.DOTALL)
    assert found, "init-scripts/02_populate_core_memory.sql gives its persona no settings.style"
    return PersonaStyle.from_settings(json.loads(found.group(1).replace("''", "'")))


@pytest.fixture(scope="module")
def judged() -> Judged:
    style = _persona_style()
    lines = (ROOT / "casiopy" / "demo" / "sample_month.jsonl").read_text(encoding="utf-8").splitlines()
    rows = sorted((json.loads(line) for line in lines), key=lambda row: row["occurred_at"])
    said: list[str] = []
    result: Judged = []
    for row in rows:
        context = ScoringContext(style=style, persona_name="Casiopy", recent_replies=tuple(said[-RECENT:]))
        exchange = Exchange(row["input_text"], row["output_text"], row["input_emotion"], row["output_emotion"])
        result.append((row, score(exchange, context)))
        said.append(row["output_text"])
    return result


def test_kept_ranks_above_dropped(judged: Judged) -> None:
    auc = roc_auc_score([bool(row["keep"]) for row, _ in judged], [quality.score for _, quality in judged])
    assert auc >= 0.9, f"AUC {auc:.4f} over {len(judged)} exchanges"


def test_the_default_threshold_separates_them(judged: Judged) -> None:
    kept = [quality.score >= 0.6 for row, quality in judged if row["keep"]]
    passed = [row["output_text"] for row, quality in judged if not row["keep"] and quality.score >= 0.6]
    assert sum(kept) / len(kept) >= 0.97
    assert len(passed) <= 2, passed


@pytest.mark.parametrize(
    ("label", "rules"),
    [
        ("error_text", {"error_text"}),
        ("refusal", {"refusal", "assistant_tone"}),
        ("interrupted", {"interrupted"}),
        ("role_confusion", {"role_confusion", "template_tokens"}),
        ("memory_echo", {"memory_block_echo"}),
        ("wrong_language", {"wrong_language"}),
    ],
)
def test_labelled_faults_are_dropped_for_that_reason(judged: Judged, label: str, rules: set[str]) -> None:
    named = [{drop.rule for drop in quality.drops} & rules for row, quality in judged if label in _labels(row)]
    assert named
    assert sum(map(bool, named)) / len(named) >= 0.8, f"{label}: {sum(map(bool, named))} of {len(named)}"


def test_nothing_worth_keeping_is_dropped(judged: Judged) -> None:
    dropped = [(row["output_text"], quality.drops) for row, quality in judged if row["keep"] and quality.drops]
    assert len(dropped) <= 2, dropped


def _labels(row: dict[str, object]) -> list[object]:
    labels = row["labels"]
    assert isinstance(labels, list)
    return labels
