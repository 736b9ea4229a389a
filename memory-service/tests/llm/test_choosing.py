"""Which model the settings mean; half a model is refused with the name of what is missing."""

import logging
from typing import Any

import pytest
from memory_service.llm.choosing import configured_model
from memory_service.settings import Settings
from pydantic import ValidationError

AZURE = {
    "azure_openai_api_key": "k",
    "azure_openai_endpoint": "https://name.openai.azure.com/",
    "azure_openai_deployment": "gpt-4o-mini",
}
COMPATIBLE = {"llm_base_url": "http://127.0.0.1:8000/v1", "llm_model": "local"}


@pytest.mark.parametrize(
    ("given", "name", "where", "why"),
    [
        ({"llm_model": "casiopy:live"}, "casiopy:live", "Ollama at http://127.0.0.1:11434", "LLM_MODEL is set alone"),
        (COMPATIBLE, "local", "http://127.0.0.1:8000/v1", "LLM_BASE_URL is set"),
        ({**COMPATIBLE, **AZURE, "openai_api_key": "k"}, "local", "http://127.0.0.1:8000/v1", "LLM_BASE_URL is set"),
        (
            {**AZURE, "openai_api_key": "k"},
            "gpt-4o-mini",
            "Azure OpenAI at https://name.",
            "OPENAI_API_KEY are not used",
        ),
        (
            {**AZURE, "azure_openai_model": "gpt-5"},
            "gpt-5",
            "Azure OpenAI at https://name.",
            "AZURE_OPENAI_ENDPOINT is",
        ),
        ({"openai_api_key": "sk"}, "gpt-4o-mini", "OpenAI", "LLM_MODEL is not set"),
        ({"openai_api_key": "sk", "llm_model": "gpt-5"}, "gpt-5", "OpenAI", "LLM_MODEL names it"),
    ],
)
async def test_the_first_that_is_set_wins(
    given: dict[str, Any], name: str, where: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        model = configured_model(Settings(_env_file=None, **given))
    assert model is not None
    assert model.name == name
    assert where in model.where
    assert name in caplog.text
    assert why in caplog.text
    assert "sk" not in caplog.text.split()
    await model.close()


def test_nothing_set_is_no_model(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert configured_model(Settings(_env_file=None)) is None
    assert "none configured: set LLM_MODEL" in caplog.text


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"llm_base_url": "http://127.0.0.1:8000/v1"}, "LLM_MODEL"),
        ({"llm_api_key": "k"}, "LLM_BASE_URL"),
        ({"llm_api_key": "k", "llm_model": "m"}, "LLM_BASE_URL"),
        *[({**AZURE, name: None}, name.upper()) for name in AZURE],
        ({"azure_openai_model": "gpt-5"}, "AZURE_OPENAI_API_KEY"),
        ({"llm_base_url": "127.0.0.1:8000/v1", "llm_model": "m"}, "http://127.0.0.1:8000/v1"),
        ({**AZURE, "azure_openai_endpoint": "name.openai.azure.com"}, "with its scheme"),
        ({"ollama_host": "http://localhost:port"}, "ollama_host"),
        ({"ollama_host": "ftp://localhost"}, "ollama_host"),
    ],
)
def test_half_a_model_is_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Settings(_env_file=None, **given)
