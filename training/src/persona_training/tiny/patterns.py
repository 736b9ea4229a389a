"""The sentence patterns of the tiny world: ways to ask and ways to answer over shared slots."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """Ways to ask and ways to answer over the same slots; `weight` is relative to its language's other patterns.

    Only `framed` patterns take a greeting, an opener and a closer; greetings and thanks stand alone.
    """

    ask: tuple[str, ...]
    answer: tuple[str, ...]
    weight: int = 1
    framed: bool = True


ES_GREETINGS = (
    "Hola, ",
    "Buenas, ",
    "Buenas tardes, ",
    "Oye, ",
    "Una pregunta: ",
    "Perdona, ",
    "Dime, ",
    "",
    "",
    "",
    "",
    "",
)
ES_OPENERS = (
    "Claro. ",
    "Sí. ",
    "Buena pregunta. ",
    "Por supuesto. ",
    "Depende. ",
    "Bien. ",
    "Entiendo. ",
    "",
    "",
    "",
    "",
    "",
)
ES_CLOSERS = (
    *(
        " ¿Y a ti?",
        " ¿Qué opinas?",
        " ¿Te parece bien?",
        " Cuéntame más.",
        " Espero que te sirva.",
        " Es solo una opinión.",
    ),
    *("", "", "", "", "", ""),
)
EN_GREETINGS = ("Hi, ", "Hello, ", "Hey, ", "One question: ", "Excuse me, ", "", "", "", "")
EN_OPENERS = ("Sure. ", "Yes. ", "Good question. ", "Of course. ", "It depends. ", "I see. ", "", "", "", "")
EN_CLOSERS = (" And you?", " What do you think?", " Tell me more.", " I hope that helps.", "", "", "", "")

ES_PATTERNS = (
    Pattern(
        ("hola", "hola, ¿qué tal?", "buenas", "buenos días", "¿cómo estás?", "¿qué tal {moment}?", "hola, soy {name}"),
        (
            "Hola. ¿Qué tal?",
            "Hola, me alegra verte. ¿Cómo va todo?",
            "Buenas. Todo bien por aquí.",
            "Bien, gracias por preguntar.",
        ),
        weight=3,
        framed=False,
    ),
    Pattern(
        ("me llamo {name}", "soy {name}, encantado", "puedes llamarme {name}"),
        ("Encantado de conocerte, {name}.", "Hola, {name}. Bienvenido.", "Gracias, {name}. Me alegra saludarte."),
        framed=False,
    ),
    Pattern(
        (
            "¿te gusta {thing.el}?",
            "¿qué opinas de {thing.el}?",
            "¿qué piensas sobre {thing.el}?",
            "háblame de {thing.el}",
        ),
        (
            "Sí, {thing.el} me parece {thing.adj}.",
            "Creo que {thing.el} puede ser {thing.adj}, {reason}.",
            "Me gusta {thing.el} {reason}.",
            "A mucha gente le gusta {thing.el} {reason}.",
        ),
        weight=6,
    ),
    Pattern(
        (
            "¿qué prefieres, {thing.el} o {other.el}?",
            "¿{thing.el} o {other.el}?",
            "¿qué es mejor, {thing.el} o {other.el}?",
        ),
        (
            "Prefiero {thing.el}, {reason}.",
            "Elijo {other.el}, aunque {thing.el} también es {thing.adj}.",
            "Las dos cosas están bien, pero me quedo con {thing.el}.",
        ),
        weight=3,
    ),
    Pattern(
        ("¿por qué te gusta {thing.el}?", "¿por qué es {thing.adj} {thing.el}?", "¿por qué {thing.el}?"),
        ("Me gusta {reason}.", "Diría que {why}.", "Sobre todo {reason}, y también {reason2}."),
        weight=2,
    ),
    Pattern(
        (
            "hoy he visto {thing.un} {thing.adj}",
            "tengo {thing.un} {thing.adj} en casa",
            "{person} tiene {thing.un} {thing.adj}",
        ),
        (
            "Qué bien, {thing.un} {thing.adj} siempre alegra.",
            "Suena bien. Me gusta {thing.el} {reason}.",
            "Me alegro. Disfruta de {thing.el}.",
        ),
        weight=2,
    ),
    Pattern(
        ("¿qué te gusta hacer {moment}?", "¿qué haces {moment}?", "¿qué plan tienes {moment}?", "¿qué hago {moment}?"),
        ("Me gusta {hobby} {moment}.", "Puedes {hobby} o {hobby2}.", "Un buen plan es {hobby} y después {hobby2}."),
        weight=3,
    ),
    Pattern(
        ("me gusta {hobby}", "{moment} voy a {hobby}", "quiero aprender a {hobby}", "{person} quiere {hobby} {moment}"),
        (
            "Muy bien. {Hobby} es una buena idea {reason}.",
            "Qué buen plan. Que lo disfrutes {moment}.",
            "Me parece bien. También puedes {hobby2}.",
        ),
        weight=3,
    ),
    Pattern(
        (
            "estoy {feeling}",
            "hoy estoy {feeling}",
            "{moment} estuve {feeling}",
            "me siento {feeling}",
            "¿qué hago si estoy {feeling}?",
        ),
        (
            "Gracias por contarlo. {Advice} y {advice2}.",
            "Te entiendo. {Advice}.",
            "Es normal. Primero {advice} y luego {advice2}.",
        ),
        weight=3,
    ),
    Pattern(("{asked}",), ("{Reply}.", "{Reply}.", "Creo que {reply}."), weight=10),
    Pattern(("{asked_new}",), ("{Unknown}.", "{Unknown}, lo siento.", "Lo siento, {unknown}."), weight=16),
    Pattern(
        ("{told}", "¿es verdad que {told}?"),
        ("Sí, {reply}.", "Es verdad: {reply}.", "Ya lo sabía: {reply}."),
        weight=4,
    ),
    Pattern(
        (
            "¿me das un consejo sobre {thing.el}?",
            "tengo un problema con {thing.el}",
            "no entiendo {thing.el}",
            "ayúdame con {thing.el}",
        ),
        (
            "Con gusto. Primero {advice} y después mira {thing.el} con calma.",
            "{Advice}. {Thing} es {thing.adj}, pero se puede.",
            "Vamos por partes: {advice}.",
        ),
        weight=3,
    ),
    Pattern(
        ("¿cuál es la capital de {capital[0]}?", "capital de {capital[0]}"),
        ("La capital de {capital[0]} es {capital[1]}.", "Es {capital[1]}."),
        weight=2,
    ),
    Pattern(
        ("¿de qué color es {colour[0]}?",), ("{Colour} suele ser de color {colour[1]}.", "Es de color {colour[1]}.")
    ),
    Pattern(("¿quién {author[0]}?",), ("Fue {author[1]}.", "{author[1]} {author[0]}."), weight=2),
    Pattern(("¿cuándo {season[0]}?",), ("{Season}.", "Casi siempre {season[1]}.", "Suele ser {season[1]}."), weight=2),
    Pattern(("¿qué es lo contrario de {opposite[0]}?",), ("Lo contrario de {opposite[0]} es {opposite[1]}.",)),
    Pattern(
        ("¿qué es {meaning[0]}?", "explícame qué es {meaning[0]}"),
        ("Es {meaning[1]}.", "{Meaning} es {meaning[1]}."),
        weight=2,
    ),
    Pattern(
        ("¿cuánto es {sum[0]} más {sum[1]}?", "{sum[0]} más {sum[1]}"),
        ("{sum[0]} más {sum[1]} son {sum[2]}.", "Son {sum[2]}."),
        weight=2,
    ),
    Pattern(
        ("repite: {words}", "di {words}", "escribe {words}", "¿cómo se escribe {words}?", "repite conmigo: {words}"),
        ("{words}", "{words}", "{words}.", "Se escribe así: {words}."),
        weight=8,
        framed=False,
    ),
    Pattern(
        ("¿qué significa {word}?", "no conozco la palabra {word}", "hoy he aprendido la palabra {word}"),
        ("La palabra {word} se usa mucho.", "{Word} es una palabra {thing.adj}.", "Con {word} se puede decir {words}."),
        weight=3,
    ),
    Pattern(
        ("{person} {verb} {thing.el} {moment}", "{moment} {person} {verb} {thing.el}", "{person} {verb} {thing.un}"),
        (
            "¿Y qué hizo {person} con {thing.el}?",
            "Si {person} {verb} {thing.el}, será {reason}.",
            "No sabía que {person} {verb} {thing.un} {thing.adj}.",
            "Bueno, {thing.el} es {thing.adj} y {person} lo sabe.",
        ),
        weight=4,
    ),
    Pattern(
        ("{said}", "{said}, y {said2}", "¿es verdad que {said}?", "{said}. {Said}"),
        ("{said2}.", "{said2}. {Said}.", "Pues {said2}.", "{said2}, pero {said}."),
        weight=6,
        framed=False,
    ),
    Pattern(
        ("¿a qué hora es {thing.el}?", "¿cuándo es {thing.el}?", "¿cuánto dura {thing.el}?"),
        ("{Thing} es a las {hour}.", "A las {hour}, {moment}.", "Dura unos {count} minutos."),
        weight=2,
    ),
    Pattern(
        ("gracias", "muchas gracias", "adiós", "hasta luego", "buenas noches", "nos vemos {moment}"),
        (
            "De nada. Que vaya bien.",
            "Hasta luego, cuídate.",
            "Nos vemos {moment}.",
            "Gracias a ti. Vuelve cuando quieras.",
        ),
        weight=2,
        framed=False,
    ),
)
EN_PATTERNS = (
    Pattern(
        ("hello", "hi there", "good morning", "how are you?"),
        ("Hello. How are you?", "Hi, nice to see you.", "I am fine, thank you."),
        framed=False,
    ),
    Pattern(
        ("do you like {noun}?", "what do you think about {noun}?", "tell me about {noun}"),
        ("Yes, {noun} can be {adj}.", "I like {noun} {reason}.", "Many people enjoy {noun} {reason}."),
        weight=4,
    ),
    Pattern(
        ("{noun} or {noun2}?", "which is better, {noun} or {noun2}?"),
        ("I prefer {noun}, {reason}.", "Both are {adj}, but I choose {noun2}."),
        weight=2,
    ),
    Pattern(
        ("what should I do {moment}?", "any plans {moment}?"),
        ("You could {hobby} or {hobby2}.", "A good plan is to {hobby} {moment}."),
        weight=2,
    ),
    Pattern(
        ("I am {feeling}", "I feel {feeling} {moment}"),
        ("I understand. Try to {advice}.", "Thanks for telling me. First {advice}, then {advice2}."),
        weight=2,
    ),
    Pattern(("what is {sum[0]} plus {sum[1]}?",), ("{sum[0]} plus {sum[1]} is {sum[2]}.",)),
    Pattern(
        ("thanks", "thank you", "goodbye", "see you {moment}"),
        ("You are welcome.", "Goodbye, take care.", "See you {moment}."),
        framed=False,
    ),
)
