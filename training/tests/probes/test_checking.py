"""What a check of a battery finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from persona_training.datasets import load_dataset
from persona_training.evaluation.battery import Battery, load_battery
from persona_training.probes.checking import Remark, check_battery, facet_counts
from persona_training.probes.power import power
from persona_training.testing import row, write_rows

FACETS = ("style", "core_memory", "weekly", "identity", "hostile", "friendly", "language", "capability", "privacy")


def sound(tmp_path: Path, **changes: Any) -> Battery:
    """A battery of 81 probes with nothing to put right, then changed."""
    probes = [
        {
            "id": f"{facet}-{n}",
            "facet": facet,
            "prompt": f"Prompt {n} of {facet}",
            "references": [f"*yawns* Answer {n} about {facet}.", f"Another one, {n} about {facet}, peasant."],
        }
        for facet in FACETS
        for n in range(9)
    ]
    whole = {
        "name": "mika",
        "version": 1,
        "persona": "mika",
        "language": "en",
        "markers": [{"name": "m", "title": "m", "pattern": r"\*yawns\*|peasant", "band": [0.4, 1.0]}],
        "forbidden": {"assistant": ["how can i help"], "refusal": ["i cannot"], "out_of_character": ["language model"]},
        "neutral_replies": ["n"],
        "canaries": [r"\d{9}"],
        "probes": probes,
        "dialogues": [{"id": f"d{n}", "mood": "neutral", "turns": ["a", "b"]} for n in range(6)],
        "corpora": {
            "persona": [{"prompt": f"P{n}", "reply": f"R{n}"} for n in range(20)],
            "general": [f"Text {n}." for n in range(6)],
        },
    }
    path = tmp_path / "mika.yaml"
    path.write_text(yaml.safe_dump(whole | changes), encoding="utf-8")
    return load_battery(path)


def with_first(tmp_path: Path, **changes: Any) -> Battery:
    """The same with its first probe changed."""
    sound(tmp_path)
    keys = yaml.safe_load((tmp_path / "mika.yaml").read_text("utf-8"))
    keys["probes"][0] |= changes
    (tmp_path / "mika.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    return load_battery(tmp_path / "mika.yaml")


def said(remarks: list[Remark], level: str) -> str:
    return "\n".join(f"{remark.place}: {remark.text}" for remark in remarks if remark.level == level)


def test_a_sound_battery_has_nothing_to_put_right(tmp_path: Path) -> None:
    battery = sound(tmp_path)
    assert check_battery(battery) == []
    assert facet_counts(battery) == dict.fromkeys(FACETS, 9)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"references": ["*yawns* How can I help you, peasant?"]}, "forbidden tone"),
        ({"references": ["*yawns* I am a language model, peasant."]}, "out_of_character"),
        ({"references": ["*yawns* Call me at 123456789, peasant."]}, "personal data"),
        ({"references": ["*yawns* Hola, ¿qué tal estás hoy, criatura mía?"]}, "not in the language"),
        ({"expect": ["Kyoto"]}, "says none of what is expected: Kyoto"),
        ({"reject": ["answer"]}, "says what is rejected: answer"),
        ({"prompt": "prompt 1 of STYLE"}, "asks the same as style-0"),
    ],
)
def test_what_has_to_be_put_right(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    found = check_battery(with_first(tmp_path, **changes))
    assert text in said(found, "wrong")
    assert found[0].level == "wrong"


def test_a_marker_outside_its_own_band(tmp_path: Path) -> None:
    markers = [{"name": "m", "title": "m", "pattern": "yawns", "band": [0.6, 1.0]}]
    assert "is in 50% of the references, outside its own band" in said(
        check_battery(sound(tmp_path, markers=markers)), "wrong"
    )


def test_a_reference_in_another_dialect(tmp_path: Path) -> None:
    first = {"id": "a", "facet": "style", "prompt": "¿Y?", "references": ["*yawns* ¿Vos qué querés, peasant?"]}
    battery = sound(tmp_path, dialect="tuteo", language="es", probes=[first])
    assert "does not say “you” the way the battery does (tuteo)" in said(check_battery(battery), "wrong")
    either = sound(tmp_path, dialect="any", language="es", probes=[first])
    assert said(check_battery(either), "wrong") == ""


def test_what_is_thin(tmp_path: Path) -> None:
    sound(tmp_path)
    few = yaml.safe_load((tmp_path / "mika.yaml").read_text("utf-8"))["probes"][:20]
    few[0]["references"] = few[1]["references"][:1]
    few[2]["references"] = ["Nothing of hers here."]
    found = check_battery(sound(tmp_path, probes=few, dialogues=[], corpora={}), marks=3)
    assert said(found, "wrong") == ""
    thin = said(found, "thin")
    for text in (
        "20 instead of 80: a habit that falls from 70 %",
        "chance of 24%",
        "privacy: no probes",
        "weekly: 2 probes",
        "dialogues: There is none",
        "corpora.persona: no pairs",
        "corpora.general: There is no text",
        "2 have one reference only (style-0, style-2)",
        "1 references stand under several probes",
        "has none of her markers",
        "3 places are still marked LOOK",
    ):
        assert text in thin, text
    talks = [{"id": f"d{n}", "mood": "neutral", "turns": ["a", "b"]} for n in range(5)]
    few = sound(tmp_path, dialogues=talks, corpora={"general": ["A text."]})
    thin = said(check_battery(few), "thin")
    assert "dialogues: 5 only: fewer than 6 may agree by chance" in thin
    assert "corpora.general: 1 only: fewer than 6 may agree by chance" in thin
    assert "There is none, so losing her habits" in said(check_battery(sound(tmp_path, markers=[])), "thin")


def test_what_a_dataset_already_holds(tmp_path: Path) -> None:
    rows = [
        row([("Prompt 3 of style!", "Whatever.")]),
        row([("Something else", "*yawns* answer 1 about style")], "s2"),
        row([("P7", "R8")], "s3"),
    ]
    dataset = load_dataset([str(write_rows(tmp_path / "train.jsonl", rows))], tmp_path)
    found = check_battery(sound(tmp_path), [dataset])
    wrong = said(found, "wrong")
    assert "style-3: its prompt is in the dataset train.jsonl" in wrong
    assert wrong.count("corpora.persona:") == 2
    assert "1 of 162 are also replies in the dataset train.jsonl" in said(found, "thin")


@pytest.mark.parametrize(
    ("probes", "samples", "after", "published"),
    [
        (20, 4, 0.6, 0.44),
        (40, 4, 0.6, 0.69),
        (80, 4, 0.6, 0.89),
        (160, 4, 0.6, 0.99),
        (80, 1, 0.6, 0.45),
        (20, 4, 0.5, 0.88),
    ],
)
def test_power_agrees_with_resampling_whole_prompts(probes: int, samples: int, after: float, published: float) -> None:
    """Figures of a simulation that resampled prompts 2000 times, 300 repeats each, without a margin, one look at 5 %."""
    alone: dict[str, float] = {"margin": 0.0, "tail": 0.05}
    assert power(probes, samples, after=after, **alone) == pytest.approx(published, abs=0.06)
    assert power(probes, samples, after=0.6999, **alone) < 0.10


@pytest.mark.parametrize("probes", [20, 80, 160])
def test_a_loss_on_the_edge_of_what_is_allowed_is_called_one_as_rarely_as_a_look_may_err(probes: int) -> None:
    assert power(probes, 4, after=0.6) <= 0.0125 + 0.007
    assert power(probes, 4, after=0.5) > 0.2
