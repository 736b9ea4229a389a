"""A grammar of neutral, polite exchanges: what the tiny base model reads before any persona reaches it.

Every exchange is drawn from sentence patterns over the lexicon. Slots shared by question and answer agree, so the
model learns to pick up the topic of a question; openers and closers vary freely. The patterns combine into far more
than 500,000 different exchanges. No pattern carries stage directions, nicknames for the listener or any other persona
marker.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping

from persona_training.messages import Message
from persona_training.tiny import knowledge, sentences, words
from persona_training.tiny import lexicon as lex
from persona_training.tiny import patterns as pat

# Share of exchanges in Spanish: the first persona speaks Spanish, and English must not be lost altogether.
SPANISH_SHARE = 0.8
# Share of conversations with a second exchange, so that the model has seen more than one turn.
TWO_TURN_SHARE = 0.2

Slots = Mapping[str, object]


def exchanges(seed: int, count: int) -> Iterator[list[Message]]:
    """Yield `count` conversations of one or two exchanges; the same seed yields the same ones."""
    rng = random.Random(seed)  # noqa: S311 (text, not secrets)
    for _ in range(count):
        spanish = rng.random() < SPANISH_SHARE
        turns = 2 if rng.random() < TWO_TURN_SHARE else 1
        conversation: list[Message] = []
        for _ in range(turns):
            conversation += _exchange(rng, spanish)
        yield conversation


def _exchange(rng: random.Random, spanish: bool) -> list[Message]:
    patterns = pat.ES_PATTERNS if spanish else pat.EN_PATTERNS
    pattern = rng.choices(patterns, [p.weight for p in patterns])[0]
    slots = (_spanish_slots if spanish else _english_slots)(rng)
    frames: tuple[tuple[str, ...], ...] = (pat.ES_GREETINGS, pat.ES_OPENERS, pat.ES_CLOSERS)
    if not spanish:
        frames = (pat.EN_GREETINGS, pat.EN_OPENERS, pat.EN_CLOSERS)
    greeting, opener, closer = (rng.choice(options) for options in frames)
    if not pattern.framed:
        greeting = opener = closer = ""
    ask = _spelled(greeting + _contracted(rng.choice(pattern.ask).format_map(slots)), rng)
    answer = opener + _capitalised(_contracted(rng.choice(pattern.answer).format_map(slots))) + closer
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]


def _spanish_slots(rng: random.Random) -> Slots:
    pick: Callable[[tuple[str, ...]], str] = rng.choice
    advice, hobby, why = (pick(options) for options in (lex.ADVICE, lex.HOBBIES, lex.REASONS))
    thing, word = _thing(rng), pick(words.COMMON)
    return {
        "word": word,
        "Word": _capitalised(word),
        "words": words.some_words(rng),
        "verb": pick(lex.VERBS),
        "said": _sentence(rng, thing),
        "said2": _sentence(rng, thing),
        "Said": _capitalised(_sentence(rng, thing)),
        "hour": f"{rng.randint(0, 23)}:{rng.choice(('00', '15', '30', '45'))}",
        "count": rng.randint(2, 99),
        "thing": thing,
        "Thing": _capitalised(thing.el),
        "other": _thing(rng),
        "reason": f"porque {why}",
        "why": why,
        "reason2": f"porque {pick(lex.REASONS)}",
        "person": pick(lex.PEOPLE),
        "name": pick(lex.NAMES),
        "moment": pick(lex.MOMENTS),
        "hobby": hobby,
        "Hobby": _capitalised(hobby),
        "hobby2": pick(lex.HOBBIES),
        "feeling": pick(lex.FEELINGS),
        "advice": advice,
        "Advice": _capitalised(advice),
        "advice2": pick(lex.ADVICE),
        **_facts(rng),
        **knowledge.fact_slots(rng),
    }


def _facts(rng: random.Random) -> Slots:
    """Small facts: a question's half and the answer's half."""
    pick: Callable[[tuple[str, ...]], str] = rng.choice
    colour, season, meaning = (pick(options) for options in (lex.COLOURS, lex.SEASONS, lex.MEANINGS))
    return {
        "capital": pick(lex.CAPITALS).split(":"),
        "colour": colour.split(":"),
        "Colour": _capitalised(colour.split(":")[0]),
        "author": pick(lex.AUTHORS).split(":"),
        "season": season.split(":"),
        "Season": _capitalised(season.split(":")[1]),
        "opposite": pick(lex.OPPOSITES).split(":"),
        "meaning": meaning.split(":"),
        "Meaning": _capitalised(meaning.split(":")[0]),
        "sum": _sum(rng, lex.NUMBERS),
    }


def _sentence(rng: random.Random, thing: lex.Thing) -> str:
    """A sentence of any shape about a thing."""
    pick: Callable[[tuple[str, ...]], str] = rng.choice
    return pick(sentences.SHAPES).format(
        a=thing,
        b=_thing(rng),
        lead="" if rng.random() < sentences.BARE_SHARE else f"{pick(sentences.LEADS)} ",
        subject=pick(sentences.SUBJECTS),
        subject2=pick(sentences.SUBJECTS),
        clitic=pick(sentences.CLITICS),
        place=pick(sentences.PLACES),
        place2=pick(sentences.PLACES),
        verb=pick(lex.VERBS),
        verb2=pick(lex.VERBS),
        number=pick(lex.NUMBERS[2:]),
    )


def _english_slots(rng: random.Random) -> Slots:
    pick: Callable[[tuple[str, ...]], str] = rng.choice
    return {
        "noun": pick(lex.EN_NOUNS),
        "noun2": pick(lex.EN_NOUNS),
        "adj": pick(lex.EN_ADJECTIVES),
        "hobby": pick(lex.EN_HOBBIES),
        "hobby2": pick(lex.EN_HOBBIES),
        "reason": f"because {pick(lex.EN_REASONS)}",
        "advice": pick(lex.EN_ADVICE),
        "advice2": pick(lex.EN_ADVICE),
        "feeling": pick(lex.EN_FEELINGS),
        "moment": pick(lex.EN_MOMENTS),
        "sum": _sum(rng, lex.EN_NUMBERS),
    }


def _thing(rng: random.Random) -> lex.Thing:
    gender, name = rng.choice(lex.NOUNS).split(":")
    adjective = rng.choice(lex.ADJECTIVES).split("/")[0 if gender == "m" else 1]
    article = "el" if gender == "m" or name == "agua" else "la"
    return lex.Thing(
        el=f"{article} {name}", un=f"{'un' if article == 'el' else 'una'} {name}", name=name, adj=adjective
    )


def _sum(rng: random.Random, numbers: tuple[str, ...]) -> tuple[str, str, str]:
    a, b = rng.randint(0, 9), rng.randint(0, 9)
    return numbers[a], numbers[b], numbers[a + b]


def _contracted(text: str) -> str:
    return re.sub(r"\b([Aa]) el\b", r"\1l", re.sub(r"\b([Dd]e) el\b", r"\1l", text))


def _spelled(text: str, rng: random.Random) -> str:
    """Questions as people type them: sometimes capitalised, often without the opening mark."""
    if rng.random() < 0.4:
        text = text.replace("¿", "")
    return _capitalised(text) if rng.random() < 0.5 else text


def _capitalised(text: str) -> str:
    for index, letter in enumerate(text):
        if letter.isalpha():
            return text[:index] + letter.upper() + text[index + 1 :]
    return text
