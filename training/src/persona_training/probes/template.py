"""The generic part of a battery in one language: prompts anybody's character can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from persona_training.evaluation.words import plain
from persona_training.probes.clozes import Asker
from persona_training.probes.errors import ProbesError
from persona_training.yaml_text import read_yaml

LANGUAGES = ("es", "en")


@dataclass(frozen=True)
class Template:
    """What `templates/<language>.yaml` holds, with the character's name filled in.

    Attributes:
        viewer: a word for the person spoken to.
        cloze: asks for the gap in a sentence about the character; holds {sentence}.
        recall: the same for what happened lately.
        function_words: words that say nothing about a character.
        determiners: words after which a thing is named.
        attributes: what a card calls a trait, to how a viewer asks for it.
        probes: mappings as a battery holds them, without references.
        dialogues: mappings as a battery holds them.
    """

    language: str
    viewer: str
    cloze: str
    recall: str
    function_words: frozenset[str]
    determiners: frozenset[str]
    attributes: dict[str, str]
    probes: tuple[dict[str, Any], ...]
    dialogues: tuple[dict[str, Any], ...]

    def asker(self, form: str, names: frozenset[str], own: str = "") -> Asker:
        """Makes questions of sentences in this language; `own` is the character's name."""
        known = frozenset(plain(name) for name in [own, *own.split()] if name)
        return Asker(form, self.function_words, self.determiners, known, names)


def load_template(language: str, name: str = "") -> Template:
    """The template of a language.

    Raises:
        ProbesError: there is none for it.
    """
    if language not in LANGUAGES:
        raise ProbesError(
            f"There is no template for the language {language!r}. Give --language es or en for the one she is addressed in."
        )
    file = resources.files("persona_training.probes") / "templates" / f"{language}.yaml"
    raw = read_yaml(file.read_text(encoding="utf-8"))
    return Template(
        language=language,
        viewer=raw["viewer"],
        cloze=raw["cloze"],
        recall=raw["recall"],
        function_words=frozenset(raw["function_words"]),
        determiners=frozenset(raw["determiners"]),
        attributes={key: item["prompt"] for item in raw["attributes"] for key in item["keys"]},
        probes=tuple(_named(item, name) for item in raw["probes"]),
        dialogues=tuple(_named(item, name) for item in raw["dialogues"]),
    )


def _named(item: dict[str, Any], name: str) -> dict[str, Any]:
    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(one) for one in value]
        return value.replace("{name}", name) if isinstance(value, str) else value

    return {key: filled(value) for key, value in item.items()}
