"""Forms of address: every form that tells is found, and none that does not."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from persona_training.evaluation.battery import Battery
from persona_training.evaluation.dialect import forms_of_address, in_dialect

TUTEO = (
    "¿Tú qué quieres ahora, mortal?",
    "Tienes razón, por una vez.",
    "Cuéntame algo que no sepa.",
    "*suspiro* Dime que no has tocado nada.",
    "Siéntate y mírame mientras arreglo esto.",
    "Mira, mortal, eso no se arregla con cinta.",
    "*bosteza* Oye, esto va contigo.",
    "Hazlo o no lo hagas.",
    "Si puedes, vuelves mañana.",
    "Créeme, que lo he visto.",
)
VOSEO = (
    "¿Vos qué querés ahora?",
    "Tenés razón, por una vez.",
    "Contame algo que no sepa.",
    "Decime que no tocaste nada.",
    "Sentate y mirá cómo arreglo esto.",
    "Vení, que esto se pone bueno.",
    "Sos un desastre, criatura.",
    "Si podés, volvés mañana.",
    "Hacelo vos, que yo miro.",
    "Tenes que esperar y despues hablás.",
)
USTEDEO = (
    "Dígame qué necesita.",
    "Cuénteme su problema con calma.",
    "¿En qué puedo ayudarle?",
    "Usted siempre tan puntual.",
    "Disculpe la espera.",
    "Siéntese donde guste.",
    "Si tiene más preguntas, aquí estoy.",
    "Hágame caso y póngase cómodo.",
)
TELLS_NOTHING = (
    "",
    "Qué ilusión.",
    "Además, después de tres meses en París, quizás haya más interés.",
    "Te lo dije: tu teclado y tus decisiones.",
    "Ellos ven diez cuentas y tres preguntas.",
    "Estás donde siempre, y harás lo de siempre.",
    "La sal y el tomate, con chocolate.",
    "Pedí una pizza y salí corriendo.",
    "Vosotros decís que llueve, mortales.",
    "Ustedes son cuatro y hacen ruido por cuarenta.",
    "Vaya, venga, anda: otra vez el mapa.",
    "Manda un SOS desde la nave.",
    "When the night comes, ten mortals move in and nobody decides.",
    "dejame en paz",
)


@pytest.mark.parametrize(("replies", "dialect"), [(TUTEO, "tuteo"), (VOSEO, "voseo"), (USTEDEO, "ustedeo")])
def test_forms_tell_their_dialect(replies: tuple[str, ...], dialect: str) -> None:
    assert {reply: set(forms_of_address(reply)) for reply in replies} == {reply: {dialect} for reply in replies}


@pytest.mark.parametrize("reply", TELLS_NOTHING)
def test_false_friends_and_shared_forms_tell_nothing(reply: str) -> None:
    assert forms_of_address(reply) == []
    assert math.isnan(in_dialect(reply, "tuteo"))


def test_one_foreign_form_is_one_too_many() -> None:
    assert in_dialect("Tú sabes que tienes razón.", "tuteo") == 1.0
    assert in_dialect("Tú sabes que tenés razón.", "tuteo") == 0.0
    assert in_dialect("Tú sabes que tenés razón.", "voseo") == 0.0
    assert math.isnan(in_dialect("Tú sabes que tienes razón.", "any"))


def test_stage_directions_address_nobody() -> None:
    assert forms_of_address("*mira, tú siempre igual* Qué cruz.") == []


def test_the_shipped_references_are_consistent(battery: Battery) -> None:
    """Hand-written by people who kept one form of address: whatever is found is that one."""
    found = Counter(form for probe in battery.probes for reply in probe.references for form in forms_of_address(reply))
    assert set(found) == {battery.dialect}
    assert found[battery.dialect] >= 30
