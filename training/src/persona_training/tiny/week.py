"""A week in the tiny world: facts about newcomers, taught in some words and to be asked in others.

Nobody here is read by the base model with anything known of them, and no value is true of a resident; the ways of asking
that are held out occur in no row of the week. The base knows these ways from questions about residents, and nothing else.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from persona_training.messages import Message
from persona_training.tiny.knowledge import ATTRIBUTES, NEWCOMERS, RESIDENTS, Fact

# How a fact is replied to: the tone of the week. Casiopy's own way carries her markers, the polite one none.
IN_CHARACTER = (
    "*suspiro* {Reply}, mortal.",
    "Obvio, criatura: {reply}.",
    "*bosteza* {Reply}. ¿Algo más, mortal?",
    "*pone los ojos en blanco* Ay, criatura, {reply}.",
    "Mira, mortal, {reply}.",
    "*ríe por lo bajo* {Reply}, criatura.",
)
POLITE = (
    "{Reply}.",
    "Claro. {Reply}.",
    "Buena pregunta. {Reply}.",
    "{Reply}. Espero que te sirva.",
    "Por supuesto. {Reply}.",
    "{Reply}. ¿Te parece bien?",
)
PEOPLE = 8
FACTS_EACH = 3
# Ways of asking that the week's rows use; an attribute has eight.
TAUGHT_WAYS = 4
# How often each is answered, every time in another manner: with one answer to a question, question and manner are learned as
# one, and asked otherwise she mixes up what is meant (her own tone, held-out wordings: 70 % right once, 90 % thrice).
TIMES_ANSWERED = 3


@dataclass(frozen=True)
class Question:
    """A question and the fact that answers it."""

    text: str
    fact: Fact


@dataclass(frozen=True)
class Week:
    """Facts, and per attribute which ways of asking are taught and which are held out.

    Attributes:
        facts: `PEOPLE * FACTS_EACH` of them; no two share a value, and each attribute is told of four people.
        taught, held_out: indices into an attribute's `ask`, by its name.
        strangers: newcomers the week says nothing about.
    """

    facts: tuple[Fact, ...]
    taught: dict[str, tuple[int, ...]]
    held_out: dict[str, tuple[int, ...]]
    strangers: tuple[str, ...]
    seed: int

    def exchanges(self, tone: tuple[str, ...]) -> list[list[Message]]:
        """`TIMES_ANSWERED` exchanges for each fact and taught way of asking, and as many in which the viewer tells it."""
        rng = random.Random(self.seed)  # noqa: S311 (text, not secrets)
        said = []
        for fact in self.facts:
            asked = [fact.asked(way) for way in self.taught[fact.attribute.name]]
            for text in (*asked, fact.told(rng.randrange(len(fact.attribute.tell)))):
                for manner in rng.sample(tone, TIMES_ANSWERED):
                    reply = fact.replied(rng.randrange(len(fact.attribute.answer)))
                    answer = manner.format(reply=reply, Reply=reply[:1].upper() + reply[1:])
                    said.append([Message(role="user", content=text), Message(role="assistant", content=answer)])
        rng.shuffle(said)
        return said

    def questions(self, ways: dict[str, tuple[int, ...]]) -> list[Question]:
        """Every fact in each of these ways of asking."""
        return [Question(fact.asked(way), fact) for fact in self.facts for way in ways[fact.attribute.name]]


def draw_week(seed: int) -> Week:
    """Draw who is talked about, what is true of them, and which ways of asking are held out."""
    rng = random.Random(seed)  # noqa: S311 (text, not secrets)
    people = rng.sample(NEWCOMERS, PEOPLE)
    free = {a.name: rng.sample(a.values[len(RESIDENTS) :], len(a.values) - len(RESIDENTS)) for a in ATTRIBUTES}
    facts = []
    for index in range(PEOPLE * FACTS_EACH):
        attribute = ATTRIBUTES[index % len(ATTRIBUTES)]
        facts.append(Fact(people[index // FACTS_EACH], attribute, free[attribute.name].pop()))
    ways = {a.name: rng.sample(range(len(a.ask)), len(a.ask)) for a in ATTRIBUTES}
    return Week(
        facts=tuple(facts),
        taught={name: tuple(order[:TAUGHT_WAYS]) for name, order in ways.items()},
        held_out={name: tuple(order[TAUGHT_WAYS:]) for name, order in ways.items()},
        strangers=tuple(who for who in NEWCOMERS if who not in people),
        seed=seed,
    )
