"""Token buckets that all service processes share."""

from memory_service.migrations.script import run_script

revision = "0007"
down_revision: str | None = "0006"


def upgrade() -> None:
    """Run the statements of the file beside this one."""
    run_script(__file__)
