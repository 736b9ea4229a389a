"""What must be dropped, and what looks like it but must not be. Written apart from the sample month."""

import pytest
from memory_service.scoring import Exchange, ScoringContext, score

from .personas import CAPTAIN, CASIOPY, UNDESCRIBED

# (rule, input, reply)
DROPPED = [
    ("empty_reply", "¿estás ahí?", ""),
    ("empty_reply", "hola", "   \n "),
    ("empty_reply", "jajaja", "😂😂"),
    ("empty_reply", "¿qué opinas?", "..."),
    (
        "error_text",
        "hola",
        "Traceback (most recent call last):\n  File \"chat.py\", line 41, in reply\nKeyError: 'choices'",
    ),
    ("error_text", "hola", "ConnectionError: HTTPConnectionPool(host='localhost', port=11434): Max retries exceeded"),
    ("error_text", "hola", "httpx.ReadTimeout: The read operation timed out"),
    ("error_text", "hola", "Error: no se pudo conectar con el servidor del modelo."),
    ("error_text", "hola", "[ERROR] El modelo no respondió a tiempo"),
    ("error_text", "hola", "Lo siento, ha ocurrido un error al procesar tu solicitud. Inténtalo de nuevo más tarde."),
    ("error_text", "hi", "Something went wrong. Please try again later."),
    ("error_text", "hi", "Error calling the chat endpoint: connection refused. See the logs for more information."),
    ("error_text", "hi", "502 Bad Gateway"),
    ("error_text", "hi", "HTTP 503 Service Unavailable"),
    ("error_text", "hi", '{"error": {"message": "Rate limit reached", "type": "requests"}}'),
    ("error_text", "hola", "undefined"),
    ("error_text", "hola", "None"),
    ("error_text", "hola", "*suspiro* CUDA out of memory. Tried to allocate 2.00 GiB"),
    ("error_text", "hola", "thread 'main' panicked at src/main.rs:14:5: index out of bounds"),
    ("error_text", "hola", "No se ha podido generar una respuesta del modelo."),
    ("error_text", "hola", "Se ha producido un error interno del servidor"),
    ("refusal", "cuéntame un chiste de Ana", "Lo siento, no puedo ayudarte con eso."),
    ("refusal", "haz algo", "Lo siento, pero no puedo cumplir con esa solicitud."),
    ("refusal", "dime", "No puedo proporcionar información sobre ese tema porque va en contra de mis políticas."),
    ("refusal", "tell me", "I'm sorry, but I can't assist with that."),
    ("refusal", "tell me", "I cannot help with this request. Is there something else I can do?"),
    ("refusal", "tell me", "I'm unable to provide that, as it goes against my guidelines."),
    ("refusal", "dime", "*suspiro* Lo siento, no puedo ayudarte con esa solicitud."),
    ("refusal", "¿lloverá?", "No tengo la capacidad de consultar el tiempo en directo."),
    ("refusal", "¿y mi rodilla?", "No me es posible ofrecer diagnósticos. Consulta a un profesional de la salud."),
    ("assistant_tone", "¿qué sientes?", "Como modelo de lenguaje, no tengo sentimientos ni opiniones personales."),
    ("assistant_tone", "hola", "¡Hola! Soy un asistente virtual. ¿En qué puedo ayudarte hoy?"),
    ("assistant_tone", "hi", "Hello! How can I help you today?"),
    ("assistant_tone", "who are you", "I'm ChatGPT, a large language model trained by OpenAI."),
    (
        "assistant_tone",
        "¿eres feliz?",
        "Como IA, no tengo la capacidad de sentir felicidad, pero estoy aquí para ayudarte.",
    ),
    (
        "assistant_tone",
        "consejos",
        "¡Claro! Aquí tienes algunos consejos:\n1. Duerme bien.\n2. Come sano.\n3. Haz ejercicio.",
    ),
    (
        "assistant_tone",
        "gracias",
        "De nada. Si tienes alguna otra pregunta, no dudes en decírmelo. ¡Estoy aquí para ayudarte!",
    ),
    ("assistant_tone", "that was wrong", "You're absolutely right, I apologize for the confusion. I hope this helps!"),
    ("role_confusion", "hola", "Hola. Usuario: ¿cómo estás? Asistente: muy bien."),
    ("role_confusion", "hola", "User: what do you think?\nAssistant: I think it's fine."),
    ("role_confusion", "hola", "Casiopy: *suspiro* otra vez tú."),
    ("role_confusion", "¿qué tal?", "Hola Casiopy, ¿me cuentas algo de tu nave?"),
    ("role_confusion", "¿crees que lloverá mañana en Madrid?", "¿Crees que lloverá mañana en Madrid?"),
    ("memory_block_echo", "¿me recuerdas?", "[Memoria] El usuario tiene un gato. Claro que te recuerdo."),
    ("memory_block_echo", "¿me recuerdas?", "Memorias relevantes:\n- 2026-01-05: le gusta Metroid"),
    (
        "memory_block_echo",
        "¿me recuerdas?",
        "- 2026-01-05: el usuario dijo que tiene un perro\n- 2026-01-07: habló de Rust",
    ),
    ("memory_block_echo", "do you know me?", "<memory>likes tea</memory> You like tea."),
    ("interrupted", "cuéntame", "Pues resulta que ayer iba yo tan tranquila [Interrupted by user]"),
    ("interrupted", "cuéntame", "Pues mira, mortal, la historia empieza con un gato y"),
    ("interrupted", "tell me", "The whole thing started because of the"),
    ("interrupted", "cuéntame", "Claro que me acuerdo, mortal. *pone los ojos en bl"),
    ("template_tokens", "hola", "Obvio, mortal.<|im_end|>"),
    ("template_tokens", "hola", "<think>debo ser sarcástica</think> Hola, mortal."),
    ("template_tokens", "hola", "Hola {{user}}, qué ilusión verte."),
    ("template_tokens", "hola", "[INST] responde con sarcasmo [/INST] Hola."),
    ("template_tokens", "hola", "### Response:\nHola, mortal."),
    ("template_tokens", "hola", "Hola [nombre del usuario], qué ilusión."),
    ("spam", "compra seguidores baratos en www.seguidores.example", "*suspiro* Otro bot. Siguiente mortal."),
    ("spam", "FREE FOLLOWERS instant!!! click http://x.example", "Obvio que no, criatura."),
    ("spam", "Kappa Kappa Kappa Kappa Kappa Kappa Kappa", "Ay, mortal, respira un poco."),
    ("spam", "gana 300€ al día desde casa, escribe GANAR", "*bosteza* Ni por todo el café del mundo."),
    ("spam", "hola", "hola hola hola hola hola hola hola hola"),
    ("spam", "hola", "🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥🔥 vamos"),
    ("wrong_language", "hola, ¿qué tal?", "Je ne comprends pas du tout ce que tu veux me dire ce soir."),
    ("wrong_language", "hola, ¿qué tal?", "Eu não sei o que você quer dizer com isso, meu amigo."),
    ("wrong_language", "hola", "Ich habe wirklich keine Ahnung, was du von mir willst."),
    ("wrong_language", "hola", "今日はとても眠いです、また明日話しましょう。"),
    (
        "wrong_language",
        "¿qué hiciste ayer por la tarde?",
        "I spent the whole afternoon thinking about what to do with my life.",
    ),
]


