"""${message}."""

from memory_service.migrations.script import run_script

revision = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}


def upgrade() -> None:
    """Run the statements of the file beside this one."""
    run_script(__file__)
