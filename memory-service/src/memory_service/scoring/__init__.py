"""Scoring: what is worth learning from. Pure: no web framework, no database, no model weights.

`score(exchange, context)` gives a `QualityScore` in [0, 1] with the hard rules broken and every signal's share.
"""

from memory_service.scoring.exchange import Drop, Exchange, PersonaStyle, QualityScore, ScoringContext, Signal
from memory_service.scoring.scorer import explain, from_ratings, score
from memory_service.scoring.weights import SCORER_VERSION

__all__ = [
    "SCORER_VERSION",
    "Drop",
    "Exchange",
    "PersonaStyle",
    "QualityScore",
    "ScoringContext",
    "Signal",
    "explain",
    "from_ratings",
    "score",
]
