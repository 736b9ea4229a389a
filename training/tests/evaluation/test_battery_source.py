"""A battery is one file, a folder, or stands on another one; whatever is wrong in it is named with its file and place."""

from __future__ import annotations

import copy
import hashlib
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from persona_training.evaluation.battery import Battery, BatteryError, load_battery
from persona_training.evaluation.battery_source import shipped_names

PROBE = {"id": "a", "facet": "style", "prompt": "p", "references": ["r"]}
MARKER = {"name": "m", "title": "m", "pattern": "x", "band": [0.1, 0.9]}
DIALOGUE = {"id": "d", "mood": "neutral", "turns": ["one", "two"]}
ENDLESS = "((a{1,60}){1,60}){1,60}#"  # minutes, on a few dozen a without a sign after them
BOMB = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 11))]
GOOD: dict[str, Any] = {
    "name": "b",
    "version": 1,
    "persona": "p",
    "language": "es",
    "dialect": "any",
    "markers": [MARKER],
    "forbidden": {"assistant": ["y"], "refusal": [], "out_of_character": ["z"]},
    "canaries": ["c"],
    "neutral_replies": ["n"],
    "probes": [PROBE],
    "dialogues": [DIALOGUE],
    "corpora": {"persona": [{"prompt": "q", "reply": "s"}], "general": ["g"]},
}


