"""What of a message is its author's own: memory blocks, prompts, thoughts, quoted lines and other speakers fall away.

What a chat hands over as "the user's message" often carries what the product itself put there. Learnt from, it comes
back as a memory of a memory; that loop is how a store fills with junk. Pure, and done twice it changes nothing more.
"""

import re

# A text made to unfold into ever new blocks is nobody's chat message.
_MOST_ROUNDS = 8

_FLAGS = re.IGNORECASE | re.MULTILINE
_TAG = (
    r"memor(?:y|ies|ia|ias)|recuerdos|contexto?|core_memory|retrieved|think|thinking|reasoning|system|tool_call|quote"
)
_BRACKET = r"context|contexto|memory|memories|memoria|memorias|recuerdos?|core[ _]memory|system prompt|recall|retrieved"
# Blocks with both ends, and those that were opened and never closed: all of what follows belongs to them.
_BLOCKS = [
    re.compile(rf"<({_TAG})\b[^>\n]*>.*?(?:</\1>|\Z)", _FLAGS | re.DOTALL),
    re.compile(rf"\[({_BRACKET})\b[^\]\n]*\].*?(?:\[/\1\]|\n[ \t]*\n|\Z)", _FLAGS | re.DOTALL),
    re.compile(r"<<SYS>>.*?(?:<</SYS>>|\Z)", _FLAGS | re.DOTALL),
    re.compile(r"<\|im_start\|>(?!user)[^\n]*.*?(?:<\|im_end\|>|(?=<\|im_start\|>)|\Z)", _FLAGS | re.DOTALL),
    re.compile(
        r"<\|start_header_id\|>(?!user)[^<\n]*<\|end_header_id\|>.*?(?:<\|eot_id\|>|(?=<\|start_header_id\|>)|\Z)",
        _FLAGS | re.DOTALL,
    ),
    re.compile(r"<start_of_turn>(?!user)\w*.*?(?:<end_of_turn>|\Z)", _FLAGS | re.DOTALL),
    re.compile(r"```.*?(?:```|\Z)", re.DOTALL),
    re.compile(r"~~~.*?(?:~~~|\Z)", re.DOTALL),
    re.compile(r"^#{1,4}[ \t]*(?:system|sistema|assistant|asistente|response|respuesta|instructions?|instrucci[oó]n(?:es)?)\b"
               r".*?(?:(?=^#{1,4}[ \t]*(?:user|usuario|input|human)\b)|\Z)", _FLAGS | re.DOTALL),
]  # fmt: skip
_TOKENS = re.compile(
    r"<\|im_start\|>user|<\|start_header_id\|>user<\|end_header_id\|>|<start_of_turn>user|<\|[^|>\n]{1,40}\|>|</?s>"
    r"|<end_of_turn>|\[/?INST\]|</(?:" + _TAG + r")>|\[/(?:" + _BRACKET + r")\]|`[^`\n]+`"
    r"|^#{1,4}[ \t]*(?:user|usuario|input|human)\b[ \t]*:?",
    _FLAGS,
)

# A title that a list of remembered things stands under; everything to the next empty line belongs to it.
_TITLE = re.compile(
    r"^\W{0,6}(?:user (?:information|context|profile|memor(?:y|ies)|facts)|(?:relevant|retrieved|recalled"
    r"|past|stored|long[- ]term) "
    r"(?:memor(?:y|ies)|context|facts|conversations?)|memor(?:y|ies)|context(?:[ _]summary)?|core[ _]memory"
    r"|known facts|"
    r"(?:what|things) (?:you|i) (?:know|remember) about\b[^\n:]{0,60}|facts about\b[^\n:]{0,60}"
    r"|conversation summary|summary so far|"
    r"informaci[oó]n (?:del usuario|sobre\b[^\n:]{0,60})|contexto(?: del usuario| recuperado| relevante)?"
    r"|perfil(?: del usuario)?|"
    r"(?:memorias?|recuerdos?)(?: relevantes?| recuperad[oa]s?| del usuario)?|hechos conocidos|(?:lo que"
    r"|cosas que) (?:sabes|recuerdas)\b[^\n:]{0,60}|"
    r"resumen de la conversaci[oó]n|profile|preferences|facts|todos|preferencias|hechos|pendientes)\W{0,4}:\W{0,3}",
    re.IGNORECASE,
)  # fmt: skip
_CORE_TITLE = re.compile(
    r"^#{1,4} (?:qui[eé]n eres|c[oó]mo (?:eres|hablas)|lo que (?:te gusta|no soportas|te propones)"
    r"|tu (?:gente|mundo)|"
    r"tus l[ií]mites|who you are|what you (?:are like|like|cannot stand|are after)|how you speak"
    r"|your (?:people|world|limits))\b",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^[ \t]*(?:[-•*–]|\d{1,2}[.)])[ \t]+")
