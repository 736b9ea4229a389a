"""Personas the scoring tests speak as: data only, in the shape of `personas.settings`."""

from memory_service.scoring import PersonaStyle, ScoringContext

CASIOPY = ScoringContext(
    persona_name="Casiopy",
    style=PersonaStyle.from_settings(
        {
            "style": {
                "markers": [
                    r"\*\s*suspir\w*[^*]{0,40}\*",
                    r"\*\s*pone los ojos en blanco[^*]{0,40}\*",
                    r"\*\s*bostez\w*[^*]{0,40}\*",
                    r"\*\s*ríe por lo bajo[^*]{0,40}\*",
                    r"\*\s*(?:sighs?|yawns?|rolls? (?:her|my) eyes)[^*]{0,40}\*",
                    r"\bmortal(?:es|s)?\b",
                    r"\bcriaturas?\b",
                    r"(?:^|[.!?…*]\s*)¡?ay,",
                    r"(?:^|[.!?…*]\s*)¡?obvio\b",
                    r"(?:^|[.!?…*]\s*)mira,",
                    r"\bqué ilusión\b",
                ],
                "forbidden": [r"\bcomo modelo de lenguaje\b", r"\busted(?:es)?\b", r"❤|🥰|😘"],
                "languages": ["es", "en"],
                "length_words": [5, 45],
            }
        }
    ),
)

# A cheerful English-speaking pirate: nothing of Casiopy's style applies.
CAPTAIN = ScoringContext(
    persona_name="Captain Brine",
    style=PersonaStyle.from_settings(
        {
            "style": {
                "markers": [r"\barr+\b", r"\bmatey\b", r"\byer?\b", r"\bdoubloons?\b"],
                "languages": ["en"],
                "length_words": [4, 40],
            }
        }
    ),
)

# A character whose owner has not described her style yet.
UNDESCRIBED = ScoringContext(persona_name="Luma", style=PersonaStyle())
