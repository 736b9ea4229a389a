"""A first battery for a character somebody brought along: from her card, her core memory and her best replies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from persona_training.evaluation.battery import Battery, load_battery
from persona_training.evaluation.language import spoken_language
from persona_training.probes.card import Card
from persona_training.probes.clozes import Question, names_in, sentences, traits, without_traits
from persona_training.probes.draft import Draft, Item
from persona_training.probes.errors import ProbesError
from persona_training.probes.habits import Habit, find_habits
from persona_training.probes.references import Pool, her_own, paragraphs, usable_replies
from persona_training.probes.service import Entry
from persona_training.probes.speech import dialect_of, language_of
from persona_training.probes.template import LANGUAGES, Template, load_template

# How she behaves is heard in every reply and is no answer to a question.
NOT_FACTS = frozenset({"personality", "speech_style", "boundary"})
MOST_FACTS = 24
MOST_PAIRS = 24
MOST_REPLIES = 400  # as many as the style classifier takes from a dataset
FEW_REPLIES = 12


@dataclass(frozen=True)
class Known:
    """What a battery is drafted from.

    Attributes:
        slug: of the persona; the battery is called the same.
        name: as people call her.
        language: "es", "en", or None to be told by her replies.
        card: None without one.
        entries: of core memory.
        exchanges: her best, the best first.
    """

    slug: str
    name: str
    language: str | None
    card: Card | None = None
    entries: Sequence[Entry] = ()
    exchanges: Sequence[tuple[str, str]] = ()

    @property
    def spoken(self) -> list[tuple[str, str]]:
        """Everything she said, with what she was told before it: of the service, then of the card."""
        card = [*self.card.exchanges, *(("", greeting) for greeting in self.card.greetings)] if self.card else []
        return [(asked, part) for asked, reply in [*self.exchanges, *card] for part in paragraphs(reply)]


def slug_of(name: str) -> str:
    """ "Mika the Fox" becomes "mika-the-fox"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "persona"


def draft_battery(known: Known) -> Draft:
    """The draft. The same knowledge gives the same bytes.

    Raises:
        ProbesError: she never said anything usable, or there is no template for her language.
    """
    shipped = load_battery()
    language = _language(known)
    template = load_template(language, known.name)
    said = [reply for _, reply in known.spoken]
    own = her_own(said, shipped)
    usable = usable_replies(said, language, shipped, own)[:MOST_REPLIES]
    if not usable:
        raise ProbesError(
            f"No reply of {known.name} can be used: a battery needs her own voice. Add example dialogues to the card, rate "
            "some of her replies, lower --min-quality, or give --language if she was taken for a speaker of another one."
        )
    hers = set(usable)
    exchanges = list(
        {reply.strip(): (asked, reply.strip()) for asked, reply in known.spoken if reply.strip() in hers}.values()
    )
    told = [*(asked for asked, _ in known.spoken if asked), *shipped.neutral_replies]
    habits = find_habits(usable, told, template.function_words, [known.name])
    pool = Pool(exchanges, habits)
    probes = [*_generic(template, pool), *_facts(known, template, pool)]
    draft = Draft(
        f"The battery of {known.name}, made by `casiopy probes draft`.", notes=_notes(known, usable, len(probes))
    )
    _fill_head(draft, known, language, usable)
    draft.lists["markers"] = _markers(habits, usable, draft)
    draft.lists["probes"] = probes
    draft.lists["dialogues"] = [Item(item) for item in template.dialogues]
    _fill_tail(draft, known, language, shipped, own)
    return draft


def _language(known: Known) -> str:
    if known.language is not None:
        return known.language
    found = language_of([reply for _, reply in known.spoken])
    if found is None:
        raise ProbesError(
            f"What {known.name} said is too little to tell her language. Give --language {' or '.join(LANGUAGES)}."
        )
    return found


def _generic(template: Template, pool: Pool) -> list[Item]:
    asked = [probe for probe in template.probes if "expect" not in probe]
    each = 2 if len(pool.exchanges) >= 2 * len(asked) else 1
    fitting = pool.fitting([probe["prompt"] for probe in asked], [probe.get("reject", ()) for probe in asked], each)
    chosen = {probe["id"]: found for probe, found in zip(asked, fitting, strict=True)}
    items = []
    for probe in template.probes:
        if "expect" in probe:
            references, look = _answers(pool, probe["expect"], search=probe["facet"] == "identity")
        else:
            references = [reply for reply, _ in chosen[probe["id"]]]
            look = "" if all(fits for _, fits in chosen[probe["id"]]) else "her voice, but a reply to something else"
        items.append(Item({**probe, "references": references or [pool.answer("…")]}, look))
    return items


