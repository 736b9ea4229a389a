"""What recall searches: documents, their words, and one vector index for everybody."""

from memory_service.migrations.script import run_script

revision = "0009"
down_revision: str | None = "0008"


def upgrade() -> None:
    """Run the statements of the file beside this one."""
    run_script(__file__)
