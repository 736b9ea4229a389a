"""The probes of one week on top of a battery: what was stored that week, asked back."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from persona_training.evaluation.battery import Battery
from persona_training.evaluation.battery_source import is_bare_word
from persona_training.evaluation.words import plain, words
from persona_training.personal_data import find_personal_data
from persona_training.probes.clozes import GAP, Asker, Question, names_in
from persona_training.probes.draft import Draft, Item
from persona_training.probes.errors import ProbesError
from persona_training.probes.habits import find_habits
from persona_training.probes.references import Pool
from persona_training.probes.service import Fact
from persona_training.probes.template import load_template

MOST_FACTS = 24
FEWEST_WORDS = 2  # left of a sentence without its answer


def draft_week(base: Battery, extends: str, year: int, week: int, facts: Sequence[Fact], *, language: str) -> Draft:
    """An overlay that asks for the facts of a week, the most important first.

    Args:
        base: the battery it stands on; its references show her manner.
        extends: what the file says to find that battery by.
        year, week: ISO.
        facts: of that week, public ones only.
        language: in which she is asked.

    Raises:
        ProbesError: no fact can be asked for.
    """
    template = load_template(language, base.persona)
    told = [*base.neutral_replies, *(probe.prompt for probe in base.probes)]
    replies = [reference for probe in base.probes for reference in probe.references]
    pool = Pool([], find_habits(replies, told, template.function_words, [base.persona]))
    asker = template.asker(template.recall, names_in([*replies, *(fact.content for fact in facts)]), base.persona)
    private = [fact for fact in facts if find_personal_data(fact.content)]
    asked: dict[str, Question] = {}
    for fact in (one for one in facts if one not in private):
        question = question_of(fact, asker)
        if question is not None:
            asked.setdefault(question.prompt, question)
    if not asked:
        raise ProbesError(
            f"Nothing to ask about week {week} of {year}: of {len(facts)} public memories stored then, {len(private)} hold "
            "personal data and none has a word to ask for. Memories need the audience `public`; see POST /api/v1/memory."
        )
    draft = Draft(
        f"Week {week} of {year} of {base.persona}, made by `casiopy probes draft --week {week} --year {year}`."
    )
    draft.notes.append(
        f"Made from {len(facts)} public memories, {len(private)} left out for personal data. Is a viewer's name among them?"
    )
    name = f"{year}-w{week:02d}"
    draft.head = {"name": f"{base.name}-{name}", "version": 1, "extends": extends}
    draft.lists["probes"] = [
        _asked(f"week-{name}-{number:02d}", question, pool)
        for number, question in enumerate(list(asked.values())[:MOST_FACTS], 1)
    ]
    return draft


def _asked(name: str, question: Question, pool: Pool) -> Item:
    keys = {"id": name, "facet": "weekly", "prompt": question.prompt, "expect": list(question.expect)}
    answer = {"references": [pool.answer(question.expect[0])]}
    return Item({**keys, **answer}, "ask it as a viewer would, and write what she would say")


def question_of(fact: Fact, asker: Asker) -> Question | None:
    """The value of the memory where its sentence says it, else the sentence's most telling word."""
    value = str(fact.value).strip() if isinstance(fact.value, str | int | float) else ""
    if plain(value):
        sentence, found = re.subn(rf"(?<!\w){re.escape(value)}(?!\w)", GAP, fact.content, flags=re.IGNORECASE)
        if found and len(words(sentence)) >= FEWEST_WORDS:
            return Question(asker.form.format(sentence=sentence), (value,))
    return asker.question(fact.content)


def extends_from(base: str, output: Path) -> str:
    """How a file in `output`'s folder names the battery: a bare word is a shipped one, anything else a path, which is
    relative to that folder."""
    if is_bare_word(base):
        return base
    path = Path(os.path.relpath(base, output.parent)).as_posix()
    return f"./{path}" if is_bare_word(path) else path
