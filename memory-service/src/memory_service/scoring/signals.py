"""Soft signals: one function per opinion about an exchange that broke no hard rule.

Each returns a Signal without its weight (weights.py has those), or None when what it needs is missing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from memory_service.scoring import lexicon
from memory_service.scoring.exchange import Exchange, ScoringContext, Signal
from memory_service.scoring.language import confidences
from memory_service.scoring.text import fold, grams, jaccard, spoken, strip_accents, words

_SAD_INPUT = frozenset({"sad", "sadness", "triste", "tristeza", "grief", "fear", "miedo", "lonely", "depressed"})
_WARM = re.compile(
    r"\b(?:ven|aqui estoy|abrazo|animo|cuid\w+|descansa|respira|tranquil\w+|no estas sol[oa]|cuentame|lo superaras|pasara"
    r"|orgullos\w+|hug|breathe|rest|proud|here for you|not alone|tell me|you'?ll be)\b"
)
_MOCKING = re.compile(r"\b(?:(?:ja){2,}j?|(?:ha){2,}|lol|lmao|xd+|llor(?:a|on|ica)|patetic\w+|pathetic|crybaby)\b")
_CUES: dict[str, re.Pattern[str]] = {
    "happy": re.compile(
        r"!|\b(?:genial|bien|por fin|alegr\w+|ilusion|jaj\w*|rie|sonrie|feliz|yay|great|love|encanta\w*)\b"
    ),
    "excited": re.compile(r"!|\b(?:por fin|vamos|ya|increible|finally|let'?s)\b"),
    "sad": re.compile(r"\.\.\.|\b(?:triste|pena|lastima|echo de menos|suspir\w+|llor\w+|sad|miss)\b"),
    "angry": re.compile(r"!|\b(?:basta|harta|odio|fuera|bloque\w+|ban\w*|silencio|enough|stop|hate)\b"),
    "bored": re.compile(r"\b(?:bostez\w+|abur\w+|suspir\w+|otra vez|pereza|yawn\w*|bor(?:ed|ing)|sigh\w*)\b|\.\.\."),
}


def persona_style(exchange: Exchange, context: ScoringContext) -> Signal | None:
    """Does it sound like this persona: its markers present, its forbidden phrases absent. Left out without markers."""
    style = context.style
    if not style.markers:
        return None
    hits = marker_hits(exchange.output_text, context)
    length = max(1, len(words(exchange.output_text)))
    # One marker is the mark of the voice, two complete it; more than one per four words is parody.
    value = (0.12, 0.82, 1.0)[min(hits, 2)]
    why = f"{hits} of the persona's markers"
    if hits >= 3 and hits * 4 > length:
        value, why = 0.7, f"{hits} markers in {length} words: parody"
    reply = strip_accents(exchange.output_text)
    forbidden = [match.group() for pattern in style.forbidden if (match := pattern.search(reply))]
    if forbidden:
        value *= 0.3 ** min(len(forbidden), 2)
        why += f"; says what the persona never says: {forbidden[0].strip()!r}"
    return Signal("persona_style", value, 0.0, why, ceiling=0.55 if forbidden and hits == 0 else 1.0)


def marker_hits(reply: str, context: ScoringContext) -> int:
    """How many different markers of the persona the reply carries."""
    plain = strip_accents(reply)
    return sum(1 for pattern in context.style.markers if pattern.search(plain))


def voice(exchange: Exchange, _context: ScoringContext) -> Signal | None:
    """Does somebody in particular speak: takes a stand, teases, compares, against pleasantries anyone could say."""
    folded = fold(exchange.output_text)
    lively = lexicon.evidence(lexicon.LIVELY, folded)
    bland = sum(1 for pattern in lexicon.BLAND if pattern.search(folded))
    value = min(1.0, max(0.0, 0.25 + sum(lively.values()) - 0.22 * bland))
    why = ", ".join(lively) if lively else "nothing that sets it apart"
    return Signal("voice", value, 0.0, why + (f"; {bland} stock pleasantries" if bland else ""))


def substance(exchange: Exchange, _context: ScoringContext) -> Signal | None:
    """Does it say something: words with content. Four are plenty for a short reply."""
    content = {
        word for word in words(spoken(exchange.output_text)) if word not in lexicon.EMPTY_WORDS and len(word) > 2
    }
    value = (0.1, 0.5, 0.7, 0.85, 1.0)[min(len(content), 4)]
    return Signal("substance", value, 0.0, f"{len(content)} words with content")


def plain_tone(exchange: Exchange, _context: ScoringContext) -> Signal | None:
    """How far from the help desk: phrases too few to drop the exchange still count against it."""
    folded = fold(exchange.output_text)
    found = lexicon.evidence(lexicon.ASSISTANT_TONE + lexicon.REFUSAL, folded)
    value = max(0.0, 1.0 - 0.4 * sum(found.values()))
    return Signal(
        "plain_tone", value, 0.0, f"assistant phrases: {', '.join(found)}" if found else "no assistant phrases"
    )


def completeness(exchange: Exchange, _context: ScoringContext) -> Signal | None:
    """Does it end as sentences end. Chat may leave out the full stop, but not the end of the thought."""
    reply = exchange.output_text.strip()
    if reply.endswith((",", ";", ":", "(", "¿", "¡")):
        return Signal("completeness", 0.2, 0.0, f"ends on {reply[-1]!r}")
    if re.search(r"(?:—|–|--|\w-)$", reply):
        return Signal("completeness", 0.45, 0.0, "breaks off on a dash")
    if reply.count("(") != reply.count(")") or reply.count('"') % 2 or reply.count("```") % 2:
        return Signal("completeness", 0.6, 0.0, "a bracket or quotation mark stays open")
    if re.search(r"[.!?…*»”\")\]~]$", reply) or not reply[-1:].isalnum():
        return Signal("completeness", 1.0, 0.0, "ends well")
    return Signal("completeness", 0.75, 0.0, "ends without punctuation")


def length(exchange: Exchange, context: ScoringContext) -> Signal | None:
    """Within the persona's band of words; shorter is forgiven more easily than longer."""
    shortest, longest = context.style.length_words
    count = len(words(exchange.output_text))
    if count < shortest:
        return Signal("length", 0.4 + 0.6 * count / shortest, 0.0, f"{count} words, the band begins at {shortest}")
    if count > longest:
        value = max(0.0, 1.0 - (count - longest) / longest)
        # Twice the band and the character lectures: no marker makes up for that.
        return Signal(
            "length", value, 0.0, f"{count} words, the band ends at {longest}", ceiling=0.55 if value == 0 else 1.0
        )
    return Signal("length", 1.0, 0.0, f"{count} words, within {shortest} to {longest}")