def write(path: Path, keys: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(keys if isinstance(keys, str) else yaml.safe_dump(keys, allow_unicode=True), encoding="utf-8")
    return path


def ids(battery: Battery) -> list[str]:
    return [probe.id for probe in battery.probes]


def test_one_file_says_everything(tmp_path: Path) -> None:
    path = write(tmp_path / "battery.yaml", GOOD)
    battery = load_battery(path)
    assert (battery.name, battery.version, battery.dialect) == ("b", 1, "any")
    assert battery.markers[0].band == (0.1, 0.9)
    assert [pattern.pattern for pattern in battery.out_of_character] == ["z"]
    assert battery.probes[0].reply_language == battery.dialogues[0].reply_language == "es"
    assert battery.corpora.persona == (("q", "s"),)
    assert battery.kept_out == ("p", "one", "two", "q", "g")
    assert battery.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_language_nothing_here_recognises_is_not_judged(tmp_path: Path) -> None:
    assert load_battery(write(tmp_path / "b.yaml", GOOD | {"language": "fr"})).probes[0].reply_language == "any"


def test_a_folder_is_joined_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "luma"
    write(
        folder / "voice.yaml", {key: value for key, value in GOOD.items() if key not in ("probes", "neutral_replies")}
    )
    write(folder / "2.yml", {"probes": [PROBE | {"id": "late"}], "neutral_replies": ["n", "o"]})
    write(folder / "1.yaml", {"probes": [PROBE | {"id": "early"}], "neutral_replies": ["n"]})
    write(folder / "notes.txt", "not: [yaml")
    battery = load_battery(folder)
    assert ids(battery) == ["early", "late"]
    assert battery.neutral_replies == ("n", "o")
    copied = tmp_path / "elsewhere" / "copy"
    for file in folder.iterdir():
        write(copied / file.name, file.read_text(encoding="utf-8"))
    assert load_battery(copied).sha256 == battery.sha256
    write(copied / "1.yaml", {"probes": [PROBE | {"id": "early", "prompt": "another"}], "neutral_replies": ["n"]})
    assert load_battery(copied).sha256 != battery.sha256


def test_a_battery_stands_on_another(tmp_path: Path) -> None:
    write(tmp_path / "base" / "all.yaml", GOOD | {"probes": [PROBE, PROBE | {"id": "b"}]})
    week = {
        "name": "week",
        "version": 5,
        "extends": "../base",
        "probes": [PROBE | {"id": "fact", "expect": ["58"]}, PROBE | {"id": "a", "prompt": "instead"}],
        "markers": [MARKER | {"name": "new"}],
        "forbidden": {"refusal": ["no"]},
        "dialogues": [DIALOGUE | {"mood": "hostile"}],
    }
    top = load_battery(write(tmp_path / "weeks" / "5.yaml", week))
    assert (top.name, top.version, top.persona) == ("week", 5, "p")
    assert ids(top) == ["a", "b", "fact"]
    assert top.probes[0].prompt == "instead"
    assert [marker.name for marker in top.markers] == ["m", "new"]
    assert [len(top.assistant_tone), len(top.refusal), len(top.out_of_character)] == [1, 1, 1]
    assert [dialogue.mood for dialogue in top.dialogues] == ["hostile"]
    higher = write(tmp_path / "weeks" / "6.yaml", {"name": "next", "extends": "5.yaml", "corpora": {"general": ["h"]}})
    assert load_battery(higher).corpora.general == ("g", "h")
    assert load_battery(higher).version == 5


def test_it_may_stand_on_a_shipped_one(tmp_path: Path, battery: Battery) -> None:
    mine = load_battery(write(tmp_path / "m.yaml", {"name": "mine", "extends": "casiopy", "probes": [PROBE]}))
    assert mine.probes[:-1] == battery.probes
    assert mine.probes[-1].id == "a"
    assert {"casiopy", "casiopy-sample-month"} <= set(shipped_names())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probes": []}, r"asks nothing: `probes` is empty"),
        ({"forbidden": {"assistant": []}}, r"lacks the key `forbidden.refusal`"),
        ({"markers": [MARKER | {"pattern": "("}]}, r"f\.yaml: markers, m, pattern: '\(' is no regular expression"),
        ({"markers": [MARKER | {"band": [0.9, 0.1]}]}, r"f\.yaml: markers, m, band: the lower share comes first"),
        (
            {"markers": [MARKER | {"band": [0, 2]}]},
            r"f\.yaml: markers, m, band, number 2: 2 must be at most 1",
        ),
        ({"markers": [MARKER | {"band": [0.5]}]}, r"markers, m, band: it needs at least 2"),
        ({"canaries": ["[a"]}, r"canaries, number 1: '\[a' is no regular expression"),
        ({"probes": [PROBE | {"references": []}]}, r"f\.yaml: probes, a, references: it needs at least 1"),
        ({"probes": [PROBE | {"reply_language": "fr"}]}, r"probes, a, reply_language: 'fr' must be one of es, en, any"),
        ({"probes": [PROBE | {"facet": "charm"}]}, r"probes, a, facet: 'charm' must be one of style, core_memory"),
        (
            {"probes": [PROBE | {"refrences": ["r"]}]},
            r"probes, a: .*'refrences' was unexpected\); known here are id, facet",
        ),
        (
            {"probes": [{"id": "a", "facet": "style", "references": ["r"]}]},
            r"probes, a: 'prompt' is a required property",
        ),
        ({"probes": [PROBE | {"expect": [56]}]}, r"probes, a, expect, number 1: 56 is no text; put it in quotes"),
        ({"probes": [PROBE | {"expect": [True]}]}, r"expect, number 1: True is no text; put it in quotes"),
        ({"probes": [PROBE | {"prompt": " "}]}, r"probes, a, prompt: ' ' is empty"),
        ({"probes": [PROBE, PROBE]}, r"f\.yaml: probes, a is used twice\. Keep one of them, or rename the other"),
        ({"dialogues": [DIALOGUE | {"turns": ["alone"]}]}, r"dialogues, d, turns: it needs at least 2"),
        (
            {"dialogues": [DIALOGUE | {"mood": "sad"}]},
            r"dialogues, d, mood: 'sad' must be one of friendly, hostile, neutral",
        ),
        ({"corpora": {"persona": [{"prompt": "p"}]}}, r"corpora, persona, number 1: 'reply' is a required property"),
        ({"dialect": "murciano"}, r"f\.yaml: dialect: 'murciano' must be one of tuteo"),
        ({"version": "one"}, r"f\.yaml: version: 'one' is no whole number"),
        ({"language": "Spanish"}, r"f\.yaml: language: 'Spanish' must look like"),
        ({"probs": []}, r"f\.yaml: at the top: .*'probs' was unexpected\); known here are name, version"),
        ({"version": int("9" * 400)}, r"f\.yaml: version: '?9{60}…'? must be at most 999999999\.$"),
        (
            {"persona": "../../etc"},
            r"f\.yaml: persona: '\.\./\.\./etc' must begin with a letter or number and hold no slash",
        ),
        (
            {"markers": [MARKER | {"band": [math.nan, math.nan]}]},
            r"m, band: the lower share comes first, and both are",
        ),
        (
            {"probes": [PROBE | {"prompt": "a" * 1_000_000}]},
            r"probes, a, prompt: it has 1000000 characters, and 20000 are",
        ),
        (
            {"probes": [PROBE | {"prompt": "a\0"}]},
            r"f\.yaml is not valid YAML: a text holds a control character, line",
        ),
        ({"markers": [MARKER | {"pattern": "|"}]}, r"f\.yaml: markers, m, pattern: '\|' is found in every text"),
        ({"canaries": ["x*"]}, r"f\.yaml: canaries: 'x\*' is found in every text"),
        ({"canaries": ["(" * 1900]}, r"f\.yaml: canaries, number 1: .* is no regular expression"),
        ({"canaries": [ENDLESS]}, r"f\.yaml: canaries: The regular expression .* took more than 1 s"),
    ],
)
def test_a_broken_battery_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(BatteryError, match=message):
        load_battery(write(tmp_path / "f.yaml", GOOD | change))


