"""Where in a message its author may be speaking of themself: sentences, and the places in them where a clause begins."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Beyond so many clauses a sentence is a list or a flood, not a sentence.
_MOST_STARTS = 40

_EMOJI = "\u2190-\u2bff\u3030\ufe0f\U0001f000-\U0001faff"
_BREAK = re.compile(
    rf"(?P<mark>[.!?…]+(?=[\s\"'»”)\ue000]|$)|[!?…]+|[\n;()¡]+|[{_EMOJI}]+|\s[-–—]+\s| xd+\b| :[)(dp03]\b"
    rf"| <3)|(?P<asks>¿)"
)
_START = re.compile(
    r"(?:,|:| y que| y| e| pero| aunque| porque| pq| xq| ya que| mientras(?: que)?| asi que| y eso que| and"
    r"| but| so| because|"
    r" cuz| although| though| while| then|, y|, pero|, and|, but) "
)
_QUESTION_TAIL = re.compile(
    r"(?:,? (?:y|e) (?:a )?(?:tu|ti|vos|vosotr[oa]s|usted(?:es)?|ud|uds|el tuyo|los tuyos|cual es (?:el|la) tuy[oa])"
    r"|,? (?:what about|how about|and) (?:you|yours|u|you guys|y'all|chat)"
    r"|, (?:(?:y )?(?:que|cual|cuando|donde|como|quien|por que|cuant[oa]s?|alg[uo]n[oa]?s?|alguien|me|te|nos"
    r"|sabes|tienes|puedes|podrias|"
    r"hay|conoces|crees)|(?:so )?(?:what|which|when|where|how|who|why|any|anyone|do|does|did|can|could|should"
    r"|would|is|are|will|have)(?:'?s|'re)?)"
    r" [^,]*)$"
)
# From here to the end of the sentence others speak, or nothing is so.
_NOT_SO = re.compile(
    r"\b(?:dicen?|dijo|dijeron|dije|decia|decian|diciendo|pregunt[oa]|preguntaron|canta|cantaba|respondio"
    r"|contesto|said|says|saying|told|"
    r"asked|ojala|quisiera|ni que|como si|supongamos|supon|imaginate|imaginemos|no es (?:verdad|cierto)"
    r"|es mentira|mentira|es broma|"
    r"wish|as if|as though|suppose|supposing|what if|let's say|not true|it's a lie|just kidding|jk)\b"
    r"|\bsi (?:yo |no |ya |fuera|fuese|viviera|viviese|tuviera|tuviese|pudiera|estuviera|trabajara|me llamara"
    r"|naciera|hubiera)"
    r"|\bif (?:i|my|i'm|you|we|it|he|she|they|only)\b|\bwhen i was\b|\bcuando (?:era|tenia|vivia)\b"
)
_CONDITION = re.compile(
    r"(?:(?:y|pero|and|but|pues|bueno|hombre) )*(?:si|if|unless|suponiendo|en caso|cuando|when|whenever) (?!,)"
)
# From here to the end of the message the author hands over a text, plays a part or gives orders.
_NOT_MINE = re.compile(
    r"(?:^|[,:] |\b(?:y|and|por favor|porfa|porfi|please|pls|puedes|podrias|can you|could you|would you"
    r"|casiopy|oye|hey) )"
    r"(?:traduce\w*|traducir\w*|translate|resum(?:e|en|eme|ir|irme)|summari[sz]e|escrib(?:e|eme|ir|irme)"
    r"|redacta\w*|write|rewrite|"
    r"reescrib\w+|corrige\w*|corregir\w*|correct|proofread|parafrase\w*|paraphrase|repite\w*|repeat|act as"
    r"|act like|actua(?!l)\w*|"
    r"haz (?:de|como|el papel)|finge\w*|pretend|imagina|imagine|role-?play|rolea\w*|ignora\w*|ignore"
    r"|disregard|analiza\w*|analyze|analyse|"
    r"complet[ae]|continua la|continue the|lee esto|read this|define|explica (?:est|la frase)|explain this"
    r"|what does|que significa|como se dice|"
    r"how do (?:you|i) say|di|say|canta(?:me|nos)?|sing)[ :] *"
    r"|\b(?:personaje|character|protagonista|letra|lyrics|novela|novel|poema|poem|cancion|song|meme|chiste"
    r"|joke|frase|sentence|ejemplo|"
    r"example|copypasta|guion|script|dialogo|dialogue|texto|text|cita|quote|carta|letter)\b[^,\n]{0,40}:"
)
_SONG_LINE = re.compile(r"[^\n]*[♪♫♬♩🎵🎶][^\n]*")
_PLAYED = re.compile(r"(?<![*\w])\*(?!\*)[^*\n]*[^*\s\n]\*(?!\*)")
_TITLE_BEFORE_DOT = re.compile(r"\b(?:dra?|sra?|st|mr|mrs|ms)$")


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence of the folded text that ends before `end`; a statement may begin at `clauses` alone."""

    clauses: tuple[int, ...]
    end: int
    last: bool


def is_played(text: str) -> bool:
    """Whether a part is played: `*enters the tavern*` makes of all else a line of the play."""
    return any(found.start() == 0 or " " in found.group() for found in _PLAYED.finditer(text))


def segments(text: str) -> Iterator[Segment]:
    """The sentences of a folded text in which its author may say something of themself."""
    text = _SONG_LINE.sub(lambda line: "\n" * len(line.group()), text)
    start, asked = 0, False
    for found in [*_BREAK.finditer(text), None]:
        if found and found.group() == "." and _TITLE_BEFORE_DOT.search(text[max(0, found.start() - 4) : found.start()]):
            continue
        end = found.start() if found else len(text)
        segment = _segment(text, start, end, asked=asked or (found is not None and "?" in found.group()))
        yield segment
        if segment.last or found is None:
            return
        start, asked = found.end(), found.group("asks") is not None


def _segment(text: str, start: int, end: int, *, asked: bool) -> Segment:
    while start < end and text[start] in " ,:-~*_#>":
        start += 1
    sentence = text[start:end]
    foreign = _NOT_MINE.search(sentence)
    if foreign:
        sentence = sentence[: foreign.start()]
    if asked:
        tail = _QUESTION_TAIL.search(sentence)
        sentence = sentence[: tail.start()] if tail else ""
    unreal = _NOT_SO.search(sentence)
    if unreal:
        sentence = sentence[: unreal.start()]
    if _CONDITION.match(sentence):
        sentence = ""
    clauses = [0] if sentence.strip() else []
    for found in _START.finditer(sentence):
        if len(clauses) == _MOST_STARTS:
            break
        if _CONDITION.match(sentence, found.end()):
            sentence = sentence[: found.start()]
            break
        clauses.append(found.end())
    return Segment(tuple(start + place for place in clauses), start + len(sentence), last=foreign is not None)