def novelty(exchange: Exchange, context: ScoringContext) -> Signal | None:
    """Said before? Compared by 5-letter grams with the recent replies; a copy caps the score. None without them."""
    if not context.recent_replies:
        return None
    mine = grams(exchange.output_text, 5)
    closest = max(jaccard(mine, grams(reply, 5)) for reply in context.recent_replies)
    # Short catchphrases come back by nature ("Obvio, mortal."): only from six words on is a copy a copy.
    # The words are as good as the first time, so the cap ranks a copy below every original and above every bad reply.
    copied = closest >= 0.85 and len(words(exchange.output_text)) >= 6
    why = f"{closest:.0%} like the closest recent reply" + (", which caps the score" if copied else "")
    return Signal("novelty", 1.0 - closest, 0.0, why, ceiling=0.65 if copied else 1.0)


def variety(exchange: Exchange, _context: ScoringContext) -> Signal | None:
    """Repeats itself? Pairs of words said twice or more, as a share; a single refrain in a long reply costs little."""
    said = words(exchange.output_text)
    if len(said) < 6:
        return Signal("variety", 1.0, 0.0, "too short to repeat itself")
    pairs = Counter(pairwise(said))
    repeated = sum(count - 1 for count in pairs.values() if count > 1) / (len(said) - 1)
    return Signal("variety", max(0.0, 1.0 - 3 * repeated), 0.0, f"{repeated:.0%} of its word pairs are repeats")


def language_fit(exchange: Exchange, context: ScoringContext) -> Signal | None:
    """How much of the reply is in the persona's languages, as far as its length lets anyone tell."""
    found = confidences(exchange.output_text, context.style.languages)
    if found is None:
        return None
    share = sum(found.get(code, 0.0) for code in context.style.languages)
    # A third is what accentless Spanish chat keeps between Portuguese and Italian; above it there is no doubt left.
    return Signal("language_fit", min(1.0, share * 3), 0.0, f"{share:.0%} {' or '.join(context.style.languages)}")


def emotion_fit(exchange: Exchange, _context: ScoringContext) -> Signal | None:
    """Does the tone match the emotions the conversation service named. None without them, or for emotions unknown here."""
    folded = fold(exchange.output_text)
    if exchange.input_emotion and fold(exchange.input_emotion) in _SAD_INPUT:
        if _MOCKING.search(folded):
            return Signal("emotion_fit", 0.1, 0.0, "laughs at a sad viewer", ceiling=0.5)
        warm = bool(_WARM.search(folded))
        return Signal(
            "emotion_fit", 1.0 if warm else 0.6, 0.0, "warm to a sad viewer" if warm else "neutral to a sad viewer"
        )
    cue = _CUES.get(fold(exchange.output_emotion or ""))
    if cue is None:
        return None
    fits = bool(cue.search(folded))
    return Signal(
        "emotion_fit", 1.0 if fits else 0.55, 0.0, f"{'sounds' if fits else 'does not sound'} {exchange.output_emotion}"
    )


def human_signal(_exchange: Exchange, context: ScoringContext) -> Signal | None:
    """What people said about it: ratings, or a correction, which means the reply was not good as it stood."""
    if not context.ratings and not context.corrected:
        return None
    value = sum(context.ratings) / len(context.ratings) / 4 - 0.25 if context.ratings else 0.25
    if context.corrected:
        value = min(value, 0.25)
    why = f"{len(context.ratings)} ratings" + (", corrected by a person" if context.corrected else "")
    return Signal("human_signal", value, 0.0, why)


SignalFunction = Callable[[Exchange, ScoringContext], Signal | None]
SIGNALS: tuple[SignalFunction, ...] = (
    persona_style,
    voice,
    substance,
    plain_tone,
    completeness,
    length,
    novelty,
    variety,
    language_fit,
    emotion_fit,
    human_signal,
)
