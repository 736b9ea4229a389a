"""Checks of options that several commands share, made before anything is loaded or asked."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import click

from persona_training.errors import StorageError


class Share(click.FloatRange):
    """A number in a range. "nan" is a float too, and compares as neither below nor above any bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number.

        Raises:
            click.BadParameter: it is none, or not in the range.
        """
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def ollama_address(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A callback for --host: the value, when it or what stands in for it is an address.

    Raises:
        click.BadParameter: the option, or OLLAMA_HOST where it is not given, is no address of a server.
    """
    import httpx

    from persona_training.ollama.server import host_url

    try:
        url = httpx.URL(host_url(value))
    except httpx.InvalidURL as error:
        raise click.BadParameter(_no_address(value, str(error))) from error
    if url.scheme not in ("http", "https"):
        raise click.BadParameter(_no_address(value, f"Ollama does not speak {url.scheme}"))
    return value


def _no_address(value: str | None, why: str) -> str:
    named = "The OLLAMA_HOST in the environment or .env" if value is None else repr(value)
    return f"{named} is no address ({why}). Give host, host:port or http://host:port."


def utf8_file(_: click.Context, __: click.Parameter, value: str | Path | None) -> str | Path | None:
    """A callback for an option that may name a text file: the value, when the file it names, if any, is UTF-8.

    Raises:
        click.BadParameter: the file cannot be read, or is in another encoding.
    """
    path = Path(value) if value is not None else None
    try:
        if path is not None and path.is_file():
            path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{path} is not UTF-8 ({error}). Save it as UTF-8.") from error
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}.") from error
    return value


def check_writable(folder: Path) -> None:
    """Make the folder if need be and write a file into it, so that hours of work are not lost for want of a place.

    Raises:
        StorageError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        raise StorageError(f"Cannot write into {folder}: {error.strerror}. Choose another --output-dir.") from error


def said(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A callback for a reason that is kept: the value without blanks around it.

    Raises:
        click.BadParameter: it is blank.
    """
    if value is not None and not value.strip():
        raise click.BadParameter("give a reason in words; it is kept.")
    return None if value is None else value.strip()
