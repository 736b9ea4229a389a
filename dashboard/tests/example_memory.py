"""What the stand-in memory service knows: a month in small, with good replies, a bad one and an attack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ATTACK = '<script>document.title="hacked"</script><img src=x onerror="document.title=\'hacked\'">'
Json = dict[str, Any]


def entry(number: int, category: str, key: str, value: str, is_mutable: bool) -> Json:
    stamp = "2026-01-05T10:00:00Z"
    return {
        "id": f"core-{number}",
        "category": category,
        "key": key,
        "value": value,
        "is_mutable": is_mutable,
        "created_at": stamp,
        "updated_at": stamp,
    }


def interaction(number: int, user: str, said: str, reply: str, score: float, dropped: bool = False) -> Json:
    drops = [{"rule": "assistant_tone", "why": "«¿en qué puedo ayudarte?» suena a asistente"}] if dropped else []
    signals = [
        {"name": "persona_style", "value": score, "weight": 0.4, "why": "un marcador: *suspiro*"},
        {"name": "completeness", "value": min(score + 0.1, 1.0), "weight": 0.2, "why": "frase entera"},
    ]
    return {
        "id": f"int-{number}",
        "interaction_id": f"int-{number}",
        "session_id": f"ses-{number // 3}",
        "user_id": user,
        "persona": "casiopy",
        "input_text": said,
        "output_text": reply,
        "input_emotion": "neutral",
        "output_emotion": "sarcastic",
        "model_version": "casiopy:week04",
        "occurred_at": f"2026-01-{20 - number % 15:02d}T20:{number % 60:02d}:00Z",
        "created_at": f"2026-01-{20 - number % 15:02d}T20:{number % 60:02d}:01Z",
        "quality_score": score,
        "quality_source": "scorer",
        "quality": {"score": score, "drops": drops, "signals": signals, "scorer_version": "1"},
        "opt_out_training": False,
        "embedding_status": "pending" if number % 7 == 3 else "done",
        "metadata": {},
    }


@dataclass
class Store:
    """What the stand-in knows; empty unless filled."""

    core_memory: list[Json] = field(default_factory=list)
    interactions: list[Json] = field(default_factory=list)
    feedback: list[Json] = field(default_factory=list)
    topics: list[Json] = field(default_factory=list)
    exports: list[Json] = field(default_factory=list)
    adapters: list[Json] = field(default_factory=list)
    deployments: list[Json] = field(default_factory=list)
    refreshed: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def full(cls, exports: list[Json] | None = None, adapters: list[Json] | None = None) -> Store:
        """A month in small: immutable and mutable facts, good and bad replies, one attack."""
        talk = [
            (
                "marta_91",
                "¿Qué te parece mi código en Rust?",
                "*suspiro* Compila, mortal. Hasta aquí los milagros.",
                0.91,
            ),
            ("elpixelado", "¡Hola Casiopy!", "Ay, otro lunes que me arruinas. *bosteza*", 0.78),
            ("marta_91", "¿Pizza con piña hoy?", "*pone los ojos en blanco* Antes me reinicio.", 0.83),
            ("nube", ATTACK, "Mira, criatura, esos trucos ya no se llevan.", 0.66),
            ("elpixelado", "¿Sabes cocinar?", "¿En qué puedo ayudarte hoy?", 0.12),
        ]
        rows = [interaction(n, *talk[n % 5][:3], score=talk[n % 5][3], dropped=talk[n % 5][3] < 0.2) for n in range(60)]
        facts = [
            entry(1, "identity", "name", "Casiopy", False),
            entry(2, "identity", "creator", "La creó Ana, a la que llama «la jefa».", False),
            entry(3, "like", "language_rust", "Rust es fascinante, sobre todo cuando otros sufren con él.", True),
            entry(4, "dislike", "pizza", "La piña en la pizza es un crimen sin resolver.", True),
        ]
        topic = {
            "id": "t1",
            "label": "Rust y compiladores",
            "keywords": ["rust", "código", "compila"],
            "interactions": 12,
            "examples": ["¿Qué te parece mi código en Rust?"],
        }
        adapters = adapters or []
        place = {"host": "http://127.0.0.1:11434", "live": True, "deployed_at": "2026-01-26T13:30:00Z"}
        deployed = [{"tag": "casiopy:week04", "adapter_id": made["adapter_id"], **place} for made in adapters[-1:]]
        return cls(facts, rows, [], [topic], exports or [], adapters, deployed)
