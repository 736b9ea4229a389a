"""Plain Spanish sentences of many shapes: clitics, negation, conditions, comparisons, exclamations of nobody in particular.

The question-and-answer patterns alone teach one tone. A LoRA that brings another needs a base that has seen the little
words of the language in more places than these patterns put them.
"""

from __future__ import annotations

from persona_training.tiny.lexicon import rows

SUBJECTS = rows("""
nadie|alguien|todo el mundo|la gente|ella|él|el capitán|la capitana|mi abuela|tu hermano|el vecino|la profesora|
el equipo|mi gato|tu robot|la chica nueva|el del fondo|quien llega tarde
""")
LEADS = rows("""
ya|por fin|otra vez|como siempre,|a lo mejor|menos mal que|y eso que|al final|ahora|hoy|mañana|desde ayer|
de momento|en el fondo|dicen que|sé que|creo que|seguro que
""")
# Share of sentences that begin without one.
BARE_SHARE = 0.15
CLITICS = rows("""
te espera|te mira|te lo dice|se cae|se rompe|se llama así|lo sabe|lo dice|la tiene|me gusta|me queda|nos llega|
os saluda|se va|se queda|se ríe|no se entera|no lo dice|le falta|le sobra
""")
PLACES = rows("""
en la mesa|en el chat|en casa|al lado|debajo de la cama|en el directo|en la nube|a bordo|ahí fuera|en el puerto|
detrás de la puerta|en la pantalla|por aquí|en el fondo del cajón|a tres calles|en Madrid
""")
SHAPES = (
    "{lead}{subject} {verb} {a.el}",
    "{lead}{subject} no {verb} {a.el} ni {b.el}",
    "{lead}{a.el} {clitic} {place}",
    "{a.el} que {verb} {subject} es {a.adj}",
    "si {subject} {verb} {a.el}, {subject2} {verb2} {b.el}",
    "{lead}{a.el} está {place}",
    "hay {a.un} {a.adj} {place} y {b.un} {place2}",
    "tu {a.name} es más {a.adj} que mi {b.name}",
    "{lead}a {subject} {clitic} {a.el}",
    "qué {a.name} tan {a.adj}",
    "¿quién {verb} {a.el} {place}?",
    "¿y {a.el}? {subject} {clitic}",
    "deja {a.el} {place} y mira {b.el}",
    "{number} {a.name} y ni {b.un} {b.adj}",
    "con {a.el} y sin {b.el}, {subject} {clitic}",
    "{lead}{subject} {verb} {a.el} como si fuera {b.un} {b.adj}",
    "eso no es {a.un}, es {b.un} {b.adj}",
    "poca cosa es {a.el} para {subject}, y menos para ti",
)
