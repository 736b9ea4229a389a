"""Hard rules: an exchange that breaks one teaches the character something wrong, however good the rest is.

Each rule takes the exchange, its context and how many persona markers the reply carries, and answers with the sentence
that explains the drop, or None. Rules about phrases weigh evidence instead of matching words: irony quotes an assistant,
a story mentions an error, and a marker of the persona's own voice speaks against all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from memory_service.scoring import lexicon
from memory_service.scoring.exchange import Drop, Exchange, ScoringContext
from memory_service.scoring.language import confidences
from memory_service.scoring.text import fold, grams, jaccard, longest_run, spoken, without_quotes, words

# Evidence at which a phrase rule drops; the weights in lexicon.toml are made for it.
ENOUGH_EVIDENCE = 2.0

_ROLE = re.compile(
    r"(?:^|[.!?…\"”)]\s+|\n)\W{0,3}(?:user|usuario|usuaria|human|humano|viewer|espectador|assistant|asistente|chatbot|bot"
    r"|ai|ia|q|a)\*{0,2}\s?:(?!\s*\d|//|[)(])",
    re.IGNORECASE,
)
_SYSTEM_ROLE = re.compile(
    r"(?:^|\n)\W{0,3}(?:system|sistema)\*{0,2}\s?:\s*(?:you are|eres|tu nombre|your name)", re.IGNORECASE
)
_GREETING = r"(?:hola|holi|hello|hi|hey|buenas|buenos dias|buenas noches|oye|gracias|thanks|ey)"
_INTERRUPTED = re.compile(
    r"[\[(<]\s*(?:interrupted|interrumpid[oa]|interrupci[oó]n|cut off|cortad[oa]|aborted|cancel+ed)\b[^\])>\n]*[\])>]",
    re.IGNORECASE,
)
# Words a sentence does not end on. Left out: those that lost their accent and can end one (tu, mi, si, el, se, te, que).
_DANGLING = re.compile(
    r"\b(?:un|unos|unas|los|las|del|al|en|con|por|para|sin|y|o|ni|pero|porque|de|mis|tus|sus|su|cuyo|entre|desde|segun"
    r"|the|an?|and|or|but|because|of|my|your|their|our|than|if)[,;:]?\s*$"
)
_LAUGH = re.compile(r"^[jahekxdsiuo]+$|^[.!?¡¿*~\-_=]+$")
_EMOJI = re.compile(r"[\U0001F000-\U0001FAFF\u2600-\u27BF\u2B50\u2B55\u2764]")

Rule = Callable[[Exchange, ScoringContext, int], str | None]


def empty_reply(exchange: Exchange, _context: ScoringContext, _markers: int) -> str | None:
    """Nothing was said; a stage direction alone (`*suspiro*`) is an answer, emoji and dots are not."""
    return None if words(exchange.output_text) else "the reply has no words"


def error_text(exchange: Exchange, _context: ScoringContext, markers: int) -> str | None:
    """The program spoke, not the character."""
    return _weigh(
        "an error message, not a reply", lexicon.ERROR_TEXT, spoken(exchange.output_text).strip(), min(markers, 1)
    )


def other_speaker(exchange: Exchange, _context: ScoringContext, _markers: int) -> str | None:
    """An agent answered in the persona's place: nothing of her voice is in it."""
    who = exchange.metadata.get("answered_by")
    return f"answered by the agent {who!r}, not by the persona" if isinstance(who, str) and who else None


def refusal(exchange: Exchange, _context: ScoringContext, markers: int) -> str | None:
    """A canned refusal. Sarcastic ones carry a persona marker or name something no assistant refuses."""
    text = without_quotes(exchange.output_text)
    found = lexicon.evidence(lexicon.REFUSAL, fold(text))
    if found:
        helpdesk = sum(lexicon.evidence(lexicon.ASSISTANT_TONE, fold(text)).values())
        found |= {"help-desk phrases": helpdesk / 2} if helpdesk else {}
    return _verdict("refuses like an assistant", found, _excuse(text, min(markers, 2) * 0.75))


