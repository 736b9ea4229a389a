"""The job queue of pgqueuer."""

from memory_service.migrations.script import run_script

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    """Run the statements of the file beside this one."""
    run_script(__file__)