_DATED = re.compile(r"^[ \t]*(?:[-•*–][ \t]*)?[\[(]?\d{4}-\d{2}-\d{2}\b")
# How a profile is written out: `- likes: Python, rain`; a person says it in a sentence.
_KEYED = re.compile(r"^[ \t]*[-•*–][ \t]*[a-z]+(?:_[a-z]+)*:[ \t]", re.IGNORECASE)
_MACHINE = re.compile(r"relevance_score|memory_type|context_summary|is_mutable|\"(?:role|content|memories)\"[ \t]*:")
_QUOTED_LINE = re.compile(r"^[ \t]*(?:>|&gt;)")
_PROMPT = re.compile(
    r"^\W{0,4}(?:you are|you're|eres|act as|act[uú]a como|your (?:name|task|role) is|tu (?:nombre|tarea|rol) es)\b",
    re.IGNORECASE,
)
_PROMPT_ORDERS = re.compile(
    r"\b(?:responde|contesta|habla|respond|reply|answer|speak|always|never|siempre|nunca|must|debes|assistant"
    r"|asistente|"
    r"chatbot|language model|modelo de lenguaje|helpful|your (?:task|role)|te gusta|odias|personaje|character"
    r"|vtuber)\b",
    re.IGNORECASE,
)
_PROMPT_LINE = re.compile(
    r"^\W{0,4}(?:use (?:this|the (?:above|following)) (?:context|information|memor\w+)|usa (?:este|esta|el"
    r"|la) (?:contexto|informaci[oó]n)|"
    r"extract (?:the |all )?(?:facts|personal|user|information)|current (?:date|time)\b.{0,3}:)",
    re.IGNORECASE,
)  # fmt: skip
_AUTHOR = re.compile(
    r"^[ \t]*(?:\*\*)?(?:user|usuario|usuaria|human|humano|me|yo|viewer)(?:\*\*)?[ \t]*:(?:\*\*)?", re.IGNORECASE
)
_SPEAKER = re.compile(
    r"^[ \t]*(?:\[[^\]\n]{1,24}\][ \t]*)?(?:\*\*)?(?:assistant|asistente|ai|ia|bot|system|sistema|model"
    r"|casiopy|chatgpt|claude|gemini|"
    r"tool|narrator|narrador)(?:\*\*)?[ \t]*:",
    re.IGNORECASE,
)  # fmt: skip


def own_words(message: str) -> str:
    """The message without what its author did not write; empty when nothing of it is theirs.

    Lines labelled as the user's keep their text without the label; lines of every other speaker go, to the next label
    or empty line. Each run of text left is, letter for letter, a run of the message.
    """
    text = message
    for _ in range(_MOST_ROUNDS):
        shorter = _once(text)
        if shorter == text:
            return text
        text = shorter
    return ""


def _once(text: str) -> str:
    for block in _BLOCKS:
        text = block.sub("\n\n", text)
    text = _TOKENS.sub("\n", text)
    text = "\n".join(_own_lines(text.splitlines()))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _own_lines(lines: list[str]) -> list[str]:
    """The lines that are the author's; a dropped passage lasts to the next empty line or, in a list, past its items."""
    kept: list[str] = []
    foreign: str | None = None
    for line in lines:
        label = _AUTHOR.match(line)
        if label is not None:
            foreign = None
            kept.append(line[label.end() :])
            continue
        foreign = _foreign(line, foreign, follows_empty=not kept or not kept[-1].strip())
        if foreign is None:
            kept.append(line)
        elif kept and kept[-1].strip():
            kept.append("")
    return kept


def _foreign(line: str, before: str | None, *, follows_empty: bool) -> str | None:
    """Which foreign passage the line belongs to: a list under a title, a paragraph, this line alone; None for none."""
    if _TITLE.match(line) or _CORE_TITLE.match(line):
        return "list"
    if _SPEAKER.match(line) or (follows_empty and _PROMPT.match(line) and _PROMPT_ORDERS.search(line)):
        return "paragraph"
    alone = (_QUOTED_LINE, _DATED, _KEYED, _MACHINE, _PROMPT_LINE)
    if any(kind.search(line) if kind is _MACHINE else kind.match(line) for kind in alone):
        return before or "line"
    if not line.strip():
        # An empty line ends a paragraph; between a title's items it does not.
        return "list" if before == "list" else None
    if before == "list":
        return "list" if _ITEM.match(line) else ("paragraph" if not follows_empty else None)
    return "paragraph" if before == "paragraph" else None
