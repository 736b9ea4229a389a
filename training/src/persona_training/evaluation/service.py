"""The memory service as the gate and deploy see it: the system prompt out, reports and deployments in.

The service may be away; both commands then say so and go on, because everything they register also lies in files.
"""

from __future__ import annotations

from typing import Any

import httpx

from persona_training.service_address import connect
from persona_training.settings import Settings

TIMEOUT_SECONDS = 5.0  # loopback answers in milliseconds; this bounds how long an operator waits for a hung service


class MemoryService:
    """A client of the HTTP interface; nothing raises when it is away: methods return None or a sentence for the operator."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        self.url = settings.memory_service_url
        self._client = connect(self.url, settings.api_key, TIMEOUT_SECONDS, transport)

    def system_prompt(self) -> str | None:
        """The system prompt made from core memory, or None when the service is away or has none."""
        try:
            response = self._client.get("/core-memory/system-prompt/generate")
            response.raise_for_status()
            prompt = response.json()["system_prompt"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None
        return prompt if isinstance(prompt, str) and prompt.strip() else None

    def adapter(self, adapter_id: str) -> dict[str, Any] | str | None:
        """What the service knows of an adapter, a sentence on why it knows nothing, or None when it is away."""
        try:
            response = self._client.get(f"/adapters/{adapter_id}")
        except httpx.HTTPError:
            return None
        try:
            known = response.json()
        except ValueError:
            known = None
        if response.is_success and isinstance(known, dict):
            return known
        return f"the memory service at {self.url} does not know it ({response.status_code})"

    def register_report(self, adapter_id: str, report: dict[str, Any]) -> str:
        """Hand over a gate report; handing the same one over twice changes nothing."""
        return self._post(f"/adapters/{adapter_id}/report", report, "report", str(report["report_id"]))

    def register_deployment(self, adapter_id: str, deployment: dict[str, Any], key: str) -> str:
        """Hand over a deployment, {tag, host, live, smoke}; `key` tells a repetition from a second deployment."""
        return self._post(f"/adapters/{adapter_id}/deployments", deployment, "deployment", key)

    def _post(self, path: str, body: dict[str, Any], what: str, key: str) -> str:
        try:
            response = self._client.post(path, json=body, headers={"Idempotency-Key": key})
        except httpx.HTTPError as error:
            return (
                f"The memory service at {self.url} does not answer ({type(error).__name__}): the {what} is in its file "
                "only. Start the service with `casiopy serve` to have the next one registered too."
            )
        if response.is_success:
            return f"Registered the {what} with the memory service at {self.url}."
        return f"The memory service at {self.url} refused the {what} ({response.status_code}): {_detail(response)}"


def _detail(response: httpx.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return response.text[:200]
    return str(body.get("detail", body)) if isinstance(body, dict) else str(body)[:200]
