"""The memory service as training sees it: finished adapters in, so that lineage knows them; withdrawn datasets out."""

from __future__ import annotations

from pathlib import Path

import httpx

from persona_training.adapters import finished_adapter
from persona_training.errors import AdapterError
from persona_training.service_address import connect
from persona_training.settings import Settings

TIMEOUT_SECONDS = 5.0


def withdrawn_exports(settings: Settings, transport: httpx.BaseTransport | None = None) -> dict[str, str] | None:
    """Datasets that hold what somebody had erased since they were exported: export id → since when.

    Returns:
        None when the service does not answer or knows no such list.

    Raises:
        AddressError: see `connect`.
    """
    found: dict[str, str] = {}
    asked: dict[str, str | int] = {"limit": 500}
    try:
        with connect(settings.memory_service_url, settings.api_key, TIMEOUT_SECONDS, transport) as client:
            while True:
                page = client.get("/exports", params=asked).raise_for_status().json()
                found |= {item["export_id"]: item["tainted_at"] for item in page["items"] if item["tainted_at"]}
                if page["next_cursor"] is None:
                    return found
                asked["cursor"] = page["next_cursor"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def register(folder: Path, settings: Settings) -> str | None:
    """Post the adapter's manifest.

    Returns:
        None when registered, else the reason the service could not be reached.

    Raises:
        AdapterError: the adapter is not finished, or the service refused it.
        AddressError: see `connect`.
    """
    manifest = finished_adapter(folder)
    once = {"Idempotency-Key": f"adapter-{manifest['adapter_id']}"}
    try:
        with connect(settings.memory_service_url, settings.api_key, TIMEOUT_SECONDS) as client:
            response = client.post("/adapters", json=manifest, headers=once)
    except httpx.RequestError as error:
        return f"the memory service at {settings.memory_service_url} does not answer ({type(error).__name__})"
    if response.is_success:
        return None
    raise AdapterError(
        f"The memory service refused {manifest['adapter_id']} ({response.status_code}): {response.text[:300]}"
    )
