"""From exchanges and their places to the bytes of a dataset, line by line, and to the same bytes again later. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from memory_service.chat.assembly import with_memories
from memory_service.exports.candidates import Candidate
from memory_service.exports.dataset import Place
from memory_service.exports.formats import CONVERSATIONS, Conversation, Row, Turn, dpo, jsonl, kto
from memory_service.exports.preferences import resolved
from memory_service.exports.recalled import tellable
from memory_service.exports.redaction import Redactor, introduced_names


@dataclass(frozen=True, slots=True)
class People:
    """Whom a dataset may name and whom not.

    `others` are viewers outside the dataset whose ids may be mentioned in it; `display_names` what viewers of the dataset
    are called besides their id; `public` the names that stay.
    """

    others: Sequence[str] = ()
    display_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    public: Sequence[str] = ()


@dataclass(slots=True)
class Names:
    """The viewers of a dataset and the names they gave, gathered before anything is written."""

    found: dict[str, dict[str, None]] = field(default_factory=dict)

    def gather(self, candidates: Iterable[Candidate]) -> None:
        """Note who took part and what they called themselves."""
        for one in candidates:
            known = self.found.setdefault(one.user_id, {})
            known.update(dict.fromkeys(introduced_names(one.input_text)))

    def redactor(self, people: People, key: str) -> Redactor:
        """What takes these people's names out. `key` makes their pseudonyms."""
        viewers = {user: [*people.display_names.get(user, ()), *names] for user, names in self.found.items()}
        return Redactor(key, viewers, people.public, people.others)


@dataclass(frozen=True, slots=True)
class Voice:
    """What every row has in common: its format, the system prompt, the language it is in, and whether memories are shown."""

    form: str
    system_prompt: str
    language: str
    with_memories: bool


class Writer:
    """Writes lines. The same exchanges, places, names, voice and memories give the same bytes."""

    def __init__(self, redactor: Redactor, voice: Voice) -> None:
        self._redactor = redactor
        self._voice = voice
        self.redacted: Counter[str] = Counter()
        # What else than exchanges of the dataset its rows are made of: remembered things and people's opinions.
        self.told: set[str] = set()

    def line(self, places: Sequence[Place], sources: Mapping[str, Candidate], there: Collection[str] = ()) -> bytes:
        """One row. `there`: the ids of remembered things that may still be told.

        Raises:
            KeyError: an exchange, or a reply that people judged, is not there any more.
        """
        return jsonl([self._row(places, sources, there)])

    def _row(self, places: Sequence[Place], sources: Mapping[str, Candidate], there: Collection[str]) -> Row:
        first = sources[places[0].interaction_id]
        self.told.update(opinion.id for place in places for opinion in sources[place.interaction_id].opinions)
        if self._voice.form in CONVERSATIONS:
            turns = [self._turn(one, one.output_text) for one in (sources[place.interaction_id] for place in places)]
            return CONVERSATIONS[self._voice.form](Conversation(self._system(first, there), turns))
        if self._voice.form == "kto":
            reply = resolved(first, str(places[0].evidence))
            return kto(self._voice.system_prompt, self._turn(first, reply.text), good=reply.good)
        if len(places) == 2:
            other = sources[places[1].interaction_id]
            better, worse = self._turn(first, first.output_text), self._turn(other, other.output_text)
            return dpo(self._voice.system_prompt, better, worse)
        reply = resolved(first, str(places[0].evidence))
        kept, lost = (reply.text, first.output_text) if reply.good else (first.output_text, reply.text)
        return dpo(self._voice.system_prompt, self._turn(first, kept), self._turn(first, lost))

    def _system(self, one: Candidate, there: Collection[str]) -> str:
        if not self._voice.with_memories:
            return self._voice.system_prompt
        told = tellable(one.metadata, there)
        self.told.update(source for line in told for source in line.sources)
        lines = [self._clean(line.text, one.user_id) for line in told]
        return with_memories(self._voice.system_prompt, self._voice.language, lines)

    def _turn(self, one: Candidate, reply: str) -> Turn:
        return Turn(
            interaction_id=one.interaction_id,
            session_id=one.session_id,
            viewer=self._redactor.viewer(one.user_id),
            input_text=self._clean(one.input_text, one.user_id),
            output_text=self._clean(reply, one.user_id),
        )

    def _clean(self, text: str, viewer: str) -> str:
        redacted = self._redactor.redact(text, viewer)
        self.redacted.update(redacted.by_kind())
        return redacted.text
