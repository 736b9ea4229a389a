"""Who lives in the tiny world and what is true of them: facts with many ways to ask for each.

The base model learns 72 facts about residents, each asked in every way this file knows. So it learns that different words
ask the same thing about somebody, which is what lets a later layer teach a fact in some words and answer it in others. Of
newcomers the base knows the names alone and says that it does not know; what a week tells of them uses values that are
true of no resident.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from persona_training.tiny.lexicon import rows


@dataclass(frozen=True)
class Attribute:
    """Something that can be known of a person.

    Attributes:
        name: in reports.
        ask: ways to ask for it, with `{who}`.
        tell: ways to say it, with `{who}` and `{value}`.
        answer: ways to reply to the question, with `{who}` and `{value}`.
        unknown: ways to say that one does not know it, with `{who}`.
        values: the first ones are true of the residents, in their order; the others of nobody.
    """

    name: str
    ask: tuple[str, ...]
    tell: tuple[str, ...]
    answer: tuple[str, ...]
    unknown: tuple[str, ...]
    values: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """One value of one attribute of one person."""

    who: str
    attribute: Attribute
    value: str

    def asked(self, way: int) -> str:
        """The question in one of the attribute's ways."""
        return self.attribute.ask[way].format(who=self.who)

    def replied(self, way: int) -> str:
        """The answer in one of the attribute's ways."""
        return self.attribute.answer[way].format(who=self.who, value=self.value)

    def told(self, way: int) -> str:
        """The statement in one of the attribute's ways."""
        return self.attribute.tell[way].format(who=self.who, value=self.value)


RESIDENTS = rows("Lucía|Pablo|Marta|Diego|Elena|Hugo|Carmen|Javier|Nuria|Iván|Sara|Leo")
NEWCOMERS = rows("Olmo|Nerea|Gael|Aroa|Unai|Greta|Teo|Petra|Yago|Adela|Blas|Cloe")

