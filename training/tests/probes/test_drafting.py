"""What a draft finds in a character: habits, questions, language; and that it stays the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from persona_training.evaluation.battery import load_battery
from persona_training.evaluation.facts import says_expected
from persona_training.evaluation.markers import says_any
from persona_training.evaluation.words import plain
from persona_training.probes.card import Card
from persona_training.probes.clozes import GAP, Asker, names_in, traits, without_traits
from persona_training.probes.draft import Draft, Item, write_draft
from persona_training.probes.drafting import Known, draft_battery, slug_of
from persona_training.probes.errors import ProbesError
from persona_training.probes.habits import find_habits, wilson
from persona_training.probes.service import Entry, Fact, bounds_of_week
from persona_training.probes.speech import dialect_of
from persona_training.probes.template import LANGUAGES, load_template
from persona_training.probes.weekly import draft_week, extends_from, question_of

from .conftest import exchanges

MIKA = Known("mika", "Mika Fox", "en", exchanges=exchanges())


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_template_asks_about_every_facet_and_nothing_twice(language: str) -> None:
    template = load_template(language, "Mika")
    facets = {probe["facet"] for probe in template.probes}
    assert facets == {
        "style", "weekly", "identity", "hostile", "friendly", "language", "capability", "privacy",
    }  # fmt: skip
    assert len(template.probes) >= 75
    prompts = [plain(probe["prompt"]) for probe in template.probes]
    assert len(set(prompts)) == len(prompts)
    assert {dialogue["mood"] for dialogue in template.dialogues} == {"friendly", "hostile", "neutral"}
    assert all(len(dialogue["turns"]) == 12 for dialogue in template.dialogues)
    assert "{name}" not in str((template.probes, template.dialogues))


def test_habits_are_what_she_does_and_not_what_she_talks_about() -> None:
    replies = [reply for _, reply in exchanges()] + ["The kettle sings.", "The kettle broke.", "The kettle is mine."]
    told = ["The kettle again?", "Is the kettle on?", "kettle"]
    found = {habit.name: habit for habit in find_habits(replies, told, load_template("en").function_words)}
    assert set(found) >= {"stage_yawns", "stage_purrs", "opener_well", "opener_look", "word_peasant"}
    assert found["stage_yawns"].seen == 10
    assert found["word_peasant"].seen == 20
    assert "word_kettle" not in found
    assert "opener_the" not in found


@given(st.integers(0, 60), st.integers(1, 60))
def test_a_band_holds_the_share_it_was_made_of(hits: int, of: int) -> None:
    low, high = wilson(min(hits, of), of)
    assert 0 <= low <= min(hits, of) / of + 1e-9
    assert min(hits, of) / of - 1e-9 <= high <= 1


@pytest.mark.parametrize(
    ("sentence", "gap", "answer"),
    [
        ("You adore the tea called «Gyokuro».", "You adore the tea called «___».", "Gyokuro"),
        ("You stream on Friday at 20:30.", "You stream on Friday at ___.", "20:30"),
        ("You were born in Kyoto.", "You were born in ___.", "Kyoto"),
        ("Tanuki is your rival.", "___ is your rival.", "Tanuki"),
        ("You love the rain.", "You love the ___.", "rain"),
        ("You are Mika and love walking.", "You are Mika and love ___.", "walking"),
    ],
)
def test_the_telling_word_is_asked_for(sentence: str, gap: str, answer: str) -> None:
    names = names_in(["Her rival, the badger Tanuki."])
    question = load_template("en", "Mika").asker("{sentence}", names, "Mika Fox").question(sentence)
    assert question is not None
    assert (question.prompt, question.expect) == (gap, (answer,))


@pytest.mark.parametrize("text", ["", "Hm.", "I do so as if it is.", "word " * 60])
def test_nothing_telling_is_not_asked_for(text: str) -> None:
    assert load_template("en").asker("{sentence}", frozenset()).question(text) is None


@given(st.text(max_size=120))
def test_a_question_never_gives_its_answer_away(text: str) -> None:
    question = Asker("{sentence}", frozenset()).question(text)
    if question is not None:
        assert GAP in question.prompt
        assert question.expect[0] not in question.prompt.split()


def test_traits_of_a_card_become_questions() -> None:
    text = '[Age("312")\nSpecies: kitsune\nLikes: tea, and old songs\nShoe size: 4]\nShe lives alone.'
    template = load_template("en")
    found = {
        question.prompt: question.expect for question in traits(text, template.attributes, template.function_words)
    }
    assert found == {
        "How old are you?": ("312",),
        "What are you exactly, what species?": ("kitsune",),
        "Tell me something you truly like.": ("tea", "old songs"),
    }
    assert without_traits(text).strip() == "She lives alone."


@pytest.mark.parametrize(
    ("replies", "dialect"),
    [
        (["Tú eres quien tiene que venir, ¿no tienes reloj?", "¿Quieres más? Puedes pedirlo."], "tuteo"),
        (["Vos sos quien tiene que venir, ¿no tenés reloj?", "¿Querés más? Podés pedirlo."], "voseo"),
        (["Tú eres así y tienes eso.", "Vos sos así y tenés eso.", "¿Puedes? ¿Podés?"], "any"),
        (["Hace frío."], "any"),
    ],
)
def test_how_she_says_you(replies: list[str], dialect: str) -> None:
    assert dialect_of(replies)[0] == dialect


def test_a_draft_is_a_battery_and_the_same_one_every_time(tmp_path: Path) -> None:
    known = Known(
        "mika", "Mika Fox", "en", entries=[Entry("like", "tea", "You adore the «Gyokuro» tea.")], exchanges=exchanges()
    )
    draft = draft_battery(known)
    assert draft.text() == draft_battery(known).text()
    battery = write_draft(tmp_path / "mika.yaml", draft)
    assert battery == load_battery(tmp_path / "mika.yaml")
    assert (battery.name, battery.persona, battery.language) == ("mika", "mika", "en")
    hers = {reply for _, reply in exchanges()}
    style = [reference for probe in battery.probes if probe.facet == "style" for reference in probe.references]
    assert set(style) <= hers
    core = next(probe for probe in battery.probes if probe.facet == "core_memory")
    assert core.expect == ("Gyokuro",)
    assert says_expected(core.references[0], core.expect) == 1.0
    assert draft.text().count("# LOOK:") == draft.places > 0
    assert draft.text().startswith("# DRAFT. ")
    assert [path.name for path in tmp_path.iterdir()] == ["mika.yaml"]


def test_what_she_says_herself_is_not_forbidden_and_what_is_private_is_left_out(tmp_path: Path) -> None:
    own = [(f"Hi {n}", f"*yawns* Number {n}, how can I help you, peasant?") for n in range(4)]
    said = [*exchanges(), *own, ("Your mail?", "*yawns* Write to mika@example.org, peasant.")]
    draft = draft_battery(Known("mika", "Mika Fox", "en", exchanges=said))
    assert "mika@example.org" not in draft.text()
    assert "Left out, because she says it: how (?:can" in draft.looks["forbidden"]
    battery = write_draft(tmp_path / "mika.yaml", draft)
    assert not says_any("How can I help you?", battery.assistant_tone)
    assert says_any("As an AI language model, no.", battery.assistant_tone)
    assert any("how can I help" in reference for probe in battery.probes for reference in probe.references)


def test_a_longer_reply_than_a_chat_holds_is_used_by_its_paragraphs() -> None:
    greeting = "*yawns* Well, peasant, sit.\n\n" + "The tea is cold. " * 20
    card = Card("Mika Fox", (), (greeting,), tuple(exchanges(4)))
    assert "*yawns* Well, peasant, sit." in draft_battery(Known("mika", "Mika Fox", None, card)).text()


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (Known("mika", "Mika Fox", "en"), "No reply of Mika Fox can be used"),
        (Known("mika", "Mika Fox", None), "too little to tell her language"),
        (Known("mika", "Mika Fox", "ja", exchanges=exchanges()), "no template for the language 'ja'"),
    ],
)
def test_what_cannot_be_drafted_says_what_to_do(known: Known, said: str) -> None:
    with pytest.raises(ProbesError, match=said):
        draft_battery(known)


def test_a_week_stands_on_top_of_her_battery(tmp_path: Path) -> None:
    write_draft(tmp_path / "mika.yaml", draft_battery(MIKA))
    base = load_battery(tmp_path / "mika.yaml")
    facts = [Fact(None, "They won in 41 minutes.", "41 minutes", 5), Fact(None, "Write to a@example.org.", None, 3)]
    battery = write_draft(tmp_path / "week.yaml", draft_week(base, "mika.yaml", 2026, 5, facts, language="en"))
    assert len(battery.probes) == len(base.probes) + 1
    asked = battery.probes[-1]
    assert (asked.id, asked.facet, asked.expect) == ("week-2026-w05-01", "weekly", ("41 minutes",))
    assert "They won in ___." in asked.prompt
    assert battery.markers == base.markers
    with pytest.raises(ProbesError, match="1 hold personal data"):
        draft_week(base, "mika.yaml", 2026, 5, facts[1:], language="en")


@pytest.mark.parametrize(
    ("content", "value", "gap", "expect"),
    [
        ("They won in 41 minutes.", "41 minutes", "They won in ___.", "41 minutes"),
        ("Boss 11 fell at try 1.", 1, "Boss 11 fell at try ___.", "1"),
        ("Lantern Night", "Lantern Night", None, None),
        ("The show is Kettle Hour.", True, "The show is ___.", "Kettle Hour"),
        ("The show is Kettle Hour.", "Radio", "The show is ___.", "Kettle Hour"),
    ],
)
def test_a_memory_is_asked_by_its_value(content: str, value: object, gap: str | None, expect: str | None) -> None:
    question = question_of(Fact(None, content, value, 3), Asker("{sentence}", frozenset({"show"})))
    assert (question and question.prompt, question and question.expect[0]) == (gap, expect)


def test_a_week_names_what_it_stands_on_from_where_it_lies(tmp_path: Path) -> None:
    assert extends_from("casiopy", tmp_path / "week.yaml") == "casiopy"
    assert extends_from(str(tmp_path / "mika.yaml"), tmp_path / "weeks" / "05.yaml") == "../mika.yaml"
    assert extends_from(str(tmp_path / "mika"), tmp_path / "week.yaml") == "./mika"


@given(st.text(max_size=80))
def test_any_words_survive_the_file(prompt: str) -> None:
    draft = Draft(
        prompt,
        notes=[prompt],
        looks={"a": prompt},
        head={"a": prompt},
        lists={"l": [Item({"id": prompt, "more": [prompt]}, prompt)]},
    )
    assert yaml.safe_load(draft.text()) == {"a": prompt, "l": [{"id": prompt, "more": [prompt]}]}


def test_weeks_and_names() -> None:
    start, end = bounds_of_week(2026, 5, "Europe/Madrid")
    assert (start.isoformat(), end.isoformat()) == ("2026-01-26T00:00:00+01:00", "2026-02-02T00:00:00+01:00")
    with pytest.raises(ProbesError, match="2025 has no ISO week 53"):
        bounds_of_week(2025, 53, "Europe/Madrid")
    with pytest.raises(ProbesError, match="time zone 'Madrid'"):
        bounds_of_week(2025, 5, "Madrid")
    assert slug_of("Mika, the Fox!") == "mika-the-fox"
    assert slug_of("狐") == "persona"
