"""A message and a conversation, as the ChatML rows hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    """One turn of a conversation."""

    role: Role
    content: str


Conversation = Sequence[Message]


def as_dicts(conversation: Conversation) -> list[dict[str, str]]:
    """Plain dictionaries, the type that chat templates of tokenizers take."""
    return [{"role": message["role"], "content": message["content"]} for message in conversation]


def without_system(conversation: Conversation) -> list[Message]:
    """The same conversation without its system message, for bases whose context is too small to carry one."""
    return [message for message in conversation if message["role"] != "system"]


def taught(conversation: Conversation, system_prompt: str) -> list[Message]:
    """The conversation as a recipe with this `system_prompt`, "keep" or "omit", reads it."""
    return list(conversation) if system_prompt == "keep" else without_system(conversation)
