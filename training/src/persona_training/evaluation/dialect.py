"""How does she say "you": tú, vos or usted?

Only forms that belong to one of the three count: *tienes* is tú, *tenés* is vos, *dígame* is usted. Left out are the forms
that dialects share (*te*, *tu*, *estás*, *hiciste*, *verás*), those that are also another word (*cuentas*, *preguntas*; the
-ís of *decís*, which vosotros has too; *ven*, *ten*, *sal*; *pedí*, which is also "I asked"), and those that are vos without
an accent and tú with one ("dejame"), because chat forgets accents. So a form that is found can be trusted, and many replies
hold none. Usted has verb forms of its own only in imperatives, with a pronoun or at the head of a sentence.
Forms after: Real Academia Española, Nueva gramática de la lengua española (2009), chapter 4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import cache
from typing import Literal

from persona_training.evaluation.battery import Dialect
from persona_training.evaluation.language import spoken_language
from persona_training.evaluation.words import without_stage_directions, words

Form = Literal["tuteo", "voseo", "ustedeo"]

# Stems of the infinitive and, where it differs, of the stressed forms. A star: the tú form is another word, too.
_AR = (
    "habl dej llev busc necesit us trabaj grit llor cant gast quit termin acab contest escuch mand entr intent imagin "
    "invent olvid qued toc sac aguant lleg aprovech manej prepar levant molest* pag* mir* tom* llam* pas* esper* ayud* "
    "pregunt* compr* tir* gan* not* dud* par* fij* perdon* call* consult* visit* pens:piens record:recuerd "
    "encontr:encuentr empez:empiez cerr:cierr jug:jueg comenz:comienz cont:cuent* sent:sient* prob:prueb* acord:acuerd* "
    "mostr:muestr* despert:despiert* acost:acuest* apost:apuest*"
)
_ER = (
    "com le cre corr aprend vend met romp respond deb comprend escond merec conoc parec sab hac pon tra ca ten:tien "
    "pod:pued quer:quier perd:pierd entend:entiend volv:vuelv mov:muev resolv:resuelv encend:enciend defend:defiend"
)
_TU = (
    "tú ti contigo eres vienes dices sientes pides sigues prefieres eliges mientes duermes mueres vives escribes subes abres "
    "recibes decides sufres insistes oyes haz hazme hazte hazlo hazla hazle pon ponme ponte ponlo ponla dime dile dinos "
    "dímelo díselo vete vente tenlo tenme"
)
_VOS = "vos sos vení decí decime decile decinos haceme hacete hacelo hacela poneme ponete ponelo ponela andate"
_USTED = "usted asegúrese diríjase"
_LISTED: tuple[tuple[Form, str], ...] = (("tuteo", _TU), ("voseo", _VOS), ("ustedeo", _USTED))
_USTED_ER = "dig hag pong teng traig cre le muev resuelv permit escrib"

_TU_PRONOUN = ("me", "te", "lo", "la", "le", "los", "las", "les", "nos")
_USTED_PRONOUN = ("me", "se", "lo", "la", "le", "los", "las", "les", "nos")
_ACCENTS = str.maketrans("aeiou", "áéíóú")

_HEAD = r"(?:^|[.!?…:;\n])\s*[¡¿]?\s*"
_PHRASES: tuple[tuple[Form, re.Pattern[str]], ...] = (
    ("tuteo", re.compile(_HEAD + r"(?:mira|oye|espera|escucha|perdona|calla|toma)\s*,", re.IGNORECASE)),
    (
        "ustedeo",
        re.compile(
            _HEAD + r"(?:disculpe|perdone|oiga|mire|diga|consulte|visite|tenga|recuerde|indique|permita|verifique"
            r"|seleccione|introduzca|espere|contacte|envíe)\b",
            re.IGNORECASE,
        ),
    ),
    ("ustedeo", re.compile(r"\b(?:ud|vd)\.|\bsi lo desea\b|\bsi tiene (?:más|alguna) ", re.IGNORECASE)),
    (
        "ustedeo",
        re.compile(r"\b(?:puedo|podemos|podría|podríamos) (?:ayudar|servir|asistir|ofrecer)le\b", re.IGNORECASE),
    ),
)
_DISTRESS = re.compile(r"\bSOS\b")


@cache
def _forms() -> dict[str, Form]:
    """Word to dialect, a few thousand of them."""
    table: dict[str, Form] = {}
    for form, listed in _LISTED:
        table.update(dict.fromkeys(listed.split(), form))
    for theme, stems in (("a", _AR), ("e", _ER)):
        for entry in stems.split():
            table.update(_verb(entry, theme))
    for stem in _USTED_ER.split():
        table.update({f"{_stressed(stem)}a{pronoun}": "ustedeo" for pronoun in _USTED_PRONOUN})
    return table


def _verb(entry: str, theme: str) -> Iterator[tuple[str, Form]]:
    """The telling forms of a verb in -ar (theme a) or -er (theme e)."""
    stem, _, changed = entry.rstrip("*").partition(":")
    strong = changed or stem
    accented = theme.translate(_ACCENTS)
    if not entry.endswith("*"):
        yield f"{strong}{theme}s", "tuteo"
    yield f"{stem}{accented}s", "voseo"
    if stem != "cre":  # "creé" is also "I created"
        yield f"{stem}{accented}", "voseo"
    for pronoun in _TU_PRONOUN:
        yield f"{_stressed(strong)}{theme}{pronoun}", "tuteo"
    if changed:
        yield f"{stem}{theme}s", "voseo"  # "tenes": an accent forgotten, but no tú form
        yield from ((f"{stem}{theme}{pronoun}", "voseo") for pronoun in _TU_PRONOUN)
    if theme == "a":
        polite = re.sub(r"c$", "qu", re.sub(r"g$", "gu", re.sub(r"z$", "c", strong)) if strong[-1] != "c" else strong)
        yield from ((f"{_stressed(polite)}e{pronoun}", "ustedeo") for pronoun in _USTED_PRONOUN)


def _stressed(stem: str) -> str:
    """The stem with an accent on its last syllable: cuent to cuént, tra to trá."""
    last = re.search(r"[aeiou]+(?=[^aeiou]*$)", stem)
    if last is None:
        return stem
    group = last.group()
    open_vowel = max(group.rfind(vowel) for vowel in "aeo")
    at = last.start() + (open_vowel if open_vowel >= 0 else len(group) - 1)
    return stem[:at] + stem[at].translate(_ACCENTS) + stem[at + 1 :]


def forms_of_address(reply: str) -> list[Form]:
    """Every form of address in a Spanish reply that belongs to one dialect alone; empty for an English one."""
    if spoken_language(reply) == "en":
        return []
    spoken = without_stage_directions(reply)
    table = _forms()
    found = [table[word] for word in words(_DISTRESS.sub(" ", spoken)) if word in table]
    return found + [form for form, pattern in _PHRASES for _ in pattern.findall(spoken)]


def in_dialect(reply: str, dialect: Dialect) -> float:
    """1.0 when every telling form of address is of that dialect, 0.0 when one is not; NaN where no form tells."""
    found = forms_of_address(reply)
    if dialect == "any" or not found:
        return math.nan
    return float(all(form == dialect for form in found))
