"""Telling the memory service about a finished adapter, so that lineage and the dashboard know it."""

from __future__ import annotations

from pathlib import Path

import httpx

from persona_training.adapters import finished_adapter
from persona_training.errors import AdapterError
from persona_training.settings import Settings

TIMEOUT_SECONDS = 5.0


def register(folder: Path, settings: Settings) -> str | None:
    """Post the adapter's manifest.

    Returns:
        None when registered, else the reason the service could not be reached.

    Raises:
        AdapterError: the adapter is not finished, or the service refused it.
    """
    manifest = finished_adapter(folder)
    headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    headers["Idempotency-Key"] = f"adapter-{manifest['adapter_id']}"
    try:
        response = httpx.post(
            f"{settings.memory_service_url}/adapters", json=manifest, headers=headers, timeout=TIMEOUT_SECONDS
        )
    except httpx.TransportError as error:
        return f"the memory service at {settings.memory_service_url} does not answer ({type(error).__name__})"
    if response.is_success:
        return None
    raise AdapterError(
        f"The memory service refused {manifest['adapter_id']} ({response.status_code}): {response.text[:300]}"
    )