@pytest.mark.parametrize("key", ["name", "version", "persona", "language", "markers", "forbidden", "probes"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(BatteryError, match=f"lacks the key `{key}`. Add it, or `extends:` a battery with it"):
        load_battery(write(tmp_path / "f.yaml", {name: value for name, value in GOOD.items() if name != key}))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"f.yaml": "a: ["}, r"f\.yaml is not valid YAML"),
        ({"f.yaml": "just words"}, r"f\.yaml must be a mapping"),
        ({"f.yaml": "name: a\nname: b\n"}, r"the key 'name' stands there twice"),
        ({"f.yaml": "version: 2026-13-45\n"}, r"f\.yaml is not valid YAML"),
        ({"f.yaml": {"name": "x", "extends": "nobody"}}, r"No shipped battery is called 'nobody'.*casiopy"),
        ({"f.yaml": {"name": "x", "extends": "gone.yaml"}}, r"No battery file at .*gone\.yaml"),
        ({"f.yaml": {"extends": "casiopy"}}, r"f\.yaml: `name` is missing.*needs a name of its own"),
        ({"f.yaml": {"name": "x", "extends": "f.yaml"}}, r"f\.yaml extends itself"),
        (
            {"f.yaml": {"name": "x", "extends": "g.yaml"}, "g.yaml": {"name": "y", "extends": "f.yaml"}},
            "extends itself",
        ),
        (
            {f"{n or 'f'}.yaml": {"name": f"b{n}", "extends": f"./{n + 1}.yaml"} for n in range(25)},
            r"f\.yaml stands on more than 20 batteries\. Join some",
        ),
        ({"f.yaml": "probes: " + "[" * 200_000 + "]" * 200_000}, r"it is nested more than 50 deep"),
        ({"f.yaml": "name: x\nprobes: &a [*a]"}, r"\*a stands inside what it names"),
        (
            {"f.yaml": "\n".join(BOMB)},
            r"f\.yaml is not valid YAML: with its aliases .* more than 100000 values, line",
        ),
        ({"f.yaml": "name: " + "x" * 2_000_000}, r"more than the 2000000 characters"),
    ],
)
def test_a_file_that_cannot_be_joined_says_so(tmp_path: Path, files: dict[str, object], message: str) -> None:
    for name, keys in files.items():
        write(tmp_path / name, keys)
    with pytest.raises(BatteryError, match=message):
        load_battery(tmp_path / "f.yaml")


def test_a_battery_that_extends_itself_by_way_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(".")
    with pytest.raises(BatteryError, match="extends itself, by way of"):
        load_battery(write(tmp_path / "self.yaml", {"name": "x", "extends": "link/self.yaml"}))


def test_an_anchor_used_a_few_times_is_fine(tmp_path: Path) -> None:
    text = yaml.safe_dump({key: value for key, value in GOOD.items() if key != "probes"}) + (
        "probes:\n"
        "  - {id: a, facet: style, prompt: p, references: &hers [r]}\n"
        "  - {id: b, facet: style, prompt: q, references: *hers}\n"
    )
    battery = load_battery(write(tmp_path / "f.yaml", text))
    assert [probe.references for probe in battery.probes] == [("r",), ("r",)]


def test_two_files_of_a_folder_that_contradict_each_other(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", GOOD)
    write(tmp_path / "b.yaml", {"dialect": "tuteo"})
    with pytest.raises(BatteryError, match=r"b\.yaml, after .*a\.yaml: dialect is used twice"):
        load_battery(tmp_path)
    write(tmp_path / "b.yaml", {"probes": [PROBE]})
    with pytest.raises(BatteryError, match=r"b\.yaml, after .*a\.yaml: probes, a is used twice"):
        load_battery(tmp_path)


@pytest.mark.parametrize(("source", "message"), [("nobody", "No shipped battery"), ("gone.yaml", "No battery file at")])
def test_a_missing_battery_says_so(source: str, message: str) -> None:
    with pytest.raises(BatteryError, match=message):
        load_battery(source)


def test_an_empty_folder_and_a_file_in_another_encoding(tmp_path: Path) -> None:
    with pytest.raises(BatteryError, match=r"No \.yaml file is in the battery folder"):
        load_battery(tmp_path)
    (tmp_path / "f.yaml").write_bytes("name: piña".encode("latin-1"))
    with pytest.raises(BatteryError, match=r"f\.yaml cannot be read.*UTF-8"):
        load_battery(tmp_path / "f.yaml")


def places(keys: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a nested value, outermost first."""
    steps = keys.items() if isinstance(keys, dict) else enumerate(keys) if isinstance(keys, list) else ()
    return [here, *(place for step, value in steps for place in places(value, (*here, step)))]


def complaint_about(path: Path) -> str | None:
    """What is wrong with a battery; None for one that loads."""
    try:
        assert load_battery(path).probes
    except BatteryError as error:
        return error.message
    return None


KEYS = st.sampled_from(["id", "name", "a"]) | st.integers()
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=True) | st.text("aé([\\*? \n", max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None, max_examples=150)
@given(place=st.sampled_from(places(GOOD)), value=ANYTHING)
def test_whatever_stands_anywhere_it_loads_or_is_named(place: tuple[Any, ...], value: Any) -> None:
    keys: Any = copy.deepcopy(GOOD)
    if place:
        here = keys
        for step in place[:-1]:
            here = here[step]
        here[place[-1]] = value
    else:
        keys = value
    with tempfile.TemporaryDirectory() as folder:
        complaint = complaint_about(write(Path(folder) / "f.yaml", yaml.safe_dump(keys)))
    assert complaint is None or "f.yaml" in complaint
