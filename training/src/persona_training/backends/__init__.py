"""Backends run the steps. Recipes and runs name no vendor; `BACKENDS` lists what exists."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from persona_training.errors import RecipeError

if TYPE_CHECKING:
    from persona_training.backends.backend import Backend

# Name in recipes → module and class; imported when chosen, because each brings its own heavy libraries.
BACKENDS = {
    "hf": ("persona_training.backends.hf", "TransformersBackend"),
    "unsloth": ("persona_training.backends.unsloth", "UnslothBackend"),
}


def choose_backend(name: str) -> Backend:
    """The backend of that name. Call it before anything imports transformers: see `UnslothBackend`.

    Raises:
        RecipeError: there is none, or its library is missing.
    """
    if name not in BACKENDS:
        raise RecipeError(f"There is no backend {name!r} in this version; there is: {', '.join(BACKENDS)}.")
    module, attribute = BACKENDS[name]
    backend: Backend = getattr(importlib.import_module(module), attribute)()
    return backend
