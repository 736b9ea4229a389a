"""What a reasoning model thinks aloud is not what it says: `<think>…</think>` never leaves the service. Pure."""

import re

_OPENING = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_CLOSING = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
# The longest tag without its last character: as much of a piece as may be the beginning of a tag.
_LONGEST_START = len("</thinking")
_TAGS = ("<think>", "<thinking>", "</think>", "</thinking>")


def without_thoughts(text: str) -> str:
    """`text` without its thoughts, stripped.

    Some servers put the opening tag into the prompt, so that a reply begins inside a thought and only ends it. A thought
    that never ends leaves nothing behind it.
    """
    closing = _CLOSING.search(text)
    opening = _OPENING.search(text)
    if closing is not None and (opening is None or closing.start() < opening.start()):
        text = text[closing.end() :]
    thoughts = ThoughtFilter()
    return (thoughts.feed(text) + thoughts.end()).strip()


class ThoughtFilter:
    """The same for a reply that comes in pieces: tags may be cut anywhere between two of them."""

    def __init__(self) -> None:
        self._thinking = False
        self._held = ""

    def feed(self, piece: str) -> str:
        """What may be said after this piece; what could still turn out to be a tag waits for the next one."""
        text, said = self._held + piece, []
        while True:
            tag = (_CLOSING if self._thinking else _OPENING).search(text)
            if tag is None:
                break
            if not self._thinking:
                said.append(text[: tag.start()])
            text, self._thinking = text[tag.end() :], not self._thinking
        keep = _start_of_tag(text)
        self._held = text[len(text) - keep :]
        if not self._thinking:
            said.append(text[: len(text) - keep])
        return "".join(said)

    def end(self) -> str:
        """What was held back and is no tag after all."""
        held, self._held = self._held, ""
        return "" if self._thinking else held


def _start_of_tag(text: str) -> int:
    """How many characters at the end of `text` may be the beginning of a tag."""
    for length in range(min(len(text), _LONGEST_START), 0, -1):
        if any(tag.startswith(text[-length:].lower()) for tag in _TAGS):
            return length
    return 0
