"""`casiopy`: shows the commands of whichever packages are installed here, plus `up` and `demo`.

It imports none of the packages by name; each announces its commands under the entry point group `casiopy.commands`.
"""

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click

GROUP = "casiopy.commands"


class Interrupted(click.ClickException):
    """Ctrl-C before any command began. Not 1, which from `casiopy gate` would be a verdict."""

    exit_code = 3


class Front(click.Group):
    """A group that finds its commands by entry point, so that one broken package does not hide the others."""

    def __init__(self) -> None:
        super().__init__(name="casiopy", help="The memory and the schooling of an AI character.")
        self._found: dict[str, click.Command] | None = None
        self._broken: list[str] = []

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command of every installed package."""
        return sorted({*super().list_commands(ctx), *self._commands()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by name; the front's own come first."""
        try:
            return super().get_command(ctx, cmd_name) or self._commands().get(cmd_name)
        except KeyboardInterrupt as error:
            raise Interrupted("Stopped.") from error

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name the packages whose commands cannot be shown, and why."""
        self._commands()
        for line in self._broken:
            formatter.write_paragraph()
            formatter.write_text(line)

    def _commands(self) -> dict[str, click.Command]:
        if self._found is None:
            self._found = {}
            for point in entry_points(group=GROUP):
                for command in self._load(point):
                    self._found[command.name or point.name] = command
        return self._found

    def _load(self, point: EntryPoint) -> list[click.Command]:
        try:
            loaded: list[click.Command] = point.load()
        except ImportError as error:
            self._broken.append(f"The commands of {point.name!r} are missing: {error}. Reinstall that package.")
            return []
        return loaded


main = Front()


@main.command()
def up() -> None:
    """Start the memory service and the dashboard, and keep them running until Ctrl-C."""
    from casiopy.stack import Stack, StackError, wait_for_interrupt

    try:
        with Stack(Path.cwd()) as stack:
            stack.start()
            stack.announce()
            wait_for_interrupt(stack)
    except StackError as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.option("--exit", "leave", is_flag=True, help="Stop everything after the story instead of staying up.")
def demo(leave: bool) -> None:
    """Run the whole loop on a sample month: remember, recall, export, train, judge, deploy."""
    from casiopy.demo.story import DemoError, tell
    from casiopy.stack import Stack, StackError, wait_for_interrupt

    try:
        with Stack(Path.cwd()) as stack:
            stack.start()
            tell(stack)
            if not leave:
                stack.announce()
                wait_for_interrupt(stack)
    except (StackError, DemoError) as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
