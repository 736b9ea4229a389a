"""The client's own session ids, and running summaries."""

from memory_service.migrations.script import run_script

revision = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    """Run the statements of the file beside this one."""
    run_script(__file__)
