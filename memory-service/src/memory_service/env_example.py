"""`.env.example`, written from the settings themselves so that it cannot fall behind them."""

import re
import textwrap
from pathlib import Path

from memory_service.settings import Settings

_HEADER = """\
# Casiopy's settings. Copy to .env and change what you need; an empty value keeps the default.
# Written by `casiopy env-example`.
"""
# Read by the dashboard, the training commands and Docker Compose; their own packages declare them.
_NEIGHBOURS = """
# --- Dashboard and training
# Address and port of the dashboard.
DASHBOARD_HOST=127.0.0.1
DASHBOARD_PORT=5000
# Where the dashboard and the training commands find the service.
MEMORY_SERVICE_URL=http://127.0.0.1:8820
# Folders of datasets and adapters.
EXPORTS_DIR=./exports
LORA_ADAPTERS_DIR=./lora_adapters

# --- Backups and Docker Compose
# Public key (age1…) that backups are sealed for. Empty: backups are not encrypted.
BACKUP_RECIPIENT=
# Password of the PostgreSQL container. Compose does not start without it.
POSTGRES_PASSWORD=
"""


def _default(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path):
        return f"./{value.as_posix()}"
    return str(value)


def render_env_example() -> str:
    """Every field of `Settings` in order, under its section, with its description as a comment."""
    source = Path(__file__).with_name("settings.py").read_text(encoding="utf-8")
    sections = dict(re.findall(r"# --- (.+)\n    (\w+):", source))
    titles = {field: title for title, field in sections.items()}
    lines = [_HEADER]
    for name, field in Settings.model_fields.items():
        if name in titles:
            lines.append(f"\n# --- {titles[name]}\n")
        lines += [f"# {line}\n" for line in textwrap.wrap(field.description or "", 100)]
        lines.append(f"{name.upper()}={_default(field.default)}\n")
    return "".join(lines) + _NEIGHBOURS
