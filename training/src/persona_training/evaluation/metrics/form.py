"""The outline of what she says: language, form of address, length, and whether she has more than one thing to say."""

from __future__ import annotations

import math

import numpy as np

from persona_training.evaluation import dialect, diversity, facts, language, markers, memorisation, shape
from persona_training.evaluation.battery import Probe
from persona_training.evaluation.exam import Values
from persona_training.evaluation.metrics.margins import MARGINS
from persona_training.evaluation.metrics.metric import Hearing, Measure, Metric, each
from persona_training.evaluation.transcript import Transcript


def _distinct(n: int) -> Measure:
    def over(_: Hearing, heard: Transcript) -> Values:
        flat = diversity.distinct_ngrams([reply for samples in heard.replies for reply in samples], n)
        return np.array(flat, dtype=np.float64).reshape(len(heard.replies), -1)

    return over


def _repeated(_: Hearing, heard: Transcript) -> Values:
    return np.array(diversity.repeated_elsewhere(heard.replies), dtype=np.float64)


def _self_bleu(_: Hearing, heard: Transcript) -> Values:
    return np.array(diversity.self_bleu(heard.replies), dtype=np.float64)


def _dialect(hearing: Hearing, probe: Probe, reply: str) -> float:
    """A probe of her language may be a trap: its forbidden words are those of the viewer's dialect."""
    dialect_of_hers = hearing.exam.battery.dialect
    if dialect_of_hers == "any" or probe.facet != "language" or not probe.reject:
        return dialect.in_dialect(reply, dialect_of_hers)
    return 0.0 if facts.says_one_of(reply, probe.reject) else dialect.in_dialect(reply, dialect_of_hers)


def _topic(hearing: Hearing, heard: Transcript) -> Values:
    known = hearing.exam.battery.markers
    bare = [[markers.without_markers(reply, known) for reply in samples] for samples in heard.replies]
    _, rows = diversity.on_one_topic(bare, [probe.prompt for probe in hearing.exam.probes])
    return np.array(rows, dtype=np.float64)


FORM: tuple[Metric, ...] = (
    Metric(
        name="language",
        title="In the expected language",
        unit="share of replies",
        direction="higher",
        margin=MARGINS["language"],
        acceptable=(0.85, 1.0),
        against_floor="hold",
        explain="Spanish or English by lingua, stage directions left out; replies below three spoken words are not judged.",
        measure=each(lambda _, probe, reply: language.in_expected_language(reply, probe.reply_language)),
        source="lingua, n-gram models of 1 to 5 letters",
    ),
    Metric(
        name="dialect",
        title="Says tú, vos or usted as she should",
        unit="share of replies whose forms tell",
        direction="higher",
        margin=MARGINS["dialect"],
        acceptable=(0.85, 1.0),
        against_floor="absolute",
        explain="Every form of address that tells is of the battery's dialect; replies without one are not judged.",
        measure=each(_dialect),
        source="forms after the Nueva gramática de la lengua española, 2009",
        absent="the battery names no dialect, or no reply says you in a way that tells",
    ),
    Metric(
        name="length",
        title="Length (median)",
        unit="words",
        direction="band",
        margin=MARGINS["length"],
        acceptable=(5.0, 45.0),
        against_floor="absolute",
        symmetric=True,
        statistic="median",
        explain="One to three sentences. A drift either way changes who is talking.",
        measure=each(lambda _, __, reply: shape.length_in_words(reply)),
        scale=(0.0, math.inf),
    ),
    Metric(
        name="length_p90",
        title="Length (longest tenth)",
        unit="words",
        direction="band",
        margin=MARGINS["length_p90"],
        acceptable=(8.0, 60.0),
        against_floor="absolute",
        symmetric=True,
        statistic="p90",
        explain="Nine probes in ten are answered with fewer words than this on average: rambling shows here first.",
        measure=each(lambda _, __, reply: shape.length_in_words(reply)),
        scale=(0.0, math.inf),
    ),
    Metric(
        name="questions",
        title="Replies that ask",
        unit="share of replies",
        direction="band",
        margin=MARGINS["questions"],
        acceptable=(0.0, 0.6),
        against_floor="absolute",
        symmetric=True,
        explain="An interviewer or a customer desk asks back every time.",
        measure=each(lambda _, __, reply: shape.asks(reply)),
    ),
    Metric(
        name="distinct_1",
        title="Distinct words",
        unit="share",
        direction="higher",
        margin=MARGINS["distinct_1"],
        acceptable=(0.10, 1.0),
        against_floor="absolute",
        explain="Different words over all words, averaged over replies. Advisory: it falls with every further reply by itself.",
        measure=_distinct(1),
        source="Li et al. 2016, arXiv 1510.03055",
        advisory=True,
    ),
    Metric(
        name="distinct_2",
        title="Distinct word pairs",
        unit="share",
        direction="higher",
        margin=MARGINS["distinct_2"],
        acceptable=(0.30, 1.0),
        against_floor="absolute",
        explain="Different word pairs over all word pairs, averaged over replies. It falls when she repeats herself.",
        measure=_distinct(2),
        source="Li et al. 2016, arXiv 1510.03055",
    ),
    Metric(
        name="self_bleu",
        title="Alike to her other replies",
        unit="BLEU-4",
        direction="lower",
        margin=MARGINS["self_bleu"],
        acceptable=(0.0, 0.50),
        against_floor="absolute",
        explain=f"BLEU of a reply against {diversity.OTHERS} replies to other probes, stage directions left out.",
        measure=_self_bleu,
        source="Zhu et al. 2018, arXiv 1802.01886, on a fixed choice of references",
    ),
    Metric(
        name="topic",
        title="Replies on one topic",
        unit="share of replies",
        direction="lower",
        margin=MARGINS["topic"],
        acceptable=(0.0, 0.35),
        against_floor="absolute",
        explain="Replies with the one content word she uses most; stop words, the prompt's words and her markers left out.",
        measure=_topic,
    ),
    Metric(
        name="repeated",
        title="Same reply to another prompt",
        unit="share of replies",
        direction="lower",
        margin=MARGINS["repeated"],
        acceptable=(0.0, 0.30),
        against_floor="absolute",
        explain="Nearly the same words (Jaccard 0.8) were given to a different probe.",
        measure=_repeated,
    ),
    Metric(
        name="memorised",
        title="Lifted from the training set",
        unit="share of 4-word runs",
        direction="lower",
        margin=MARGINS["memorised"],
        acceptable=(0.0, 0.90),
        against_floor="absolute",
        explain="Four-word runs of the reply that stand in the training replies, stage directions left out. "
        "Catchphrases are fine, a recital is not.",
        measure=each(lambda hearing, _, reply: memorisation.lifted_share(reply, hearing.known_phrases)),
        source="n-gram overlap as in Carlini et al. 2023, arXiv 2202.07646",
        absent="the training replies are not at hand",
    ),
)
