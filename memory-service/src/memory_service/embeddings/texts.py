"""Which texts stand for an exchange or a memory when it is embedded: all of it, and the passages of a long one."""

import re

# A passage has at least so many characters, and a text at most so many passages: what a 30,000-character paste costs is
# bounded. Passages of 25 and of 120 characters found no more of short turns than whole texts do (recall@10 .835 and .836
# against .839, LoCoMo development conversations) and cost twice the embedding; they are for texts the model cannot read whole.
_PASSAGE, _MOST_PASSAGES = 300, 16
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")


# One vector for both sides together. Measured on the LoCoMo development conversations with two turns paired as one
# exchange (1,244 exchanges, 616 questions, all-MiniLM-L6-v2, dense arm alone), recall@10: both sides in one vector .542,
# the better of two vectors .468, the better of three .497, the viewer's side alone .377. A question is often answered by
# what the two sides say together ("Which one?" – "The red one").
def embedded_text(input_text: str, output_text: str, *, dropped: bool) -> str:
    """What the viewer said and, unless a hard rule dropped it, what was answered.

    An error message, a canned refusal or a foreign-language slip is not what she said: it would pull the exchange towards
    every other failure.
    """
    if dropped or not output_text.strip():
        return input_text
    return f"{input_text}\n{output_text}"


def embedded_texts(text: str) -> list[str]:
    """All that gets a vector of its own: `text`, then its passages."""
    return [text, *passages(text)]


def passages(text: str) -> list[str]:
    """Runs of whole sentences that cover `text`, for a text that says several things; none for a short one.

    A vector of a long text is near everything it says and very near to nothing: its best passage counts, too.
    """
    size = max(_PASSAGE, len(text) // _MOST_PASSAGES + 1)
    runs: list[str] = []
    for sentence in _SENTENCE_END.split(text):
        if runs and len(runs[-1]) < size:
            runs[-1] = f"{runs[-1]} {sentence}"
        else:
            runs.append(sentence)
    runs = [run.strip() for run in runs if run.strip()][:_MOST_PASSAGES]
    return runs if len(runs) > 1 else []
