"""Which options of `casiopy deploy` go together: one that would be ignored, and a target that is missing, are refused."""

from __future__ import annotations

import click
from click.core import ParameterSource

_ROLLBACK, _WATCH, _DEPLOYMENT = "--rollback", "--watch", "a deployment"
_EVERYWHERE = {"host", "dry_run"}
_TAKEN = {
    _ROLLBACK: {*_EVERYWHERE, "rollback", "name", "reason", "by"},
    _WATCH: {*_EVERYWHERE, "watch", "name", "every", "once"},
    _DEPLOYMENT: {
        *_EVERYWHERE,
        *("week", "year", "adapter", "skills", "tag", "quantize", "form", "system_prompt", "force", "reason"),
    },
}


def check_together(ctx: click.Context) -> None:
    """Refuse what was given on the command line and has no effect there.

    Raises:
        click.UsageError: two of the things the command does, an option of another one of them, or not exactly one target.
    """
    given = {str(param.name): param for param in ctx.command.params if _is_given(ctx, param)}
    if "rollback" in given and "watch" in given:
        raise click.UsageError("--rollback and --watch are two things; give one of them.")
    doing = _ROLLBACK if "rollback" in given else _WATCH if "watch" in given else _DEPLOYMENT
    for name, param in given.items():
        if name not in _TAKEN[doing]:
            others = " or ".join(other for other, taken in _TAKEN.items() if name in taken)
            raise click.UsageError(f"{param.opts[0]} goes with {others}, not with {doing}.")
    if "every" in given and "once" in given:
        raise click.UsageError("--once looks once, so --every has no effect beside it; give one of them.")
    if doing == _DEPLOYMENT:
        _check_target(given)


def _check_target(given: dict[str, click.Parameter]) -> None:
    if ("week" in given) == ("adapter" in given):
        raise click.UsageError(
            "Name what to deploy: either --week N (layer 2 of that week) or --adapter ID (any layer)."
        )
    if "year" in given and "week" not in given:
        raise click.UsageError("--year is the year of a --week; an --adapter has its own.")
    if "reason" in given and "force" not in given:
        raise click.UsageError("--reason goes with --force (or with --rollback), and is kept then.")


def _is_given(ctx: click.Context, param: click.Parameter) -> bool:
    return ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE


def ollama_tag(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A callback for --tag: the value, when Ollama takes it and deploying does not move it.

    Raises:
        click.BadParameter: it is no such tag.
    """
    from persona_training.ollama.planning import DeployError, check_tag
    from persona_training.ollama.promotion import Names

    if value is None:
        return None
    try:
        check_tag(Names(value))
    except DeployError as error:
        raise click.BadParameter(error.message) from error
    return value
