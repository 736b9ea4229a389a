"""Runs the `.sql` file beside a revision, one statement at a time (asyncpg prepares each, so they cannot go together)."""

import re
from pathlib import Path

from alembic import op

# A statement ends where a semicolon is followed by an empty line, unless a `$$` body is still open there.
_END = re.compile(r";[ \t]*\n[ \t]*\n")


def statements(sql: str) -> list[str]:
    """Cut `sql` into statements, each with the comment above it."""
    found: list[str] = []
    start = 0
    text = sql.rstrip() + "\n\n"
    for end in _END.finditer(text):
        statement = text[start : end.start()]
        if statement.count("$$") % 2 == 0:
            found.append(statement.strip())
            start = end.end()
    return found


def run_script(revision_file: str) -> None:
    """Execute (or, offline, print) the statements of the `.sql` file with the revision's name."""
    sql = Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8")
    for statement in statements(sql):
        op.execute(statement.replace(":", "\\:"))
