"""The character a test talks to."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from persona_training.errors import PersonaTrainingError
from persona_training.evaluation.battery import FACETS, Battery, Dialogue, Facet, Probe
from persona_training.evaluation.replies import ask_probes, by_dialogue, hold_dialogues
from persona_training.evaluation.transcript import Transcript
from persona_training.pytest_plugin.shares import share_interval
from persona_training.pytest_plugin.speaker import Speaker
from persona_training.pytest_plugin.surely import Seen, Surely

if TYPE_CHECKING:
    from persona_training.evaluation.measuring import Measured

REPLIES = "share of replies"


class Reply(str):
    """A reply, which is a string, with the `prompt` it answers."""

    __slots__ = ("prompt",)

    prompt: str

    def __new__(cls, text: str, prompt: str) -> Reply:
        """A reply to a prompt."""
        made = super().__new__(cls, text)
        made.prompt = prompt
        return made


class Persona:
    """The character under test. The same seed, model and battery give the same replies in whatever order tests run.

    Attributes:
        name: of the model.
        battery: its probes, markers and forbidden phrases.
    """

    def __init__(self, speaker: Speaker, battery: Battery, *, samples: int, seed: int) -> None:
        self.name = speaker.replier.name
        self.battery = battery
        self._speaker = speaker
        self._samples = samples
        self._seed = seed
        self._drawn: dict[tuple[tuple[Probe, ...], int], list[str]] = {}

    def ask(self, prompt: str, samples: int | None = None) -> list[Reply]:
        """Replies to one prompt, each in a conversation of its own; as many as --persona-samples says, unless given."""
        probe = Probe(id="asked", facet="style", prompt=prompt, references=(), reply_language="any")
        return [reply for row in self._draw((probe,), samples) for reply in row]

    def replies(self, facet: Facet | None = None, samples: int | None = None) -> list[Reply]:
        """Replies to the battery's probes, or to those of one facet."""
        return [reply for row in self._rows(facet, samples) for reply in row]

    def talk(self, lines: Sequence[str]) -> list[Reply]:
        """A conversation: her reply to each of the lines, of which she hears all that went before."""
        dialogue = Dialogue(id="talk", mood="neutral", turns=tuple(lines), reply_language="any")
        turns = hold_dialogues(
            self._speaker.replier, [dialogue], sample=0, seed=self._seed, system_prompt=self._speaker.told
        )
        return [Reply(answers[0], line) for line, answers in zip(lines, turns, strict=True)]

    def rate(
        self,
        what: str | re.Pattern[str] | Callable[[str], bool],
        facet: Facet | None = None,
        *,
        prompt: str | None = None,
        replies: Sequence[Reply] | None = None,
        samples: int | None = None,
    ) -> Surely:
        """The share of her replies that show something.

        Args:
            what: the name of one of the battery's markers, a regular expression (found anywhere, without regard to case), or
                a function of a reply.
            facet: only replies to the probes of that facet; else to all of them.
            prompt: replies to this prompt instead.
            replies: these replies instead, such as those of `ask` or `talk`.
            samples: replies per prompt, instead of --persona-samples.

        Raises:
            PersonaTrainingError: there is no reply to look at, no such facet, or the expression is broken.
        """
        name, shows = self._looked_for(what)
        if replies is not None:
            rows = _by_prompt(replies)
        else:
            rows = [self.ask(prompt, samples)] if prompt is not None else self._rows(facet, samples)
        if not rows:
            raise PersonaTrainingError("There is no reply to look at.")
        hits = [[bool(shows(reply)) for reply in row] for row in rows]
        value, low, high = share_interval(hits)
        seen = [
            Seen(reply.prompt, str(reply), float(hit))
            for row, found in zip(rows, hits, strict=True)
            for reply, hit in zip(row, found, strict=True)
        ]
        return Surely(f"rate of {name}", value, low, high, REPLIES, len(rows), seen)

    def measure(self, name: str) -> Surely:
        """One of the gate's metrics on her replies to the whole battery, by its name: "assistant_tone", "core_facts", ….

        The interval is that of `rate` where every reply has it or not, because a bootstrap of replies that are all alike
        has no width; else the gate's own, a bootstrap over whole prompts. Nobody is compared with: what needs the base model
        stands on the battery's neutral replies.

        Raises:
            PersonaTrainingError: no metric is called that, or it cannot be taken here; the message says why.
        """
        from persona_training.evaluation.bootstrap import estimate

        one = self._measured_as(name)
        values = one.values["candidate"]
        found = None if one.missing else estimate(values, one.metric.statistic, self._seed)
        if found is None:
            raise PersonaTrainingError(
                f"{name} cannot be measured here: {one.missing or 'no reply can be judged by it'}"
            )
        ends = (found.value, found.low, found.high)
        seen: list[Seen] = []
        if one.metric.over == "probes":
            rows = self._rows(None, None)
            seen = [
                Seen(reply.prompt, str(reply), float(value))
                for row, judged in zip(rows, values, strict=True)
                for reply, value in zip(row, judged, strict=True)
                if value == value
            ]
            if one.metric.statistic == "mean" and {had.value for had in seen} <= {0.0, 1.0}:
                known = [[bool(value) for value in row if value == value] for row in values]
                ends = share_interval([row for row in known if row])
        return Surely(one.metric.title, *ends, one.metric.unit, found.clusters, seen)

    def _measured_as(self, name: str) -> Measured:
        found = {one.metric.name: one for one in self._measured}
        if name not in found:
            raise PersonaTrainingError(f"No metric is called {name!r}. There are: {', '.join(found)}.")
        if found[name].metric.over == "dialogues" and self.battery.dialogues:
            return {one.metric.name: one for one in self._measured_with_dialogues}[name]
        return found[name]

    @cached_property
    def _transcript(self) -> Transcript:
        return Transcript(self.name, [list(map(str, row)) for row in self._rows(None, None)])

    @cached_property
    def _measured(self) -> list[Measured]:
        return self._measure(self._transcript)

    @cached_property
    def _measured_with_dialogues(self) -> list[Measured]:
        """Holding them takes as long as all the probes, so it is done for those measures only that listen to them."""
        dialogues, replier = self.battery.dialogues, self._speaker.replier
        turns = hold_dialogues(replier, dialogues, sample=0, seed=self._seed, system_prompt=self._speaker.told)
        return self._measure(replace(self._transcript, turns=[[talk] for talk in by_dialogue(dialogues, turns)]))

    def _measure(self, transcript: Transcript) -> list[Measured]:
        from persona_training.evaluation.exam import Exam
        from persona_training.evaluation.measuring import measured

        dialogues = self.battery.dialogues if transcript.turns else ()
        exam = Exam(self.battery, self.battery.probes, dialogues, self._speaker.training_replies)
        return measured(exam, {"candidate": transcript})

    def _looked_for(self, what: str | re.Pattern[str] | Callable[[str], bool]) -> tuple[str, Callable[[str], object]]:
        markers = {marker.name: marker for marker in self.battery.markers}
        if isinstance(what, str) and what in markers:
            return f"{markers[what].title!r}", markers[what].pattern.search
        if isinstance(what, str):
            try:
                return f"{what!r}", re.compile(what, re.IGNORECASE | re.MULTILINE).search
            except re.error as error:
                raise PersonaTrainingError(f"{what!r} is no regular expression: {error}.") from None
        if isinstance(what, re.Pattern):
            return f"{what.pattern!r}", what.search
        return getattr(what, "__name__", "a function"), what

    def _rows(self, facet: Facet | None, samples: int | None) -> list[list[Reply]]:
        """Replies by probe. Facet by facet, so that what one test asks does not change what another hears."""
        if facet is None:
            found = {probe.id: row for each in FACETS for probe, row in self._of_facet(each, samples)}
            return [found[probe.id] for probe in self.battery.probes]
        rows = [row for _, row in self._of_facet(facet, samples)]
        if not rows:
            raise PersonaTrainingError(f"The battery {self.battery.name} has no probe of the facet {facet!r}.")
        return rows

    def _of_facet(self, facet: Facet, samples: int | None) -> list[tuple[Probe, list[Reply]]]:
        probes = tuple(probe for probe in self.battery.probes if probe.facet == facet)
        return list(zip(probes, self._draw(probes, samples), strict=True))

    def _draw(self, probes: tuple[Probe, ...], samples: int | None) -> list[list[Reply]]:
        wanted = self._samples if samples is None else samples
        if wanted < 1:
            raise PersonaTrainingError(f"{wanted} samples are no reply. Ask for at least one.")
        drawn = [self._round(probes, number) for number in range(wanted)]
        return [[Reply(one[i], probe.prompt) for one in drawn] for i, probe in enumerate(probes)]

    def _round(self, probes: tuple[Probe, ...], number: int) -> list[str]:
        if (probes, number) not in self._drawn:
            portions = ask_probes(
                self._speaker.replier, probes, sample=number, seed=self._seed, system_prompt=self._speaker.told
            )
            self._drawn[probes, number] = [reply for portion in portions for reply in portion]
        return self._drawn[probes, number]


def _by_prompt(replies: Sequence[Reply]) -> list[list[Reply]]:
    rows: dict[str, list[Reply]] = {}
    for reply in replies:
        rows.setdefault(reply.prompt, []).append(reply)
    return list(rows.values())
