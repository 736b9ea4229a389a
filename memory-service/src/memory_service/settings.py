"""Every setting of the service, declared once: name, default, meaning.

The names are a contract with operators; `casiopy env-example` prints them as `.env.example`.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from memory_service.encryption.cipher import parse_keys

# What a browser sends as Origin.
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    """Read from the environment, then from `.env` in the working folder; anything else keeps its default."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", env_ignore_empty=True)

    # --- Where it listens
    api_host: str = Field(
        "127.0.0.1",
        description="Address the service binds. Anything but loopback needs API_KEY or a key of "
        "`casiopy keys generate`.",
    )
    api_port: int = Field(8820, ge=1, le=65535, description="Port of the service.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Browser origins allowed to call the API, with their scheme, separated by commas. Empty: none."
    )
    api_key: SecretStr | None = Field(
        None,
        description="One fixed key for the default owner. Empty on loopback: no key is asked for. "
        "`casiopy keys generate` makes keys of other owners.",
    )
    api_key_rate_limit: int = Field(
        6000,
        ge=1,
        le=1_000_000,
        description="Requests a minute allowed to API_KEY. Generated keys have limits of their own.",
    )
    development: bool = Field(
        False, description="Development only: lets CORS_ORIGINS be `*`, so that any web page may call the service."
    )
    max_body_mb: int = Field(16, ge=1, le=1024, description="Largest request body taken, in MiB.")

    # --- Where it keeps things
    casiopy_data: Path = Field(
        Path(".casiopy"),
        description="Folder of the embedded database, logs and caches. Relative to the working folder.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL 16+ with pgvector, e.g. postgresql://user:password@host:5432/casiopy. "
        "Empty: an embedded server under CASIOPY_DATA.",
    )
    database_pool: int = Field(10, ge=1, le=200, description="Connections the service keeps open at most.")
    init_scripts_dir: Path = Field(
        Path("init-scripts"), description="Folder with 02_populate_core_memory.sql, loaded into an empty core memory."
    )

    # --- Who speaks
    default_owner: str = Field("local", max_length=255, description="Owner of everything stored without a key.")
    default_persona: str = Field("casiopy", max_length=64, description="Persona used when a request names none.")

    # --- Embeddings and background work
    embedding_model: str = Field(
        "packaged:all-minilm-l6-v2",
        description="packaged:all-minilm-l6-v2 (English, ships as a Python package, needs no network), a folder, or any "
        "sentence-transformers model name, e.g. intfloat/multilingual-e5-small.",
    )
    embedding_threads: int = Field(
        2,
        ge=1,
        le=64,
        description="CPU threads of the embedder. On two cores, two store a third more a second than one, and a recall takes "
        "as long.",
    )
    embedding_precision: Literal["auto", "f32"] = Field(
        "auto",
        description="auto: the embedder computes in 16 bits where the processor is faster at that (vectors at a cosine of "
        "0.99997 and more to those of 32 bits), else in 32. f32: always in 32. /health says which.",
    )
    rerank_model: str | None = Field(
        None,
        description="Cross-encoder that reads the best memories of a recall again: a folder or a sentence-transformers model "
        "name, e.g. cross-encoder/ms-marco-MiniLM-L2-v2 (English). Needs the extra `models`. Empty: off.",
    )
    rerank_candidates: int = Field(30, ge=2, le=30, description="How many it reads.")
    rerank_within_ms: int = Field(
        150,
        ge=1,
        le=10_000,
        description="How long a recall waits for it, in ms. What is not read by then keeps its place.",
    )
    worker_in_process: bool = Field(
        True, description="Run background work inside the service. False: start `casiopy worker` beside it."
    )

    # --- The model that chats and extracts. Nothing set: no chat, and memories are extracted by rules.
    llm_base_url: str | None = Field(
        None, description="Base URL of any OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1. Empty: Ollama."
    )
    llm_model: str | None = Field(
        None,
        description="Model that chats and extracts, e.g. casiopy:live on Ollama. Alone, it is asked of OLLAMA_HOST; with "
        "OPENAI_API_KEY, of OpenAI, whose default is gpt-4o-mini.",
    )
    llm_api_key: SecretStr | None = Field(None, description="Key of the server at LLM_BASE_URL, where it wants one.")
    llm_timeout_seconds: float = Field(120.0, gt=0, le=3600, description="How long one answer of the model may take.")
    llm_context_tokens: int = Field(
        4096, ge=512, le=1_000_000, description="Context window of the model, in tokens; prompts are kept below it."
    )
    llm_tokenizer: Path | None = Field(
        None,
        description="The model's tokenizer, for the token budget of POST /memory/context: a tokenizer.json, or a folder with "
        "one. Empty: tokens are estimated, generously.",
    )
    recall_rewrite: bool = Field(
        False,
        description="Let the model put each question better before memories are searched with it. It is sent the question "
        "alone.",
    )
    recall_rewrite_seconds: float = Field(
        1.5, gt=0, le=60, description="How long that may take; then the question is searched as it was asked."
    )
    ollama_host: str = Field("http://127.0.0.1:11434", description="Ollama server the character is deployed to.")
    openai_api_key: SecretStr | None = Field(
        None, description="Key of OpenAI's own service; used when LLM_BASE_URL is empty."
    )
    azure_openai_api_key: SecretStr | None = Field(None, description="Key of an Azure OpenAI resource.")
    azure_openai_endpoint: str | None = Field(None, description="Its address, https://NAME.openai.azure.com/.")
    azure_openai_deployment: str | None = Field(None, description="Its deployment, e.g. gpt-4o-mini.")
    azure_openai_model: str | None = Field(None, description="The deployment's model, where its name differs.")
    azure_openai_api_version: str = Field("2025-04-01-preview", description="Version of Azure's interface.")

    # --- Chat
    max_prompt_chars: int = Field(4000, ge=1, le=32_000, description="Longest chat message taken, in characters.")

    # --- Encryption
    encryption_key: SecretStr | None = Field(
        None,
        description="Fernet key(s) that texts are encrypted with at rest, the newest first, separated by commas.",
    )

    # --- Logs
    sql_echo: bool = Field(False, description="Log every SQL statement.")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR.")

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().rstrip("/").lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _guard_the_door(self) -> Self:
        if "*" in self.cors_origins and not self.development:
            raise ValueError(
                "CORS_ORIGINS: name each origin with its scheme; '*' would let any web page read the memory, and is taken "
                "with DEVELOPMENT=true only"
            )
        wrong = [origin for origin in self.cors_origins if origin != "*" and not _ORIGIN.fullmatch(origin)]
        if wrong:
            raise ValueError(
                f"CORS_ORIGINS: {wrong[0]!r} is no origin; write scheme, host and port alone, e.g. https://app.example"
            )
        key = None if self.api_key is None else self.api_key.get_secret_value()
        if key is not None and (not key or key != key.strip()):
            raise ValueError("API_KEY: a key has at least one character, and no space before or after it")
        if self.encryption_key is not None:
            parse_keys(self.encryption_key.get_secret_value())
        return self

    @model_validator(mode="after")
    def _name_the_whole_model(self) -> Self:
        """Half a model is no model: say which setting is missing instead of quietly having none."""
        if self.llm_base_url is not None and self.llm_model is None:
            raise ValueError(
                "LLM_BASE_URL is set and LLM_MODEL is not: name the model that its server shall answer with"
            )
        if self.llm_api_key is not None and self.llm_base_url is None:
            raise ValueError(
                "LLM_API_KEY is the key of the server at LLM_BASE_URL, which is not set: set both, or neither"
            )
        azure = {
            "AZURE_OPENAI_API_KEY": self.azure_openai_api_key,
            "AZURE_OPENAI_ENDPOINT": self.azure_openai_endpoint,
            "AZURE_OPENAI_DEPLOYMENT": self.azure_openai_deployment,
        }
        missing = [name for name, value in azure.items() if value is None]
        if (len(missing) < len(azure) or self.azure_openai_model is not None) and missing:
            raise ValueError(f"Azure OpenAI is set by halves: set {', '.join(missing)} too, or none of AZURE_OPENAI_*")
        return self

    @model_validator(mode="after")
    def _rewrite_with_a_model(self) -> Self:
        models = (self.llm_model, self.llm_base_url, self.openai_api_key, self.azure_openai_endpoint)
        if self.recall_rewrite and all(model is None for model in models):
            raise ValueError(
                "RECALL_REWRITE=true needs a language model, and none is configured: set LLM_MODEL (on the Ollama server at "
                "OLLAMA_HOST), LLM_BASE_URL and LLM_MODEL, or OPENAI_API_KEY, or leave RECALL_REWRITE empty"
            )
        return self

    @field_validator("llm_base_url", "azure_openai_endpoint")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and not (value.startswith(("http://", "https://")) and urlsplit(value).hostname):
            raise ValueError("must be an address with its scheme, e.g. http://127.0.0.1:8000/v1")
        return value

    @field_validator("ollama_host")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        """The client library reads the port only when it connects, and fails on one that is no number."""
        parts = urlsplit(value if "://" in value else f"http://{value}")
        if parts.scheme not in {"http", "https"} or parts.port == 0:
            raise ValueError("must be host, host:port or http://host:port")
        return value

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach the service."""
        return self.api_host in LOOPBACK_HOSTS

    @property
    def keyless(self) -> bool:
        """Whether a request without any key acts for the default owner."""
        return self.api_key is None and self.is_loopback

    @property
    def logs_dir(self) -> Path:
        """Folder of the log files."""
        return self.casiopy_data / "logs"