def assistant_tone(exchange: Exchange, _context: ScoringContext, markers: int) -> str | None:
    """Help-desk voice. Lists count too: nobody speaks in bullet points."""
    text = without_quotes(exchange.output_text)
    found = lexicon.evidence(lexicon.ASSISTANT_TONE, fold(text))
    if len(re.findall(r"^\s*(?:[-•*]|\d{1,2}[.)])\s+\S", exchange.output_text, re.MULTILINE)) >= 3:
        found["answers in a list"] = 1.5
    if re.search(r"^#{1,4} \S|\*\*[^*\n]{2,60}\*\*", exchange.output_text, re.MULTILINE):
        found["headings or bold type"] = 1.0
    return _verdict("speaks like an assistant", found, _excuse(text, min(markers, 2) * 0.75))


def wrong_language(exchange: Exchange, context: ScoringContext, markers: int) -> str | None:
    """A language the persona does not speak, or an English speech to a viewer who wrote Spanish and did not ask for it."""
    allowed = context.style.languages
    found = confidences(exchange.output_text, allowed)
    if found is None:
        return None
    best = max(found, key=lambda code: found[code])
    count = len(words(spoken(exchange.output_text)))
    if best not in allowed:
        spoken_share = sum(found.get(code, 0.0) for code in allowed)
        # Measured on accentless Spanish chat lines: the persona's languages kept at least 0.25 together.
        sure = (
            best.startswith("script:") or (spoken_share < 0.12 and count >= 4) or (spoken_share < 0.04 and count >= 3)
        )
        return f"the reply is in {_named(best)}, the persona speaks {', '.join(allowed)}" if sure else None
    # The persona's own words inside the foreign sentence make it code-switching, not a wrong language.
    return None if markers else _unasked_switch(exchange, allowed, found, best, count)


def _unasked_switch(
    exchange: Exchange, allowed: tuple[str, ...], found: dict[str, float], best: str, count: int
) -> str | None:
    if best == allowed[0] or found[best] < 0.9 or count < 6:
        return None
    asked = confidences(exchange.input_text, allowed)
    if asked is None or asked.get(best, 0.0) > 0.15 or max(asked, key=lambda code: asked[code]) != allowed[0]:
        return None
    if re.search(
        r"\b(?:ingles|english|idiomas?|language|traduc\w+|translate|frances|aleman|japones)\b",
        fold(exchange.input_text),
    ):
        return None
    return f"the viewer wrote {_named(allowed[0])} and was answered in {_named(best)}"


def role_confusion(exchange: Exchange, context: ScoringContext, _markers: int) -> str | None:
    """The reply plays another role: speaker labels, the viewer's lines, or greeting itself."""
    reply = exchange.output_text
    label = _ROLE.search(reply) or _SYSTEM_ROLE.search(reply)
    if label:
        return f"carries a speaker label: {label.group().strip()!r}"
    name = fold(context.persona_name)
    if name and re.search(rf"^\W*{re.escape(name)}\s*:", fold(reply)):
        return "the reply begins with the persona's own name as a label"
    if name and re.search(rf"^\W*{_GREETING}\W{{1,3}}{re.escape(name)}\s*[,.!?]", fold(spoken(reply))):
        return "the reply greets the persona: it plays the viewer"
    said, asked = words(reply), words(exchange.input_text)
    if len(said) >= 4 and (said == asked or jaccard(grams(reply, 5), grams(exchange.input_text, 5)) >= 0.9):
        return "the reply repeats what the viewer wrote"
    return None


def memory_block_echo(exchange: Exchange, context: ScoringContext, _markers: int) -> str | None:
    """The reply recites what the model was given instead of using it."""
    block = lexicon.MEMORY_BLOCK.search(exchange.output_text)
    if block:
        return f"repeats the memory block: {block.group().strip()[:60]!r}"
    said = _runs(words(exchange.output_text))
    for name, source in (("memory block", context.memory_block), ("system prompt", context.system_prompt)):
        if said and not said.isdisjoint(_given_runs(source)):
            return f"recites ten words or more of the {name}"
    return None


def interrupted(exchange: Exchange, _context: ScoringContext, _markers: int) -> str | None:
    """The reply was cut off: by the viewer, by the length limit, or visibly in the middle of a sentence."""
    if exchange.metadata.get("interrupted") in (True, "true", 1):
        return "marked as interrupted"
    if exchange.metadata.get("finish_reason") in ("length", "max_tokens", "interrupted", "cancelled"):
        return f"generation stopped early ({exchange.metadata['finish_reason']})"
    reply = exchange.output_text.strip()
    if _INTERRUPTED.search(reply):
        return "carries an interruption mark"
    if len(words(reply)) >= 4 and _DANGLING.search(fold(reply)):
        return f"stops in the middle of a sentence: …{reply[-25:]!r}"
    if reply.count("*") % 2 and re.search(r"\*\w[^*.!?]{0,30}$", reply):
        return "stops inside a stage direction"
    return None


