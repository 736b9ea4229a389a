"""Storing a text costs half: a short one's end is all of it, and a term's owner is its document's."""

from memory_service.migrations.script import run_script

revision = "0011"
down_revision: str | None = "0010"


def upgrade() -> None:
    """Run the statements of the file beside this one."""
    run_script(__file__)
