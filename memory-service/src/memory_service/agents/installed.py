"""The agents that are installed beside the service."""

import logging
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points

from memory_service.agents.agent import PERSONA, Agent

log = logging.getLogger(__name__)

GROUP = "casiopy.agents"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_PARTS = ("name", "description", "tools", "tables", "claims", "answer")


class AgentError(Exception):
    """A plug-in cannot be used; the message names it and says why."""


def installed_agents(found: Iterable[EntryPoint] | None = None) -> tuple[Agent, ...]:
    """One agent per entry point of the group `casiopy.agents`, by name; an entry point names a class or a function.

    Raises:
        AgentError: one of them cannot be loaded, or is no agent.
    """
    points = entry_points(group=GROUP) if found is None else found
    agents = checked([_load(point) for point in sorted(points, key=lambda point: point.name)])
    for agent in agents:
        log.info("Agent: %s (%s)", agent.name, agent.description)
    return agents


def checked(agents: Sequence[Agent]) -> tuple[Agent, ...]:
    """The agents, once it is clear that their names can be told apart.

    Raises:
        AgentError: two have the same name, or one has none that can be used.
    """
    seen: set[str] = set()
    for agent in agents:
        missing = [part for part in _PARTS if not hasattr(agent, part)]
        if missing:
            raise AgentError(f"{type(agent).__name__} is no agent: it lacks {', '.join(missing)} (docs/agents.md)")
        if _NAME.fullmatch(agent.name) is None or agent.name == PERSONA:
            raise AgentError(f"{agent.name!r} cannot name an agent: lower-case letters, digits, - and _, not {PERSONA}")
        if agent.name in seen:
            raise AgentError(f"Two agents are called {agent.name!r}. Uninstall one of the packages that bring them.")
        seen.add(agent.name)
    return tuple(agents)


def _load(point: EntryPoint) -> Agent:
    try:
        agent: Agent = point.load()()
    except (ImportError, AttributeError, TypeError) as error:
        raise AgentError(
            f"The agent {point.name!r} ({point.value}) cannot be loaded: {error}. Repair or uninstall its package."
        ) from error
    return agent
