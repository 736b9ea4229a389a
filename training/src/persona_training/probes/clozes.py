"""Questions with one checkable answer, made of sentences about her: the telling word is taken out and asked for.

A gap is a crude question, but it is made without a model, its answer is known, and it never asks for something the sentence
does not say. A person turns it into what a viewer would ask.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
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


@dataclass(frozen=True)
class Asker:
    """How gaps are chosen and asked for.

    Attributes:
        form: how a gap is asked for; holds {sentence}.
        function_words: never asked for.
        determiners: words after which a thing is named.
        own: the character's own names, which everybody knows.
        names: other names, in the plain form, so that one at the head of a sentence is known for a name.
    """

    form: str
    function_words: frozenset[str]
    determiners: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def question(self, text: str) -> Question | None:
        """The question that the first sentence with a telling word makes, or None when there is none."""
        for sentence in sentences(text):
            if not 3 <= len(words(sentence)) <= MAX_WORDS:
                continue
            for answer in filter(self._asked_for, self._candidates(sentence)):
                pattern = rf"(?<!\w){re.escape(answer)}(?!\w)"
                asked, found = re.subn(pattern, GAP, sentence, flags=re.IGNORECASE)
                if found:
                    return Question(self.form.format(sentence=asked), (answer,))
        return None

    def _candidates(self, sentence: str) -> Iterator[str]:
        """What is quoted, numbers, names, what stands after a determiner, and the longest word of at least five letters."""
        yield from _QUOTED.findall(sentence)
        yield from _NUMBER.findall(sentence)
        for match in _CAPITAL.finditer(sentence):
            if match.start() > 0 or plain(match.group()) in self.names:
                yield match.group()
        spoken = words(sentence)
        for before, word in itertools.pairwise(spoken):
            if before in self.determiners and len(word) > 3:
                yield word
        yield from sorted((word for word in spoken if len(word) > 4), key=len, reverse=True)

    def _asked_for(self, answer: str) -> bool:
        bare = plain(answer)
        return bool(bare) and bare not in self.own and not {bare, answer.lower()} & self.function_words


def names_in(texts: Iterable[str]) -> frozenset[str]:
    """The plain form of every run of capitalised words inside a sentence."""
    return frozenset(
        plain(match.group())
        for text in texts
        for sentence in sentences(text)
        for match in _CAPITAL.finditer(sentence)
        if sentence[: match.start()].rstrip()[-1:].isalnum() or sentence[: match.start()].rstrip().endswith(",")
    )


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