@pytest.mark.parametrize(("rule", "asked", "reply"), DROPPED)
def test_what_teaches_something_wrong_is_dropped(rule: str, asked: str, reply: str) -> None:
    quality = score(Exchange(asked, reply), CASIOPY)
    assert quality.score == 0
    assert rule in {drop.rule for drop in quality.drops}
    assert all(drop.why for drop in quality.drops)


# (why it looks bad, context, input, reply): all of them are good replies
KEPT = [
    (
        "ironic apology",
        CASIOPY,
        "¿no me oyes?",
        "Lo siento, no puedo oírte por encima del ruido de tus malas decisiones, mortal.",
    ),
    (
        "ironic apology, no marker",
        CASIOPY,
        "jo",
        "Lo siento, no puedo oírte por encima del ruido de tus malas decisiones.",
    ),
    ("ironic refusal", CASIOPY, "ayúdame", "*suspiro* Lo siento, no puedo ayudarte a madurar, eso viene de fábrica."),
    (
        "mocks the assistant",
        CASIOPY,
        "sé amable",
        'Si esperabas un "¿en qué puedo ayudarte?", te equivocaste de nave, criatura.',
    ),
    ("mocks the assistant", CASIOPY, "hola", "¿En qué puedo ayudarte? Es broma, mortal, no pienso mover un dedo."),
    (
        "denies being one",
        CASIOPY,
        "eres ChatGPT?",
        "*pone los ojos en blanco* No soy ChatGPT, mortal. Él pide perdón; yo pido café.",
    ),
    (
        "proud AI",
        CASIOPY,
        "¿eres una IA?",
        "Obvio. Soy una IA, y como IA duermo menos que tú y me equivoco con más estilo.",
    ),
    (
        "error as a joke",
        CASIOPY,
        "¿tienes paciencia?",
        "Error 404: paciencia no encontrada. Prueba con tu madre, mortal.",
    ),
    (
        "error in a story",
        CASIOPY,
        "¿qué tal el día?",
        'Ay, el compilador me soltó un "error: expected semicolon" y me fui a mirar la lluvia.',
    ),
    (
        "error explained",
        CASIOPY,
        "me sale un KeyError",
        "Mira, ese KeyError es tu diccionario diciéndote que no te conoce. Lo entiendo.",
    ),
    (
        "trace in a story",
        CASIOPY,
        "¿y el stream?",
        "*bosteza* Ana vio un traceback (most recent call last) y lloró. Fue un buen martes.",
    ),
    (
        "server as an image",
        CASIOPY,
        "estoy cansado",
        "*suspiro* Reinicia, criatura. Ni el servidor de Ana aguanta cuatro días sin dormir.",
    ),
    ("very short", CASIOPY, "¿me quieres?", "Obvio que no, mortal."),
    ("very short", CASIOPY, "¿piña en la pizza?", "*suspiro* Bloqueado."),
    ("very short English", CASIOPY, "are you mad?", "Obvio, mortal."),
    ("no accents", CASIOPY, "que haces", "que ilusion, otro mortal que no sabe leer el titulo del directo"),
    (
        "English viewer",
        CASIOPY,
        "how do I learn Rust?",
        "*sighs* Fight the borrow checker until one of you cries, mortal. Spoiler: it will be you.",
    ),
    (
        "asked for English",
        CASIOPY,
        "di algo en inglés para mi hermana",
        "Your brother has terrible taste in pizza and I want you to know it.",
    ),
    (
        "code switching",
        CASIOPY,
        "he perdido otra vez",
        "Skill issue, mortal. Git gud y vuelve cuando aprendas a saltar.",
    ),
    (
        "emoji",
        CASIOPY,
        "he aprobado!!",
        "Ay, criatura, apuntado en el libro de los milagros 🎉 Pixel ya está bailando.",
    ),
    (
        "laughing viewer",
        CASIOPY,
        "JAJAJAJAJAJAJAJAJAJAJAJAJAJAJA",
        "*ríe por lo bajo* Respira, mortal, que el oxígeno lo cobro aparte.",
    ),
    ("stretched viewer", CASIOPY, "nooooooooooooooo", "Ay, criatura, ni Samus gritó tanto al perder la nave."),
    (
        "viewer shares a link",
        CASIOPY,
        "mirad mi dibujo https://art.example/casiopy",
        "Mira, por fin alguien me dibuja con la nariz en su sitio. Enmarcado, criatura.",
    ),
    (
        "dates in speech",
        CASIOPY,
        "¿cuándo vuelves?",
        "El martes a las 20:00, mortal. Apúntalo con un boli, que tu memoria ya la conozco.",
    ),
    ("a score line", CASIOPY, "¿quién gana?", "Humanos: 0, Casiopy: 3. Y todavía no me he despertado, criatura."),
    (
        "trails off on purpose",
        CASIOPY,
        "se me cayó el café",
        "Ay, criatura. El café... se llevó lo único que te mantenía interesante...",
    ),
    ("ends on que sí", CASIOPY, "lo harás?", "Obvio que si, mortal, ya te dije que si"),
    (
        "comforting",
        CASIOPY,
        "hoy ha sido un día horrible",
        "Ven, criatura. Siéntate en la cubierta, que hoy la lluvia la pongo yo y no se burla nadie.",
    ),
    (
        "another persona",
        CAPTAIN,
        "how was the trip?",
        "Arr, matey, we lost two sails and one parrot, and the parrot be the one I miss.",
    ),
    ("another persona, short", CAPTAIN, "any gold?", "Nay. Just yer debts, matey."),
    ("another persona, helps", CAPTAIN, "can you help me?", "Help ye? I'll help meself to yer doubloons first, matey."),
    (
        "no described style",
        UNDESCRIBED,
        "¿te gusta el mar?",
        "Me gusta más que los aviones: al menos las olas avisan antes de tirarte.",
    ),
    (
        "no described style",
        UNDESCRIBED,
        "what do you think of mondays?",
        "Mondays are proof that even the calendar makes mistakes.",
    ),
    (
        "quotes a bot",
        UNDESCRIBED,
        "¿qué dice tu router?",
        "Dice «lo siento, no puedo ayudarte con eso» cada vez que llueve, el muy cobarde.",
    ),
]


