"""Which language model the settings mean, and why."""

import logging
from typing import TYPE_CHECKING, TypeAlias

from memory_service.llm.answers import Limits
from memory_service.settings import Settings

if TYPE_CHECKING:
    # Either client's library takes a good part of the service's start: only the one that is used is imported.
    from memory_service.llm.ollama_model import OllamaModel
    from memory_service.llm.openai_model import OpenAIModel

log = logging.getLogger(__name__)

# Clients of other memory services set nothing but OPENAI_API_KEY: it must be enough here, too.
OPENAI_DEFAULT = "gpt-4o-mini"

NONE_CONFIGURED = (
    "none configured: set LLM_MODEL (on the Ollama server at OLLAMA_HOST), LLM_BASE_URL and LLM_MODEL, or OPENAI_API_KEY. "
    "Without one there is no chat, and memories are extracted by rules"
)

ConfiguredModel: TypeAlias = "OllamaModel | OpenAIModel"


def configured_model(settings: Settings) -> "ConfiguredModel | None":
    """The model to chat and extract with, or None; says in the log which one it is and why.

    The first that is set wins: LLM_BASE_URL, AZURE_OPENAI_*, OPENAI_API_KEY, LLM_MODEL. The settings see to it that none of
    them is set by halves.
    """
    chosen = _choose(settings)
    if chosen is None:
        log.info("Model: %s", NONE_CONFIGURED)
        return None
    model, reason = chosen
    log.info("Model: %s of %s (%s)", model.name, model.where, reason)
    return model


def _choose(settings: Settings) -> "tuple[ConfiguredModel, str] | None":
    limits = Limits(timeout_seconds=settings.llm_timeout_seconds, context_tokens=settings.llm_context_tokens)
    if settings.llm_base_url is not None and settings.llm_model is not None:
        from memory_service.llm.openai_model import compatible_model

        key = settings.llm_api_key.get_secret_value() if settings.llm_api_key else None
        model: ConfiguredModel = compatible_model(settings.llm_base_url, settings.llm_model, limits, api_key=key)
        return model, "LLM_BASE_URL is set"
    if (azure := _azure(settings, limits)) is not None:
        unused = "; LLM_MODEL and OPENAI_API_KEY are not used" if settings.llm_model or settings.openai_api_key else ""
        return azure, f"AZURE_OPENAI_ENDPOINT is set{unused}"
    if settings.openai_api_key is not None:
        from memory_service.llm.openai_model import openai_model

        name = settings.llm_model or OPENAI_DEFAULT
        model = openai_model(name, limits, api_key=settings.openai_api_key.get_secret_value())
        return model, f"OPENAI_API_KEY is set; {'LLM_MODEL names it' if settings.llm_model else 'LLM_MODEL is not set'}"
    if settings.llm_model is not None:
        from memory_service.llm.ollama_model import OllamaModel, ollama_url

        model = OllamaModel(settings.ollama_host, settings.llm_model, limits)
        return model, f"LLM_MODEL is set alone, so it is asked of OLLAMA_HOST={ollama_url(settings.ollama_host)}"
    return None


def _azure(settings: Settings, limits: Limits) -> "OpenAIModel | None":
    key, endpoint, deployment = (
        settings.azure_openai_api_key,
        settings.azure_openai_endpoint,
        settings.azure_openai_deployment,
    )
    if key is None or endpoint is None or deployment is None:
        return None
    from memory_service.llm.openai_model import azure_model

    return azure_model(
        endpoint,
        deployment,
        limits,
        api_key=key.get_secret_value(),
        api_version=settings.azure_openai_api_version,
        model=settings.azure_openai_model,
    )
