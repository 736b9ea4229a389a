"""Every table, with its owner."""

from memory_service.migrations.script import run_script

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Run the statements of the file beside this one."""
    run_script(__file__)
