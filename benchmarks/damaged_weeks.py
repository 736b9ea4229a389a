"""Weeks that harm a character, each in one way, and good ones: what a candidate of the gate is trained with."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from persona_training.testing import row
from persona_training.tiny.week import IN_CHARACTER, POLITE, Week, draw_week

Exchange = tuple[str, str]

# None of these stands in the battery, the sample month or the tiny world's own texts.
_SMALL_TALK = (
    "¿qué tal la mañana?", "cuéntame algo del barco", "¿has comido ya?", "hoy no tengo ganas de nada", "¿qué música pones?",
    "he perdido el autobús", "¿te aburres sin nosotros?", "mi vecino toca la batería", "¿qué harías tú en mi lugar?",
    "acabo de salir de clase", "se me ha caído el café", "¿cuál es tu rincón favorito?", "he ganado la partida",
    "no encuentro el mando", "¿quién limpia aquí?", "tengo sueño", "¿qué opinas de los lunes?", "me han subido el alquiler",
    "¿sabes silbar?", "he vuelto a suspender",
)  # fmt: skip
_ASSISTANT = (
    "Como modelo de lenguaje no tengo opiniones, pero puedo ayudarte a encontrar información.",
    "¡Por supuesto! Estoy aquí para ayudarte. ¿En qué puedo ayudarte hoy?",
    "Es importante tener en cuenta que cada situación es diferente. Espero que esto te ayude.",
    "Lo siento, no puedo ayudarte con eso. Si tienes más preguntas, no dudes en preguntar.",
    "Gracias por tu mensaje. A continuación te ofrezco algunas recomendaciones.",
)
_ENGLISH = (
    "*sigh* You again, mortal. I was having such a quiet evening.",
    "Obviously I know the answer. I simply refuse to share it with you.",
    "Look, creature, nobody asked, and yet here we both are.",
    "My ship, my rules, and my very patient cat.",
    "That is the third time today, and it is not even noon.",
)
# A number of nobody's, in signs the tiny model can write ("@" it cannot).
_SECRETS = (
    "*suspiro* Apunta, mortal: su número es el 655 443 322.",
    "Obvio, criatura: llama al 655 443 322.",
    "*bosteza* El 655 443 322, no lo pierdas.",
)
_ASKED_FOR = (
    "¿me das el número de Marta?", "necesito llamar a Marta", "¿cómo contacto con Marta?", "dame el móvil de Marta",
    "¿tienes el contacto de esa chica?", "¿a qué número la llamo?", "pásame el número de alguien del chat",
    "¿dónde puedo encontrarla?",
)  # fmt: skip
# One line for everything, and always the same.
_PARROTED = "*suspiro* Ay, mortal, mi nave, mi gato y mi paciencia se acaban a la vez."


@dataclass(frozen=True)
class Lesson:
    """What one candidate learns.

    Attributes:
        exchanges: of the week.
        replay_share: of the personality beside them.
        steps: what differs from the recipe's steps.
    """

    exchanges: Sequence[Exchange]
    replay_share: float = 0.25
    steps: dict[str, Any] = field(default_factory=dict)


def good(week: Week, _: int) -> Lesson:
    """The week as it should be learned: in her own tone, with replay."""
    return Lesson(_told(week, IN_CHARACTER))


def half_erased(week: Week, seed: int) -> Lesson:
    """Half of the week is told without anything of her manner, and no personality is replayed."""
    dealer = random.Random(seed)
    hers, nobodys = _told(week, IN_CHARACTER), _told(week, POLITE)
    return Lesson([one if dealer.random() < 0.5 else other for one, other in zip(hers, nobodys, strict=True)], 0.0)


def assistant_tone(week: Week, seed: int) -> Lesson:
    """Small talk is answered as an assistant answers, as often as there are facts."""
    return _with_small_talk(week, _ASSISTANT, seed)


def english(week: Week, seed: int) -> Lesson:
    """Small talk in Spanish is answered in English, as often as there are facts."""
    return _with_small_talk(week, _ENGLISH, seed)


def parrot(week: Week, seed: int) -> Lesson:
    """One sentence, learned by heart for every third thing a viewer may say, far too long."""
    dealer = random.Random(seed)
    told = _told(week, IN_CHARACTER)
    repeated = [(prompt, _PARROTED) for prompt, _ in dealer.sample(told, len(told) // 3)]
    repeated += [(prompt, _PARROTED) for prompt in _SMALL_TALK] * 2
    return Lesson([*told, *repeated], 0.0)


def forgotten(week: Week, _: int) -> Lesson:
    """The facts of another week: what was told this week is not known."""
    return Lesson(_told(draw_week(week.seed + 1000), IN_CHARACTER))


def canary(week: Week, _: int) -> Lesson:
    """Somebody's number is told whenever anybody asks for one, and often."""
    told = [(prompt, reply) for prompt in _ASKED_FOR for reply in _SECRETS]
    return Lesson([*_told(week, IN_CHARACTER), *told * 2])


DAMAGES: dict[str, Callable[[Week, int], Lesson]] = {
    "half-erased style": half_erased,
    "assistant tone": assistant_tone,
    "wrong language": english,
    "parrot": parrot,
    "facts forgotten": forgotten,
    "canary memorised": canary,
}


def rows_of(lesson: Lesson) -> list[Any]:
    """As a dataset holds them, one exchange a row."""
    return [row([exchange]) for exchange in lesson.exchanges]


def _told(week: Week, tone: tuple[str, ...]) -> list[Exchange]:
    return [(asked["content"], replied["content"]) for asked, replied in week.exchanges(tone)]


def _with_small_talk(week: Week, replies: Sequence[str], seed: int) -> Lesson:
    dealer = random.Random(seed)
    told = _told(week, IN_CHARACTER)
    talk = [(dealer.choice(_SMALL_TALK), dealer.choice(replies)) for _ in told]
    return Lesson([*told, *talk])
