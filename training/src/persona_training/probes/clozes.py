"""Questions with one checkable answer, made of sentences about her: the telling word is taken out and asked for.

A gap is a crude question, but it is made without a model, its answer is known, and it never asks for something the sentence
does not say. A person turns it into what a viewer would ask.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from persona_training.evaluation.words import plain, words

GAP = "___"
MAX_WORDS = 40  # of a sentence; a longer one is no question
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")
_QUOTED = re.compile(r"[«“\"]([^«»“”\"]{2,40})[»”\"]")
_NUMBER = re.compile(r"\b\d+(?:[:.,]\d+)*\b")
_CAPITAL = re.compile(r"\b[^\W\d_a-zà-ÿ][\w'’-]+(?:\s+[^\W\d_a-zà-ÿ][\w'’-]+)*")
# "Age: 19", "Age(“19”)", "[Age = 19]": the three ways cards write a trait down.
_TRAIT = re.compile(
    r"^[\s\[*•+-]*([^\W\d_][\w ]{1,24}?)\**\s*(?:[:=]|\()\s*[\"“(]*([^\n]{1,120}?)[\s\])\"”;]*$", re.MULTILINE
)
_LISTED = re.compile(r"\s*(?:,|;|\+|/|\"\s*\+?\s*\"|\by\b|\band\b)\s*")


@dataclass(frozen=True)
class Question:
    """A prompt and the words of which one has to appear in the answer."""

    prompt: str
    expect: tuple[str, ...]


def cloze(text: str, form: str, function_words: frozenset[str], names: Iterable[str] = ()) -> Question | None:
    """The question a text makes, or None when it holds no word worth asking for.

    Args:
        text: one or more sentences; the first that has a telling word is used.
        form: how the gap is asked for; holds {sentence}.
        function_words: never asked for.
        names: the character's own, which everybody knows.
    """
    known = {plain(name) for name in names}
    for sentence in sentences(text):
        if not 3 <= len(words(sentence)) <= MAX_WORDS:
            continue
        answer = _telling(sentence, function_words, known)
        if answer is not None:
            pattern = re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)", re.IGNORECASE)
            return Question(form.format(sentence=pattern.sub(GAP, sentence)), (answer,))
    return None


def sentences(text: str) -> list[str]:
    """The sentences of a text, line breaks being ends too."""
    return [one.strip() for one in _SENTENCE.split(text) if one.strip()]


def traits(text: str, attributes: dict[str, str], function_words: frozenset[str]) -> list[Question]:
    """The questions a card's list of traits makes, in its order; traits nobody asks for are passed over."""
    found: dict[str, Question] = {}
    for match in _TRAIT.finditer(text):
        prompt = attributes.get(match[1].strip().lower())
        values = [one.strip(" .\"“”'") for one in _LISTED.split(match[2])]
        told = [one for one in values if plain(one) and plain(one) not in function_words]
        if prompt and told and prompt not in found:
            found[prompt] = Question(prompt, tuple(dict.fromkeys(told)))
    return list(found.values())


def without_traits(text: str) -> str:
    """The sentences of a text that are no list of traits."""
    return _TRAIT.sub("", text)


def _telling(sentence: str, function_words: frozenset[str], known: set[str]) -> str | None:
    """What is quoted, else a number, else a name inside the sentence, else its longest word of at least five letters."""

    def asked_for(answer: str) -> bool:
        bare = plain(answer)
        return bool(bare) and bare not in known and bare not in function_words and answer.lower() not in function_words

    for found in (_QUOTED.findall(sentence), _NUMBER.findall(sentence), _names_in(sentence)):
        for answer in found:
            if asked_for(answer):
                return str(answer)
    longest = sorted((word for word in words(sentence) if len(word) > 4 and asked_for(word)), key=len, reverse=True)
    return longest[0] if longest else None


def _names_in(sentence: str) -> list[str]:
    """Runs of capitalised words that do not begin the sentence."""
    return [match.group() for match in _CAPITAL.finditer(sentence) if match.start() > 0]
