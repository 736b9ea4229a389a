"""How much each signal says, and where that was seen.

The order of the weights comes from what the signals can tell apart on hand-labelled Spanish and English chat: whether
somebody in particular speaks (style, voice) separates kept from dull and out-of-character replies; form (ending, length,
variety) is nearly always fine in both and must not lift a dull reply over the line. A person's word outweighs any of
them. Weights are relative: signals left out for want of material give their share to the others.
"""

from __future__ import annotations

import hashlib
import json

from memory_service.scoring.lexicon import LEXICON_SHA256

WEIGHTS: dict[str, float] = {
    "persona_style": 0.34,
    "voice": 0.22,
    "substance": 0.12,
    "plain_tone": 0.10,
    "length": 0.06,
    "novelty": 0.06,
    "completeness": 0.06,
    "variety": 0.04,
    "language_fit": 0.04,
    "emotion_fit": 0.03,
    "human_signal": 0.60,
}

# Raised by hand when a rule or signal changes its meaning; lists and weights change the digest by themselves.
_RULES_EDITION = "1"
_DIGEST = hashlib.sha256((LEXICON_SHA256 + json.dumps(WEIGHTS, sort_keys=True)).encode()).hexdigest()[:8]

SCORER_VERSION = f"rules-{_RULES_EDITION}-{_DIGEST}"