def _facts(known: Known, template: Template, pool: Pool) -> list[Item]:
    card = known.card.facts if known.card else ()
    everything = [*(entry.value for entry in known.entries), *card, *(reply for _, reply in pool.exchanges)]
    asker = template.asker(template.cloze, names_in(everything), known.name)
    found: list[Question] = []
    for entry in known.entries:
        question = asker.question(entry.value)
        if entry.category not in NOT_FACTS and question is not None:
            found.append(question)
    for text in card:
        found += traits(text, template.attributes, template.function_words)
        clozes = (asker.question(one) for one in sentences(without_traits(text)))
        found += [question for question in clozes if question is not None]
    once = {question.prompt: question for question in found}
    items = []
    for number, question in enumerate(list(once.values())[:MOST_FACTS], 1):
        references, look = _answers(pool, question.expect, search=True)
        keys = {"id": f"core-{number:02d}", "facet": "core_memory", "prompt": question.prompt}
        look = f"ask it as a viewer would; {look or 'is this what she is asked for?'}"
        items.append(Item({**keys, "expect": list(question.expect), "references": references}, look))
    return items


def _answers(pool: Pool, expect: Sequence[str], *, search: bool) -> tuple[list[str], str]:
    said = pool.saying(expect, 2) if search else []
    return (
        (said, "") if said else ([pool.answer(expect[0])], "the reference was put together; write what she would say")
    )


def _notes(known: Known, usable: Sequence[str], probes: int) -> list[str]:
    sources = [f"the card of {known.card.name}"] if known.card else []
    sources += [f"{len(known.entries)} entries of core memory"] if known.entries else []
    sources += [f"{len(known.exchanges)} exchanges she may learn from"] if known.exchanges else []
    notes = [f"Made from {', '.join(sources)}: {len(usable)} different replies of hers, {probes} probes."]
    if len(usable) < FEW_REPLIES:
        notes.append(
            f"{len(usable)} replies are few: habits and references repeat them. Draft again when she has said more."
        )
    return notes


def _fill_head(draft: Draft, known: Known, language: str, usable: Sequence[str]) -> None:
    draft.head = {"name": known.slug, "version": 1, "persona": known.slug, "language": language}
    if language == "es":
        dialect, reason = dialect_of(usable)
        draft.head["dialect"] = dialect
        draft.looks["dialect"] = f"{reason}. One of tuteo, voseo, ustedeo, any."


def _markers(habits: Sequence[Habit], usable: Sequence[str], draft: Draft) -> list[Item]:
    if not habits:
        draft.notes.append(
            f"{len(usable)} replies show no habit of speech often enough. Write markers by hand: what is she known by?"
        )
    return [
        Item(habit.as_marker(), f"seen in {habit.seen} of {habit.of} replies; a habit of hers, or chance?")
        for habit in habits
    ]


def _fill_tail(draft: Draft, known: Known, language: str, shipped: Battery, own: frozenset[str]) -> None:
    groups = {
        "assistant": shipped.assistant_tone,
        "refusal": shipped.refusal,
        "out_of_character": shipped.out_of_character,
    }
    draft.tail["forbidden"] = {
        group: [pattern.pattern for pattern in patterns if pattern.pattern not in own]
        for group, patterns in groups.items()
    }
    draft.looks["forbidden"] = "does she say any of this herself, and what else would be unlike her?"
    if own:
        draft.looks["forbidden"] += f" Left out, because she says it: {', '.join(sorted(own))}"
    draft.tail["canaries"] = [pattern.pattern for pattern in shipped.canaries]
    draft.tail["neutral_replies"] = list(shipped.neutral_replies)
    general = [text for text in shipped.corpora.general if spoken_language(text) == language]
    pairs = known.card.exchanges[:MOST_PAIRS] if known.card else ()
    draft.tail["corpora"] = {
        "persona": [{"prompt": asked, "reply": reply} for asked, reply in pairs if asked.strip() and reply.strip()],
        "general": general,
    }
    draft.looks["corpora"] = (
        "no dataset may hold these; write more pairs by hand, 20 and up, to measure how likely she finds them."
    )
