"""Hear the voices in rounds: in each, every voice answers every probe once more; the first round holds the dialogues, too.

Whoever looks after each round may stop as soon as the verdict is certain; the next rounds hold the dialogues again as long as
they leave something open. Everything is kept as it is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from persona_training.display import Display
from persona_training.errors import PersonaTrainingError
from persona_training.evaluation.battery import Battery, Dialogue, Probe
from persona_training.evaluation.cast import Voice
from persona_training.evaluation.judgement import Judgement
from persona_training.evaluation.kept_replies import KeptVoice, open_kept, software
from persona_training.evaluation.loading import Models
from persona_training.evaluation.losses import general_losses, persona_losses
from persona_training.evaluation.progress import HearingBar
from persona_training.evaluation.replies import ask_probes, by_dialogue, hold_dialogues
from persona_training.evaluation.results import VoiceName
from persona_training.evaluation.transcript import Transcript
from persona_training.generation import Replier
from persona_training.settings import Settings

ORDER: tuple[VoiceName, ...] = ("floor", "golden", "reference", "candidate")
KEPT = "What was heard so far is kept: run the same command again to go on from there."
Look = Callable[[Mapping[str, Transcript], int], Judgement]


class HearingError(PersonaTrainingError):
    """A voice fell silent in the middle; what it had said is kept."""


@dataclass(frozen=True)
class Plan:
    """What is asked of every voice.

    Attributes:
        samples: rounds of probes at most.
        dialogue_samples: rounds in which the dialogues are held, at most; when nobody looks, the first so many.
        told: system prompt in front of every conversation; empty where voices carry their own.
        prompt: system prompt of the candidate, for the losses.
        losses: whether losses are taken.
        redraw: use nothing that was kept.
    """

    battery: Battery
    probes: Sequence[Probe]
    dialogues: Sequence[Dialogue]
    samples: int
    dialogue_samples: int
    seed: int
    told: str = ""
    prompt: str = ""
    losses: bool = True
    redraw: bool = False

    @property
    def replies(self) -> int:
        """Replies of one voice in all rounds, at most."""
        return self.samples * len(self.probes) + self.dialogue_samples * sum(len(one.turns) for one in self.dialogues)


@dataclass
class _Said:
    rounds: list[list[str]] = field(default_factory=list)
    held: list[list[list[str]]] = field(default_factory=list)
    persona_loss: list[float] | None = None
    general_loss: list[float] | None = None
    seconds: float = 0.0

    def transcript(self, name: str, dialogues: int) -> Transcript:
        """Probes x samples and dialogues x samples x turns."""
        return Transcript(
            name=name,
            replies=[list(samples) for samples in zip(*self.rounds, strict=True)],
            turns=[[held[i] for held in self.held] for i in range(dialogues)] if self.held else (),
            persona_loss=self.persona_loss,
            general_loss=self.general_loss,
            seconds=self.seconds,
        )


class Hearing:
    """One examination in progress."""

    def __init__(self, plan: Plan, voices: Mapping[VoiceName, Voice], settings: Settings, display: Display) -> None:
        self._plan = plan
        self._voices = {name: voices[name] for name in ORDER if name in voices}
        self._display = display
        self._models = Models(display)
        self._said = {name: _Said() for name in self._voices}
        self._kept = {name: self._open(voice, settings) for name, voice in self._voices.items()}

    def hear(self, look: Look | None) -> dict[str, Transcript]:
        """Hear everything, or as much as it takes.

        Args:
            look: called with everything heard after a round, and with the number of the round from 1; hearing ends when its
                judgement is final, and the next round holds the dialogues, too, as long as every look was open over them. None
                hears everything.

        Raises:
            HearingError: a voice fell silent; the message says why and that what was heard is kept.
        """
        bar = HearingBar(self._display.console)
        with bar.shown(self._plan.replies * len(self._voices)):
            talk = bool(self._plan.dialogues)
            for sample in range(self._plan.samples):
                talk = talk and sample < self._plan.dialogue_samples
                for name in self._voices:
                    bar.turn(sample, self._plan.samples, name)
                    self._round(name, sample, bar, talk=talk)
                if look is None:
                    continue
                judgement = look(self.transcripts(), sample + 1)
                bar.looked(judgement)
                if judgement.final:
                    break
                talk = talk and judgement.open_over("dialogues")
        self._report()
        return self.transcripts()

    def transcripts(self) -> dict[str, Transcript]:
        """Everything heard so far."""
        dialogues = len(self._plan.dialogues)
        return {name: said.transcript(self._voices[name].named.name, dialogues) for name, said in self._said.items()}

    def _open(self, voice: Voice, settings: Settings) -> KeptVoice:
        def speak() -> Replier:
            if voice.speak is not None:
                return voice.speak()
            if voice.weights is None:
                raise PersonaTrainingError(f"{voice.named.name} has neither weights here nor a server.")
            return self._models.of(voice.weights)

        identity = dict(voice.identity)
        if voice.speak is None:
            identity |= {"software": software(), "on": _device()}
        return open_kept(settings.data_dir, voice.named.name, identity, speak, afresh=self._plan.redraw)

    def _round(self, name: VoiceName, sample: int, bar: HearingBar, *, talk: bool) -> None:
        plan, said, kept = self._plan, self._said[name], self._kept[name]
        started = time.monotonic()
        try:
            replies: list[str] = []
            for portion in ask_probes(kept, plan.probes, sample=sample, seed=plan.seed, system_prompt=plan.told):
                replies += portion
                bar.heard(len(portion))
            if talk:
                said.held.append(self._dialogues(kept, sample, bar))
            if sample == 0 and plan.losses:
                self._losses(name)
        except PersonaTrainingError as error:
            raise HearingError(f"{error.message} {KEPT}") from error
        said.rounds.append(replies)
        said.seconds += time.monotonic() - started

    def _dialogues(self, kept: KeptVoice, sample: int, bar: HearingBar) -> list[list[str]]:
        plan = self._plan

        def counted() -> Iterator[list[str]]:
            for answers in hold_dialogues(kept, plan.dialogues, sample=sample, seed=plan.seed, system_prompt=plan.told):
                bar.heard(len(answers))
                yield answers

        return by_dialogue(plan.dialogues, counted())

    def _losses(self, name: VoiceName) -> None:
        """Where the weights lie here; the serving paths do not tell how likely they find a given text."""
        voice, corpora, said = self._voices[name], self._plan.battery.corpora, self._said[name]
        if voice.weights is None or not (corpora.persona or corpora.general):
            return
        weights, prompt, kept = voice.weights, self._plan.prompt, self._kept[name]
        about = [weights.identity(), software(), _device()]
        if corpora.persona:
            said.persona_loss = kept.losses(
                [*about, prompt, [list(pair) for pair in corpora.persona]],
                lambda: persona_losses(self._models.of(weights), corpora.persona, prompt),
            )
        if corpora.general:
            said.general_loss = kept.losses(
                [*about, list(corpora.general)], lambda: general_losses(self._models.of(weights), corpora.general)
            )

    def _report(self) -> None:
        for name, voice in self._voices.items():
            said, kept = self._said[name], self._kept[name]
            told = f"{voice.named.name}: {len(self._plan.probes)} probes x {len(said.rounds)}"
            if said.held:
                told += f", {len(self._plan.dialogues)} dialogues x {len(said.held)}"
            how = f"{said.seconds:.1f} s"
            if kept.reused:
                how += (
                    f", {kept.reused} of {kept.reused + kept.drawn} portions kept from an earlier gate in {kept.path}"
                )
            self._display.fact("heard", f"{told} in {how}")
            self._tell_losses(name, voice)

    def _tell_losses(self, name: VoiceName, voice: Voice) -> None:
        if not self._plan.losses:
            return
        if voice.weights is None:
            self._display.fact("note", f"No perplexity of {voice.named.name} ({name}): {voice.no_losses}.")
        elif voice.speak is not None and self._said[name].persona_loss is not None:
            self._display.fact(
                "note", f"Perplexity of {voice.named.name} is taken from its weights here, before quantising."
            )

    def forget_what_may_change(self) -> None:
        """After a report is made: what was said by voices that are known by name only is not kept for later."""
        for name, voice in self._voices.items():
            if not voice.lasting:
                self._kept[name].forget()


def _device() -> str:
    """Device and number format: the same seed gives other replies on another device."""
    from persona_training.hardware import choose_hardware

    hardware = choose_hardware()
    return f"{hardware.device.type} {hardware.dtype_name}"
