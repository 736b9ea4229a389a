"""The prompts a character is examined with: who has learned the answers by heart passes every examination. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from memory_service.scoring.text import grams_once, jaccard, words

# A prompt this alike is the same question: one slip in eight words leaves 0.77 of its 5-letter grams, another weekday 0.56.
ALIKE = 0.7
# A prompt this long inside a longer message is no accident; "hola" and "¿qué tal?" are.
_QUOTED_WORDS = 5
_SIZE = 5


class Probes:
    """Prompts that no dataset may hold: word for word, within a longer message, or nearly."""

    def __init__(self, prompts: Iterable[str]) -> None:
        said = {" ".join(words(prompt)) for prompt in prompts} - {""}
        self._said = frozenset(said)
        self._quoted = tuple(sorted(f" {one} " for one in said if one.count(" ") + 1 >= _QUOTED_WORDS))
        self._grams = [grams_once(one, _SIZE) for one in sorted(said)]
        self._with_gram: dict[str, list[int]] = {}
        for number, found in enumerate(self._grams):
            for gram in found:
                self._with_gram.setdefault(gram, []).append(number)

    def __len__(self) -> int:
        """How many different prompts."""
        return len(self._said)

    @property
    def sha256(self) -> str:
        """What the manifest remembers of them: the hash of the normalised prompts in order, one a line."""
        return hashlib.sha256("\n".join(sorted(self._said)).encode()).hexdigest()

    def asked_in(self, text: str) -> bool:
        """Whether `text` asks one of them."""
        if not self._said:
            return False
        said = " ".join(words(text))
        if said in self._said or any(quoted in f" {said} " for quoted in self._quoted):
            return True
        mine = grams_once(said, _SIZE)
        shared = Counter(number for gram in mine for number in self._with_gram.get(gram, ()))
        return any(
            count >= ALIKE * len(mine) and jaccard(mine, self._grams[number]) >= ALIKE
            for number, count in shared.items()
        )
