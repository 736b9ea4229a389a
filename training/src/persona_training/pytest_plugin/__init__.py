"""A pytest plug-in with which a persona's own repository says who she is: `def test_she_never_apologises(persona): …`.

Loaded by every pytest where this package is installed, so importing it costs nothing: numpy, torch and transformers are
imported when the first test asks for a reply. Without --persona-model every test that takes `persona` is skipped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from persona_training.pytest_plugin.shown import explain
from persona_training.pytest_plugin.surely import Surely

if TYPE_CHECKING:
    from persona_training.generation import Replier
    from persona_training.pytest_plugin.character import Persona
    from persona_training.pytest_plugin.speaker import Speaker

BACKENDS = ("transformers", "ollama", "openai")
DEFAULT_SAMPLES, DEFAULT_SEED = 2, 7
_FACTS: pytest.StashKey[list[str]] = pytest.StashKey()
_TOLD = "persona_facts"  # under this name a worker of pytest-xdist hands them over


def pytest_addoption(parser: pytest.Parser) -> None:
    """The --persona-… options, and the two of them that a repository may set for good in its pytest configuration."""
    group = parser.getgroup("persona", "the character under test")
    group.addoption("--persona-model", help="Adapter id or folder, or an Ollama tag such as casiopy:latest.")
    group.addoption("--persona-backend", choices=BACKENDS, help="Default: chosen by what the model is.")
    group.addoption("--persona-battery", help="Name of a shipped battery, or a .yaml file. Default: casiopy.")
    group.addoption("--persona-system-prompt", metavar="FILE", help="Default: core memory, else the dataset's own.")
    group.addoption(
        "--persona-samples", type=_at_least_1, default=DEFAULT_SAMPLES, help="Replies per prompt. Default: %(default)s."
    )
    group.addoption("--persona-seed", type=int, default=DEFAULT_SEED, help="Of the sampling. Default: %(default)s.")
    parser.addini("persona_model", "What --persona-model is when it is not given.", default="")
    parser.addini("persona_battery", "What --persona-battery is when it is not given.", default="")


def _at_least_1(value: str) -> int:
    number = int(value) if value.isdecimal() and len(value) < 10 else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is no number of replies. Give a whole number from 1 on.")
    return number


@pytest.fixture(scope="session")
def persona_replier(request: pytest.FixtureRequest) -> Replier | Speaker:
    """The voice under test. A repository with a serving path of its own overrides this in its conftest.py with anything
    that has a `name` and a method `reply(conversations, sampling, seed)`."""
    config = request.config
    model = config.getoption("persona_model") or str(config.getini("persona_model"))
    if not model:
        pytest.skip("no model is named: give --persona-model with an adapter id, its folder or an Ollama tag")
    import click

    from persona_training.pytest_plugin.speaker import find_speaker

    try:
        speaker = find_speaker(
            model,
            backend=config.getoption("persona_backend"),
            system_prompt=config.getoption("persona_system_prompt"),
            seed=config.getoption("persona_seed"),
        )
    except click.ClickException as error:
        raise pytest.fail.Exception(error.format_message(), pytrace=False) from None
    config.stash.setdefault(_FACTS, []).extend(speaker.facts)
    return speaker


@pytest.fixture(scope="session")
def persona(request: pytest.FixtureRequest, persona_replier: Replier | Speaker) -> Persona:
    """The character: `ask`, `replies`, `rate`, `measure`, `talk`. Replies are drawn once and kept for the whole run."""
    import click

    from persona_training.evaluation.battery import SHIPPED, load_battery
    from persona_training.pytest_plugin.character import Persona
    from persona_training.pytest_plugin.speaker import Speaker

    config = request.config
    try:
        battery = load_battery(config.getoption("persona_battery") or str(config.getini("persona_battery")) or SHIPPED)
    except click.ClickException as error:
        raise pytest.fail.Exception(error.format_message(), pytrace=False) from None
    speaker = persona_replier if isinstance(persona_replier, Speaker) else Speaker(persona_replier)
    return Persona(speaker, battery, samples=config.getoption("persona_samples"), seed=config.getoption("persona_seed"))


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """What a failed comparison with a rate or a measure says: the replies that broke it, and how sure it is."""
    if isinstance(left, Surely) and isinstance(right, int | float):
        return list(explain(left, op, float(right)))
    if isinstance(right, Surely) and isinstance(left, int | float) and op in _TURNED:
        return list(explain(right, _TURNED[op], float(left)))
    return None


_TURNED = {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands what it has to tell to the process that writes the summary."""
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told[_TOLD] = session.config.stash.get(_FACTS, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a worker had to tell. Every worker finds the same voice, so it is said once."""
    known = node.config.stash.setdefault(_FACTS, [])
    told = getattr(node, "workeroutput", {}).get(_TOLD, [])  # one that crashed tells nothing
    known += [fact for fact in told if fact not in known]


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[None]:
    """Who was heard, and why that one."""
    facts = config.stash.get(_FACTS, [])
    if facts:
        terminalreporter.section("persona")
        for fact in facts:
            terminalreporter.write_line(fact)
    return (yield)
