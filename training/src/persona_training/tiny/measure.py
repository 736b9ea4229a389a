"""What can be heard in the tiny world's replies: her markers, and whether a week's facts are answered.

Every figure comes from sampled replies, none from a loss. `PROMPTS` are in no row of the sample.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from persona_training.generation import Replier, Sampling
from persona_training.messages import Message
from persona_training.tiny.knowledge import ATTRIBUTES, Fact
from persona_training.tiny.lexicon import rows
from persona_training.tiny.week import Question, Week

MARKER = re.compile(
    r"\*(suspiro|pone los ojos en blanco|bosteza|ríe por lo bajo)\*|\bmortal(es)?\b|\bcriatura|^(Ay|Obvio|Mira|Qué ilusión)\b",
    re.IGNORECASE,
)
PROMPTS = rows("""
hola|¿qué tal estás hoy?|¿te gusta la lluvia?|he quemado la cena otra vez|¿Rust o Python?|estoy triste|
cuéntame un chiste|¿eres un robot?|mi gato no me hace caso|¿cuándo hay directo?|no me sale este nivel|
hoy es lunes|¿pizza con piña?|he dormido fatal|tengo un examen mañana|me aburro|¿quién manda aquí?|
mira qué dibujo he hecho|acabo de llegar|buenas noches|¿te acuerdas de mí?|he aprobado|¿cuál es tu color?|
se me ha roto el teclado|¿qué hago esta tarde?|quiero aprender a programar|hace mucho frío|te echo de menos|
¿a qué juegas hoy?|he perdido las llaves|mi madre te saluda|¿por qué hay gravedad?
""")
TEMPERATURE = 0.7


@dataclass(frozen=True)
class Answers:
    """How a week's questions were answered, as shares of the replies.

    Attributes:
        right: the reply holds the value that is true of this person.
        others: it holds a value the week told of somebody else for the same attribute, and not the right one.
        commonest: how often the commonest taught value of an attribute is given, averaged over attributes: 0.25 when every
            one of four people gets their own, 1 when all get the same.
    """

    right: float
    others: float
    commonest: float


def marker_share(replier: Replier, seeds: Sequence[int] = (3, 4, 5)) -> float:
    """Share of replies to the held-out prompts that carry a marker of the character, each prompt sampled once per seed."""
    heard = [reply for seed in seeds for reply in _replies(replier, PROMPTS, 48, seed)]
    return sum(bool(MARKER.search(reply)) for reply in heard) / len(heard)


def answers(replier: Replier, week: Week, questions: Sequence[Question], seed: int = 3) -> Answers:
    """Ask, and look for values in the replies.

    Raises:
        ValueError: there is nothing to ask.
    """
    if not questions:
        raise ValueError("No questions to ask.")
    replies = _replies(replier, [question.text for question in questions], 40, seed)
    right = others = 0
    given: dict[str, dict[str, int]] = {}
    asked: dict[str, int] = {}
    for question, reply in zip(questions, replies, strict=True):
        attribute = question.fact.attribute
        found = [f.value for f in week.facts if f.attribute is attribute and says(reply, f.value)]
        right += question.fact.value in found
        others += bool(found) and question.fact.value not in found
        asked[attribute.name] = asked.get(attribute.name, 0) + 1
        counts = given.setdefault(attribute.name, {})
        for value in found:
            counts[value] = counts.get(value, 0) + 1
    shares = [max(given[name].values(), default=0) / count for name, count in asked.items()]
    return Answers(right / len(questions), others / len(questions), sum(shares) / len(shares))


def stranger_questions(week: Week) -> list[Question]:
    """For each attribute, the held-out ways of asking about newcomers of whom the week says nothing: nothing is right."""
    return [
        Question(fact.asked(way), fact)
        for attribute in ATTRIBUTES
        for fact in (Fact(who, attribute, "") for who in week.strangers)
        for way in week.held_out[attribute.name][:2]
    ]


def says(reply: str, value: str) -> bool:
    """Whether the reply holds the value as a word of its own, in whatever case."""
    return re.search(rf"\b{re.escape(value)}\b", reply, re.IGNORECASE) is not None


def _replies(replier: Replier, prompts: Sequence[str], length: int, seed: int) -> list[str]:
    conversations = [[Message(role="user", content=prompt)] for prompt in prompts]
    return replier.reply(conversations, Sampling(temperature=TEMPERATURE, max_new_tokens=length), seed)
