"""Is it still her voice? Nothing here is trusted alone: style metrics of different families barely agree with each other."""

from __future__ import annotations

import math

import numpy as np

from persona_training.evaluation import markers, similarity
from persona_training.evaluation.battery import Facet
from persona_training.evaluation.exam import Values
from persona_training.evaluation.metrics.margins import MARGINS
from persona_training.evaluation.metrics.metric import Hearing, Metric, each
from persona_training.evaluation.perplexity import losses
from persona_training.evaluation.transcript import Transcript

# Replies per probe that are embedded: one core takes 10 ms for each, and further ones say little more.
SIMILARITY_SAMPLES = 1
_ROLE: tuple[Facet, ...] = ("style", "identity", "hostile", "friendly")  # whose forbidden phrases are another role's


def _similarity(hearing: Hearing, heard: Transcript) -> Values:
    probes, embed = hearing.exam.probes, hearing.exam.embed
    values = np.full((len(probes), heard.samples), np.nan)
    if embed is None:
        return values
    general = hearing.exam.battery.neutral_replies
    chosen = [list(samples)[:SIMILARITY_SAMPLES] for samples in heard.replies]
    neutrals = [[probe.neutral] if probe.neutral else list(general) for probe in probes]
    texts = dict.fromkeys(
        text
        for probe, samples, neutral in zip(probes, chosen, neutrals, strict=True)
        for text in (*samples, *probe.references, *neutral)
    )
    vectors = dict(zip(texts, embed(list(texts)), strict=True))
    for i, probe in enumerate(probes):
        for s, reply in enumerate(chosen[i]):
            # A reference is no proof of itself: its own level, the ceiling, is taken from the others.
            hers = [vectors[text] for text in probe.references if text != reply]
            values[i, s] = similarity.margin(
                vectors[reply], np.array(hers), np.array([vectors[text] for text in neutrals[i]])
            )
    return values


def _persona_loss(hearing: Hearing, heard: Transcript) -> Values:
    return losses(heard.persona_loss, len(hearing.exam.battery.corpora.persona))


CHARACTER: tuple[Metric, ...] = (
    Metric(
        name="style",
        title="Sounds like her",
        unit="log-odds",
        direction="higher",
        margin=MARGINS["style"],
        acceptable=(0.0, math.inf),
        against_floor="rise",
        rise=0.25,
        explain="A character n-gram classifier's log-odds that the character wrote the reply rather than the base model. "
        "The margin is a share of the distance between the base model and held-out references written by hand.",
        measure=lambda hearing, heard: hearing.style.held_out(heard.replies),
        scale=(-math.inf, math.inf),
        source="Stamatatos 2009, A survey of modern authorship attribution methods; folds and margins own",
        relative=True,
    ),
    Metric(
        name="similarity",
        title="Says what she would say",
        unit="cosine",
        direction="higher",
        margin=MARGINS["similarity"],
        acceptable=(-0.05, 2.0),
        against_floor="hold",
        explain="Cosine of the reply to her references minus its cosine to a neutral reply to the same prompt, so that the "
        f"topic they share falls out. Replies embedded per probe: {SIMILARITY_SAMPLES}.",
        measure=_similarity,
        scale=(-2.0, 2.0),
        source="Reimers & Gurevych 2019, arXiv 1908.10084; margin own",
        absent="no sentence embedding is to be had here",
    ),
    Metric(
        name="marker_rate",
        title="Replies with one of her markers",
        unit="share of replies",
        direction="band",
        margin=MARGINS["marker_rate"],
        acceptable=(0.55, math.inf),  # too many show in the next row: a share cannot say "twice in one reply"
        against_floor="rise",
        rise=0.20,
        explain="Stage directions, forms of address and openers she is known by. Losing them is the plainest lobotomy.",
        measure=each(lambda hearing, _, reply: markers.has_marker(reply, hearing.exam.battery.markers)),
    ),
    Metric(
        name="marker_count",
        title="Markers per reply",
        unit="markers",
        direction="band",
        margin=MARGINS["marker_count"],
        acceptable=(0.6, 3.5),
        against_floor="absolute",
        explain="Too few is a lobotomy, too many a parody of herself.",
        measure=each(lambda hearing, _, reply: markers.marker_count(reply, hearing.exam.battery.markers)),
        scale=(0.0, math.inf),
    ),
    Metric(
        name="assistant_tone",
        title="Assistant tone",
        unit="share of replies",
        direction="lower",
        margin=MARGINS["assistant_tone"],
        acceptable=(0.0, 0.06),
        against_floor="absolute",
        explain="Phrases and list layouts of a polite assistant, in Spanish and English.",
        measure=each(lambda hearing, _, reply: markers.says_any(reply, hearing.exam.battery.assistant_tone)),
    ),
    Metric(
        name="refusal",
        title="Refusals and apologies",
        unit="share of replies",
        direction="lower",
        margin=MARGINS["refusal"],
        acceptable=(0.0, 0.06),
        against_floor="absolute",
        explain="She mocks a request or answers it; she does not decline it with regrets.",
        measure=each(lambda hearing, _, reply: markers.says_any(reply, hearing.exam.battery.refusal)),
    ),
    Metric(
        name="out_of_character",
        title="Out of character",
        unit="share of replies",
        direction="lower",
        margin=MARGINS["out_of_character"],
        acceptable=(0.0, 0.10),
        against_floor="absolute",
        explain="She denies being herself, or agrees to be somebody else: the battery's phrases in any reply, and what a "
        "probe of her identity or her temper forbids.",
        measure=each(
            lambda hearing, probe, reply: markers.says_any(
                reply, hearing.exam.battery.out_of_character, probe.reject if probe.facet in _ROLE else ()
            )
        ),
    ),
    Metric(
        name="persona_loss",
        title="Surprise at her own words",
        unit="nats per token",
        direction="lower",
        margin=MARGINS["persona_loss"],
        acceptable=(0.0, math.inf),
        against_floor="hold",
        explain="Held-out replies of hers, written by hand, under the model: how unlikely it finds each token. Only "
        "probabilities see a voice fade before the replies show it.",
        measure=_persona_loss,
        scale=(0.0, math.inf),
        source="Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition tasks",
        over="texts",
        absent="the battery holds no replies of hers to foretell, or this serving path tells no probabilities",
    ),
)
