"""What the demo has done already, so that a second run starts warm and an interrupted one goes on where it was."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Progress:
    """Kept in `<CASIOPY_DATA>/demo.json`.

    Attributes:
        sessions: sample session → session id of the service, for every session that is posted completely.
        adapters: "personality" or "episodic" → adapter id, once trained.
        judged: adapter ids the gate has judged.
    """

    sessions: dict[str, str] = field(default_factory=dict)
    exports: dict[str, str] = field(default_factory=dict)
    adapters: dict[str, str] = field(default_factory=dict)
    judged: list[str] = field(default_factory=list)
    deployed: str | None = None

    @classmethod
    def load(cls, path: Path) -> "Progress":
        """What `path` remembers; an absent or unreadable file means a fresh start."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return cls()

    def save(self, path: Path) -> None:
        """Write it so that a crash leaves the old file or the new one, never half of one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".tmp")
        fresh.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        fresh.replace(path)