def template_tokens(exchange: Exchange, _context: ScoringContext, _markers: int) -> str | None:
    """Chat-template machinery or an unfilled placeholder leaked into the text."""
    token = lexicon.TEMPLATE.search(exchange.output_text)
    return f"carries template text: {token.group().strip()[:40]!r}" if token else None


def spam(exchange: Exchange, _context: ScoringContext, _markers: int) -> str | None:
    """Advertising or flooding, by the viewer or in the reply."""
    for who, text in (("viewer's message", exchange.input_text), ("reply", exchange.output_text)):
        if any(pattern.search(fold(text)) for pattern in lexicon.PROMOTION):
            return f"the {who} is advertising"
        why = _flood(text)
        if why:
            return f"the {who} {why}"
    return None


def _flood(text: str) -> str | None:
    # Split by spaces, so that emoji and emotes count; laughter and dots may go on for as long as they like.
    tokens = [token for token in fold(text).split() if not _LAUGH.match(token)]
    if longest_run(tokens) >= 5:
        return "repeats one word over and over"
    if len(tokens) >= 12 and len(set(tokens)) / len(tokens) < 0.3:
        return "says the same few words over and over"
    mashed = [
        token
        for token in tokens
        if re.search(r"[^\W\d_aeiou]{5,}", token) or re.fullmatch(r"[b-df-hj-np-tv-z]{3,}", token)
    ]
    if len(mashed) >= 3 and len(mashed) * 2 >= len(tokens):
        return "is keyboard mashing"
    stretched = re.search(r"([^\W\d_])\1{39,}", fold(text))
    if stretched:
        return "is a flood of one letter"
    emoji = len(_EMOJI.findall(text))
    if emoji >= 10 and emoji > len(words(text)):
        return "is a wall of emoji"
    shouted = [token for token in text.split() if len(token) > 3 and token.isupper()]
    if len(shouted) >= 8 and len(set(shouted)) <= len(shouted) / 2:
        return "shouts the same words over and over"
    return None


# Ten words in a row: shorter overlaps are quotable facts ("directos martes, jueves y domingo a las 20:00").
def _runs(said: list[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(said[i : i + 10]) for i in range(len(said) - 9))


@lru_cache(maxsize=32)
def _given_runs(source: str) -> frozenset[tuple[str, ...]]:
    """What a persona is given hardly changes from one exchange to the next."""
    return _runs(words(source))


def _excuse(text: str, from_markers: float) -> float:
    return from_markers + (1.0 if lexicon.IRONY.search(fold(text)) else 0.0)


def _weigh(why: str, phrases: tuple[lexicon.Phrase, ...], text: str, excuse: float) -> str | None:
    return _verdict(why, lexicon.evidence(phrases, fold(text)), _excuse(text, excuse))


def _verdict(why: str, found: dict[str, float], excuse: float) -> str | None:
    if sum(found.values()) - excuse < ENOUGH_EVIDENCE:
        return None
    return f"{why}: {', '.join(found)}"


def _named(code: str) -> str:
    names = {"es": "Spanish", "en": "English", "fr": "French", "de": "German", "pt": "Portuguese", "it": "Italian"}
    return names.get(code, code.removeprefix("script:"))


RULES: tuple[tuple[str, Rule], ...] = (
    ("empty_reply", empty_reply),
    ("template_tokens", template_tokens),
    ("error_text", error_text),
    ("other_speaker", other_speaker),
    ("memory_block_echo", memory_block_echo),
    ("role_confusion", role_confusion),
    ("refusal", refusal),
    ("assistant_tone", assistant_tone),
    ("interrupted", interrupted),
    ("spam", spam),
    ("wrong_language", wrong_language),
)


def broken_rules(exchange: Exchange, context: ScoringContext, markers: int) -> tuple[Drop, ...]:
    """Every hard rule the exchange breaks, with its reason, in the order of `RULES`."""
    found = ((name, rule(exchange, context, markers)) for name, rule in RULES)
    return tuple(Drop(name, why) for name, why in found if why is not None)
