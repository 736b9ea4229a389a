"""Typed memories: limits, text index, one current memory per subject and key."""

from memory_service.migrations.script import run_script

revision = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    """Run the statements of the file beside this one."""
    run_script(__file__)
