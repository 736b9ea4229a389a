"""The guard of immutable core memory."""

from memory_service.migrations.script import run_script

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Run the statements of the file beside this one."""
    run_script(__file__)
