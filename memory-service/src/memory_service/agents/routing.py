"""Who answers a message: an agent that claims it, the one a model picks where rules are undecided, or the persona."""

import json
from collections.abc import Sequence

from memory_service.agents.agent import PERSONA, Agent
from memory_service.llm.model import LanguageModel, Message, ModelAnswerUnusable
from memory_service.sessions.history import Exchange

# From here on an agent's own rules decide; below POSSIBLE the message is none of its business.
SURE, POSSIBLE = 0.8, 0.3
# Without a model to ask, the better half of what is undecided goes to the agent.
LIKELY = 0.5
# Exchanges that a model is shown to pick by, and characters of each side.
_SHOWN, _SHOWN_CHARS = 3, 300
_ANSWER_TOKENS = 64

_QUESTION = """\
You route the messages of a chat. Pick who answers the last message of the user:
{choices}
- {persona}: anything else, such as small talk and questions about the conversation

Answer with JSON only: {{"agent": "<name>"}}."""


async def choose(
    agents: Sequence[Agent], message: str, history: Sequence[Exchange], model: LanguageModel | None
) -> Agent | None:
    """The agent to answer, or None: the persona.

    Rules come first: the surest claim from SURE on. Where the best claim is only possible, or two are equally sure, the
    model picks among those, by their descriptions.

    Raises:
        ModelUnavailable, ModelAnswerUnusable: the model had to be asked, and did not pick.
    """
    claims = {agent.name: agent.claims(message, history) for agent in agents}
    possible = sorted((agent for agent in agents if claims[agent.name] >= POSSIBLE), key=lambda one: -claims[one.name])
    if not possible:
        return None
    best = possible[0]
    tied = len(possible) > 1 and claims[possible[1].name] == claims[best.name]
    if claims[best.name] >= SURE and not tied:
        return best
    if model is None:
        return best if claims[best.name] >= LIKELY else None
    return await _picked(possible, message, history, model)


async def _picked(
    agents: Sequence[Agent], message: str, history: Sequence[Exchange], model: LanguageModel
) -> Agent | None:
    names = [*(agent.name for agent in agents), PERSONA]
    schema = {
        "type": "object",
        "properties": {"agent": {"type": "string", "enum": names}},
        "required": ["agent"],
        "additionalProperties": False,
    }
    reply = await model.reply(_prompt(agents, message, history), schema=schema, max_tokens=_ANSWER_TOKENS)
    try:
        picked = json.loads(reply.text)["agent"]
    except (ValueError, TypeError, KeyError):
        picked = None
    if picked not in names:
        raise ModelAnswerUnusable("The model was asked who should answer and named nobody. Try again.")
    return next((agent for agent in agents if agent.name == picked), None)


def _prompt(agents: Sequence[Agent], message: str, history: Sequence[Exchange]) -> list[Message]:
    choices = "\n".join(f"- {_described(agent)}" for agent in agents)
    messages = [Message("system", _QUESTION.format(choices=choices, persona=PERSONA))]
    for exchange in history[-_SHOWN:]:
        messages.append(Message("user", exchange.said[:_SHOWN_CHARS]))
        if exchange.answered:
            messages.append(Message("assistant", exchange.answered[:_SHOWN_CHARS]))
    return [*messages, Message("user", message)]


def _described(agent: Agent) -> str:
    tools = "; ".join(f"{tool.name}: {tool.description}" for tool in agent.tools)
    return f"{agent.name}: {agent.description}" + (f" ({tools})" if tools else "")
