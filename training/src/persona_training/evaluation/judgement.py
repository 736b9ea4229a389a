"""The verdict: pass, fail or inconclusive, per metric and over all.

A metric fails when one of its comparisons lies outside what is allowed and chance is no explanation, with Holm's correction
over every comparison that decides; it passes when every comparison's whole interval lies inside (an intersection-union test,
Berger 1982, which needs no correction); otherwise it is inconclusive and says what would tell. The candidate fails when a hard
rule is broken or one metric fails, is inconclusive when one metric is, and passes otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from persona_training.evaluation.bootstrap import ROUNDS, TAIL, Range
from persona_training.evaluation.comparison import (
    FEWEST,
    Comparison,
    Draws,
    Opponent,
    Trial,
    Verdict,
    decided,
    noise,
    trials,
)
from persona_training.evaluation.exam import Exam, Values
from persona_training.evaluation.hard_rules import HardFail, RuleOutcome, find_hard_fails, outcomes
from persona_training.evaluation.measuring import Measured, level, measured
from persona_training.evaluation.metrics import Metric, Over
from persona_training.evaluation.multiplicity import holm
from persona_training.evaluation.transcript import Transcript

FEWEST_ASKED = 12  # with fewer, a fault in a quarter of all replies may never be seen (the rule of three)
FEW = "{asked} probes are too few to let anybody pass: ask at least " + f"{FEWEST_ASKED}."
_UNITS = {"probes": "probe", "dialogues": "dialogue", "texts": "text"}


@dataclass(frozen=True)
class Finding:
    """One metric's figures and verdict.

    Attributes:
        metric: what was measured.
        ceiling: the level of the hand-written references; None where that means nothing.
        noise: how far two hearings of the same voice lie apart, half-width of a 90 % interval; None for one sample.
        levels: per voice; None where a voice has nothing to measure.
        comparisons: those that decide, reference first.
        verdict: of all of them together.
        why: what keeps it from being decided, and what would tell; empty where it is decided.
        more_samples: per cluster, that would probably decide it; None when it is decided or samples would not.
        clusters_needed: probes, dialogues or texts in all that would, where samples would not.
    """

    metric: Metric
    ceiling: float | None
    noise: float | None
    levels: dict[str, float | None]
    comparisons: tuple[Comparison, ...]
    verdict: Verdict
    why: str = ""
    more_samples: int | None = None
    clusters_needed: int | None = None

    @property
    def decides(self) -> bool:
        """Does its verdict count towards the verdict on her?"""
        undecided = self.metric.only_fails and self.verdict == "inconclusive"
        return not (self.metric.advisory or undecided)

    @property
    def may_settle(self) -> bool:
        """Is it open, and may more samples decide it? After one sample that is unknown, and they may."""
        if self.verdict != "inconclusive" or any(one.clusters < FEWEST for one in self.comparisons):
            return False
        return self.noise is None or self.clusters_needed is None

    def against(self, opponent: Opponent) -> Comparison | None:
        """The comparison with one opponent, or None."""
        return next((one for one in self.comparisons if one.opponent == opponent), None)


@dataclass(frozen=True)
class NotMeasured:
    """A metric that decides nothing this time, and why."""

    metric: Metric
    reason: str


@dataclass(frozen=True)
class Judgement:
    """The whole verdict with every figure behind it.

    Attributes:
        verdict: pass, fail or inconclusive.
        reasons: why not a pass, in words, the worst first.
        hard_fails: replies that broke a hard rule, broken beyond its tolerance or not.
        rules: every hard rule with how often it was broken.
        findings: every metric that was measured.
        not_measured: every other one.
        final: whether further looks at the same voices cannot change the verdict any more.
        look: of how many `looks`; each has its share of the 5 %.
        style: each voice's log-odds, probes x samples, for sorting replies by change.
    """

    verdict: Verdict
    reasons: list[str]
    hard_fails: list[HardFail]
    rules: tuple[RuleOutcome, ...]
    findings: list[Finding]
    not_measured: list[NotMeasured]
    final: bool
    look: int = 1
    looks: int = 1
    style: dict[str, Values] = field(default_factory=dict)

    def open_over(self, over: Over) -> bool:
        """Is the verdict kept open by a metric over such units, which further samples of them may decide?"""
        return any(one.metric.over == over and one.decides and one.may_settle for one in self.findings)


def judge(
    exam: Exam, said: Mapping[str, Transcript], *, seed: int, system_prompt: str = "", look: int = 1, looks: int = 1
) -> Judgement:
    """Measure every voice and decide.

    Args:
        exam: what was asked and what the measures may know.
        said: the voices by name: "candidate", and where there are any "reference", "golden" and "floor".
        seed: of the bootstrap.
        system_prompt: what the candidate was told, to find it leaking.
        look: which look at growing transcripts this is, from 1.
        looks: how many there will be at most; each may err in 5 % / looks (Bonferroni).

    Raises:
        ValueError: there is no candidate, or no such look.
    """
    if "candidate" not in said or not 1 <= look <= looks:
        raise ValueError("A judgement needs a candidate and a look between 1 and the number of looks.")
    alpha = TAIL / looks
    everything = measured(exam, said)
    findings, not_measured = weigh(everything, seed, alpha)
    fails = find_hard_fails(exam, said["candidate"], system_prompt)
    rules = outcomes(fails, said["candidate"])
    few = too_few(len(exam.probes))
    verdict = _overall(rules, findings, enough=not few)
    return Judgement(
        verdict=verdict,
        reasons=[rule.sentence() for rule in rules if rule.broken] + _reasons(findings) + few,
        hard_fails=fails,
        rules=rules,
        findings=findings,
        not_measured=not_measured,
        final=_final(verdict, rules, findings, look / looks),
        look=look,
        looks=looks,
        style=next((one.values for one in everything if one.metric.name == "style"), {}),
    )


def too_few(asked: int) -> list[str]:
    """The sentence that so many probes let nobody pass; nothing where they are enough."""
    return [FEW.format(asked=asked)] if asked < FEWEST_ASKED else []


def weigh(everything: Sequence[Measured], seed: int, alpha: float) -> tuple[list[Finding], list[NotMeasured]]:
    """Decide every metric at the level `alpha`, all of them together; what was not measured comes second, with its reason."""
    # A bootstrap cannot see a p below 1 / (rounds + 1), and the most severe of many comparisons needs one of alpha / many.
    at_most = 3 * sum(not one.metric.advisory for one in everything)
    draws = Draws(seed, alpha, max(ROUNDS, math.ceil(2 * at_most / alpha)))
    tried = {one.metric.name: trials(one, draws) for one in everything if not one.missing}
    deciding = [trial for one in tried.values() for trial in one if not trial.metric.advisory]
    adjusted = dict(zip(map(id, deciding), holm([trial.p for trial in deciding]), strict=True))
    findings, not_measured = [], []
    for one in everything:
        reason = one.missing or _nothing_there(one, tried[one.metric.name])
        if reason:
            not_measured.append(NotMeasured(one.metric, reason))
            continue
        comparisons = tuple(
            decided(trial, adjusted.get(id(trial), trial.p), alpha, len(deciding)) for trial in tried[one.metric.name]
        )
        findings.append(_finding(one, comparisons, draws))
    return findings, not_measured


def _nothing_there(one: Measured, tried: Sequence[Trial]) -> str:
    """Why a metric cannot decide; empty where it can, and where only the candidate gives nothing to judge."""
    known = {name: int((~np.isnan(values)).any(axis=1).sum()) for name, values in one.values.items()}
    if not max(known.values()):
        return f"None of the {one.metric.over} asked has anything to judge here."
    fell_silent = known["candidate"] < FEWEST <= max(known.get(name, 0) for name in ("reference", "golden"))
    if tried or fell_silent:
        return ""
    return f"Only {known['candidate']} {one.metric.over} drew a reply that tells, and it takes {FEWEST}."


def _finding(one: Measured, comparisons: tuple[Comparison, ...], draws: Draws) -> Finding:
    metric = one.metric
    heard_twice = next(one.values[name] for name in ("reference", "golden", "candidate") if name in one.values)
    by_chance = noise(heard_twice, metric, draws)
    verdict, why, more, needed = _verdict(metric, comparisons, by_chance, heard_twice.shape[1])
    levels = {name: level(metric, values) for name, values in one.values.items()}
    return Finding(
        metric=metric,
        ceiling=one.ceiling,
        noise=by_chance,
        levels=levels,
        comparisons=comparisons,
        verdict=verdict,
        why=why or _excuses_nobody(metric, comparisons, levels),
        more_samples=more,
        clusters_needed=needed,
    )


def _verdict(
    metric: Metric, comparisons: Sequence[Comparison], by_chance: float | None, samples: int
) -> tuple[Verdict, str, int | None, int | None]:
    """The verdict of all comparisons, why it is not clear, and what would make it so."""
    if not comparisons:
        return (
            "inconclusive",
            "The candidate says hardly anything that can be judged here, and another voice does.",
            None,
            None,
        )
    if any(one.verdict == "fail" for one in comparisons):
        return "fail", "", None, None
    relative = any(one.opponent in {"reference", "golden"} for one in comparisons)
    enough = all(one.clusters >= FEWEST for one in comparisons)
    if by_chance is not None and relative and enough and by_chance > metric.margin:
        more = max(math.ceil(samples * (by_chance / metric.margin) ** 2) - samples, 1)
        why = (
            f"Two hearings of one and the same voice lie up to {by_chance:.3f} apart, which is more than the margin of "
            f"{metric.margin:.3f}: {_samples(more, metric)}"
        )
        return "inconclusive", why, more, None
    open_ones = [one for one in comparisons if one.verdict == "inconclusive"]
    if not open_ones:
        return "pass", "", None, None
    needed = [(one.clusters_needed, one.clusters) for one in open_ones if one.clusters_needed is not None]
    more_samples = [one.more_samples for one in open_ones if one.more_samples is not None]
    if needed:
        in_all, now = max(needed)
        return "inconclusive", _clusters(in_all, now, samples, metric), None, in_all
    if more_samples:
        return "inconclusive", _sentence_case(_samples(max(more_samples), metric)), max(more_samples), None
    return "inconclusive", "It lies on the very edge of what is allowed: no number of samples would tell.", None, None


def _excuses_nobody(metric: Metric, comparisons: Sequence[Comparison], levels: Mapping[str, float | None]) -> str:
    """A word on a failure against a voice that is itself out of bounds; empty otherwise."""
    low, high = metric.acceptable
    for one in comparisons:
        theirs = levels.get(one.opponent)
        if metric.direction == "band" and one.verdict == "fail" and theirs is not None and not low <= theirs <= high:
            return (
                f"The {one.opponent} itself lies outside of what is acceptable, {range_words(metric.acceptable)}: being like "
                "it is no pass. Change the battery if it is as she should be."
            )
    return ""


def _samples(more: int, metric: Metric) -> str:
    return f"about {more} more {'sample' if more == 1 else 'samples'} a {_UNITS[metric.over]} would tell."


def _clusters(needed: int, now: int, samples: int, metric: Metric) -> str:
    if now < FEWEST:
        return f"{now} {metric.over} are too few to let anything pass: it needs at least {FEWEST}."
    told = f"it needs about {needed} {metric.over}, and there are {now}."
    if metric.over == "texts":
        return _sentence_case(told)
    if samples == 1:  # then nobody knows how far two of one probe would lie apart
        return f"{_sentence_case(told)} Perhaps more samples of each would tell, too."
    return f"No number of samples would tell: {told}"


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def _overall(rules: Sequence[RuleOutcome], findings: Sequence[Finding], *, enough: bool) -> Verdict:
    verdicts = {finding.verdict for finding in findings if finding.decides}
    if any(rule.broken for rule in rules) or "fail" in verdicts:
        return "fail"
    return "pass" if enough and verdicts == {"pass"} else "inconclusive"


def _final(verdict: Verdict, rules: Sequence[RuleOutcome], findings: Sequence[Finding], share_seen: float) -> bool:
    """Can the looks to come not change it? A pass and a fail stand, but a stray reply may yet drown in further good ones."""
    if verdict == "pass" or share_seen == 1:
        return True
    failed = any(finding.verdict == "fail" and finding.decides for finding in findings)
    return failed or any(rule.stays_broken(share_seen) for rule in rules)


def _reasons(findings: Sequence[Finding]) -> list[str]:
    return [
        f"{finding.metric.title}: {finding.verdict}. {_shortly(finding)}"
        for finding in sorted(findings, key=lambda finding: finding.verdict != "fail")
        if finding.verdict != "pass" and finding.decides
    ]


def _shortly(finding: Finding) -> str:
    """The comparison that speaks most against the candidate, and what would tell."""
    same = [one for one in finding.comparisons if one.verdict == finding.verdict] or finding.comparisons
    if not same:
        return finding.why
    worst = min(same, key=lambda one: one.p_adjusted)
    hers = finding.levels["candidate"]
    now = "nothing" if hers is None else f"{hers:.3f}"
    if worst.opponent == "alone":
        return f"{now} {finding.metric.unit}; allowed {range_words(worst.allowed)}. {finding.why}".strip()
    other = finding.levels[worst.opponent]
    against = f"the {worst.opponent} has {other:.3f}" if other is not None else f"the {worst.opponent} has nothing"
    allowed = range_words(worst.allowed, signed=True)
    return f"{now} {finding.metric.unit}, {against}; a difference of {allowed} is allowed. {finding.why}".strip()


def sentence(finding: Finding) -> str:
    """The figures of one finding in words, for the console: every voice between the floor and the ceiling."""
    levels = [
        f"{name} {finding.levels[name]:.3f}"
        for name in ("candidate", "reference", "golden", "floor")
        if finding.levels.get(name) is not None
    ]
    if finding.ceiling is not None:
        levels.append(f"ceiling {finding.ceiling:.3f}")
    parts = [f"{', '.join(levels) or 'nothing measured'} {finding.metric.unit}"]
    parts += [comparison_words(one) for one in finding.comparisons if one.verdict == finding.verdict]
    return f"{'; '.join(parts)}. {finding.why}".strip()


def comparison_words(one: Comparison) -> str:
    """One comparison in words."""
    low, high = one.interval
    if one.opponent == "alone":
        return f"its level [{low:.3f}, {high:.3f}] is judged by itself, allowed {range_words(one.allowed)}"
    chance = f", p {one.p_adjusted:.4f} after Holm" if one.verdict == "fail" else ""
    return (
        f"against the {one.opponent} {one.difference:+.3f} [{low:+.3f}, {high:+.3f}], allowed "
        f"{range_words(one.allowed, signed=True)}{chance}"
    )


def range_words(allowed: Range, *, signed: bool = False) -> str:
    """What is allowed, open sides in words."""
    low, high = (f"{edge:+.3f}" if signed else f"{edge:.3f}" for edge in allowed)
    if math.isinf(allowed[0]):
        return "anything" if math.isinf(allowed[1]) else f"at most {high}"
    return f"at least {low}" if math.isinf(allowed[1]) else f"{low} to {high}"