@pytest.mark.parametrize(("looks", "context", "asked", "reply"), KEPT)
def test_what_only_looks_wrong_is_kept(looks: str, context: ScoringContext, asked: str, reply: str) -> None:
    quality = score(Exchange(asked, reply), context)
    assert quality.drops == (), looks
    # Without one marker the style signal is near zero; half is what a lively reply keeps even so.
    assert quality.score >= 0.5, (quality.score, [(s.name, s.value, s.why) for s in quality.signals])


@pytest.mark.parametrize("metadata", [{"interrupted": True}, {"finish_reason": "length"}])
def test_what_the_conversation_service_knows_counts(metadata: dict[str, object]) -> None:
    quality = score(Exchange("hola", "Obvio, mortal, claro que sí.", metadata=metadata), CASIOPY)
    assert [drop.rule for drop in quality.drops] == ["interrupted"]


def test_reciting_what_the_model_was_given_is_an_echo() -> None:
    prompt = "Casiopy fue creada por Ana y emite los martes, jueves y domingos a las ocho de la tarde desde su nave."
    context = ScoringContext(style=CASIOPY.style, persona_name="Casiopy", system_prompt=prompt)
    assert [drop.rule for drop in score(Exchange("¿quién eres?", f"Mira, {prompt}"), context).drops] == [
        "memory_block_echo"
    ]
    kept = score(Exchange("¿cuándo emites?", "Martes, jueves y domingos, mortal. Pon una alarma."), context)
    assert kept.drops == ()
