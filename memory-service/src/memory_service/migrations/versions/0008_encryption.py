"""Room for encrypted texts and their blind index."""

from memory_service.migrations.script import run_script

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    """Run the statements of the file beside this one."""
    run_script(__file__)
