"""The role of the service and row-level security."""

from memory_service.migrations.script import run_script

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Run the statements of the file beside this one."""
    run_script(__file__)
