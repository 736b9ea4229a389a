"""Which text stands for an exchange when it is embedded."""


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