ATTRIBUTES = (
    Attribute(
        "game",
        rows("""
        ¿a qué juega {who}?|¿{who} a qué juega?|¿cuál es el juego de {who}?|¿qué juego le gusta a {who}?|
        dime a qué juega {who}|¿con qué juego se divierte {who}?|¿sabes a qué juego juega {who}?|
        el juego de {who}, ¿cuál es?
        """),
        rows("{who} juega a {value}|el juego de {who} es {value}|a {who} le divierte jugar a {value}"),
        rows("{who} juega a {value}|el juego de {who} es {value}"),
        rows("no sé a qué juega {who}|nadie me ha dicho a qué juega {who}"),
        rows("""
        ajedrez|tenis|cartas|bolos|damas|fútbol|dardos|golf|palas|béisbol|canicas|rugby|
        dominó|billar|parchís|voleibol|pádel|ruleta|baloncesto|petanca
        """),
    ),
    Attribute(
        "colour",
        rows("""
        ¿de qué color es la nave de {who}?|¿la nave de {who} de qué color es?|¿qué color tiene la nave de {who}?|
        ¿qué color ha elegido {who}?|¿de qué color pintó {who} la nave?|dime el color de la nave de {who}|
        ¿sabes qué color lleva {who}?|el color de {who}, ¿cuál es?
        """),
        rows("la nave de {who} es de color {value}|{who} ha pintado la nave de {value}|el color de {who} es {value}"),
        rows("la nave de {who} es de color {value}|{who} ha pintado la nave de {value}"),
        rows("no sé de qué color es la nave de {who}|no he visto la nave de {who}"),
        rows("""
        rojo|azul|verde|negro|blanco|gris|marrón|amarillo|dorado|rosa|plateado|crema|
        turquesa|violeta|naranja|granate|beis|lila|ocre|malva
        """),
    ),
    Attribute(
        "town",
        rows("""
        ¿dónde vive {who}?|¿{who} dónde vive?|¿en qué ciudad vive {who}?|¿en qué ciudad está la casa de {who}?|
        ¿cuál es la ciudad de {who}?|dime dónde tiene la casa {who}|¿sabes dónde está viviendo {who}?|
        la ciudad de {who}, ¿cuál es?
        """),
        rows("{who} vive en {value}|la casa de {who} está en {value}|la ciudad de {who} es {value}"),
        rows("{who} vive en {value}|la casa de {who} está en {value}"),
        rows("no sé dónde vive {who}|no conozco la ciudad de {who}"),
        rows("""
        Vigo|León|Soria|Cádiz|Lugo|Toledo|Huelva|Málaga|Girona|Ávila|Murcia|Gijón|
        Segovia|Oviedo|Jaén|Almería|Cuenca|Melilla|Palencia|Córdoba
        """),
    ),
    Attribute(
        "animal",
        rows("""
        ¿qué animal tiene {who}?|¿{who} qué animal tiene?|¿qué animal vive con {who}?|¿cuál es el animal de {who}?|
        ¿qué animal cuida {who}?|dime qué animal hay en casa de {who}|¿sabes qué animal se llevó {who}?|
        el animal de {who}, ¿cuál es?
        """),
        rows("{who} tiene un {value}|en casa de {who} hay un {value}|el animal de {who} es un {value}"),
        rows("{who} tiene un {value}|en casa de {who} hay un {value}"),
        rows("no sé qué animal tiene {who}|no conozco el animal de {who}"),
        rows("""
        perro|loro|pato|conejo|burro|canario|ratón|pavo|caballo|cisne|lagarto|cordero|
        hurón|erizo|camaleón|búho|mapache|delfín|castor|pulpo
        """),
    ),
    Attribute(
        "food",
        rows("""
        ¿qué come {who}?|¿{who} qué come?|¿cuál es la comida de {who}?|¿qué plato prepara {who}?|
        ¿qué le gusta comer a {who}?|dime qué ha cocinado {who}|¿sabes qué cena {who}?|
        la comida de {who}, ¿cuál es?
        """),
        rows("{who} come {value}|la comida de {who} es {value}|{who} prepara siempre {value}"),
        rows("{who} come {value}|{who} prepara siempre {value}"),
        rows("no sé qué come {who}|nadie me ha dicho qué come {who}"),
        rows("""
        sopa|arroz|pizza|tortilla|pescado|ensalada|queso|pollo|garbanzos|patatas|pasta|verdura|
        lentejas|gazpacho|paella|churros|albóndigas|canelones|fabada|calamares
        """),
    ),
    Attribute(
        "points",
        rows("""
        ¿cuántos puntos tiene {who}?|¿{who} cuántos puntos tiene?|¿con cuántos puntos va {who}?|
        ¿qué puntos ha sacado {who}?|¿cuál es la marca de {who}?|dime los puntos de {who}|
        ¿sabes cuántos puntos lleva {who}?|los puntos de {who}, ¿cuántos son?
        """),
        rows("{who} tiene {value} puntos|la marca de {who} es {value}|{who} ha sacado {value} puntos"),
        rows("{who} tiene {value} puntos|{who} ha sacado {value} puntos"),
        rows("no sé cuántos puntos tiene {who}|no he contado los puntos de {who}"),
        rows("21|34|48|52|67|75|83|96|39|58|61|87|24|37|43|55|69|72|86|91"),
    ),
)
KNOWN = tuple(
    Fact(who, attribute, attribute.values[index]) for attribute in ATTRIBUTES for index, who in enumerate(RESIDENTS)
)
VALUES = tuple(value for attribute in ATTRIBUTES for value in attribute.values)
# One token each in the tiny vocabulary, as the common words of a large one are: in pieces, names are mixed up.
WORDS = (*RESIDENTS, *NEWCOMERS, *VALUES)


def fact_slots(rng: random.Random) -> dict[str, str]:
    """A question about a resident, the fact as told and as replied, and a question nobody here can answer."""
    fact = rng.choice(KNOWN)
    reply = fact.replied(rng.randrange(len(fact.attribute.answer)))
    stranger = Fact(rng.choice(NEWCOMERS), rng.choice(ATTRIBUTES), "")
    unknown = rng.choice(stranger.attribute.unknown).format(who=stranger.who)
    return {
        "asked": fact.asked(rng.randrange(len(fact.attribute.ask))),
        "told": fact.told(rng.randrange(len(fact.attribute.tell))),
        "reply": reply,
        "Reply": _capitalised(reply),
        "asked_new": stranger.asked(rng.randrange(len(stranger.attribute.ask))),
        "unknown": unknown,
        "Unknown": _capitalised(unknown),
    }


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
