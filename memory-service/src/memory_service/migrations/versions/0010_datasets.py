"""Datasets of any size and of preferences: their rows out of the manifest, what was recalled for them, and swiped replies."""

from memory_service.migrations.script import run_script

revision = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    """Run the statements of the file beside this one."""
    run_script(__file__)
