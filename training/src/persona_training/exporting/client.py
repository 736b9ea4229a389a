"""The memory service as the exporter sees it: ask for a dataset, stream its rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from persona_training.errors import PersonaTrainingError
from persona_training.service_address import connect

# Selecting and redacting a million exchanges takes the better part of an hour before the first byte of an answer (0.36 ms an
# exchange to redact, twice); a service that does not even accept the connection is down.
TIMEOUT = httpx.Timeout(7200.0, connect=5.0)
_NEEDED = ("export_id", "type", "funnel", "splits", "dataset_sha256", "filters", "persona")


class ExportError(PersonaTrainingError):
    """No dataset could be made or fetched; the message says why and what to do."""


class NothingToExport(ExportError):
    """The service found nothing that may be learned; the message is its funnel."""


class BrokenOff(ExportError):
    """The connection broke off in mid-answer."""


@dataclass(frozen=True)
class Rest:
    """A file from byte `start` on."""

    start: int
    pieces: Iterator[bytes]


class ExportClient:
    """HTTP client for POST /exports and its rows. Use as a context manager."""

    def __init__(self, url: str, api_key: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._http = connect(self.url, api_key, TIMEOUT, transport)

    def __enter__(self) -> Self:
        """Nothing to prepare: connections are opened when needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._http.close()

    def create(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Ask the service to select, redact and describe a dataset; returns its manifest without the list of rows.

        Raises ExportError when the service is away, refuses, finds nothing, or answers something that is no manifest.
        """
        with self._said_plainly():
            response = self._http.post("/exports", params={"rows": "false"}, json=wanted)
            _check(response)
        try:
            manifest = response.json()
        except ValueError:
            manifest = None
        if not isinstance(manifest, dict) or any(key not in manifest for key in _NEEDED):
            raise ExportError(f"{self.url} answered something that is no dataset manifest. Is this the memory service?")
        return manifest

    def manifest(self, export_id: str) -> Iterator[bytes]:
        """The whole manifest in pieces as they arrive; a million rows are a quarter of a gigabyte."""
        with self._said_plainly(), self._http.stream("GET", f"/exports/{export_id}") as response:
            yield from _pieces(response)

    @contextmanager
    def rows(self, export_id: str, split: str, have: int = 0, sha256: str = "") -> Iterator[Rest]:
        """The file of one split. With `have`, what follows those bytes, if it still is the file `sha256`; else all of it."""
        headers = {"Range": f"bytes={have}-", "If-Range": f'"{sha256}"'} if have else {}
        path = f"/exports/{export_id}/rows"
        with (
            self._said_plainly(),
            self._http.stream("GET", path, params={"split": split}, headers=headers) as response,
        ):
            start = have if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
            yield Rest(start, _pieces(response))

    @contextmanager
    def _said_plainly(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError:
            raise ExportError(
                f"The memory service does not answer at {self.url}. Start it with `casiopy serve` (or `make up`), "
                "or name another address with --url or MEMORY_SERVICE_URL."
            ) from None
        except httpx.RequestError as error:
            raise BrokenOff(
                f"The memory service at {self.url} broke off ({type(error).__name__}). Look at its log, then run the command "
                "again: it goes on where it broke off."
            ) from None


def _pieces(response: httpx.Response) -> Iterator[bytes]:
    if response.is_error:
        response.read()
    _check(response)
    yield from response.iter_bytes()


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    try:
        body = response.json()
    except ValueError:
        body = None
    detail = body.get("detail") if isinstance(body, dict) else None
    if isinstance(body, dict) and body.get("error") == "nothing_selected":
        raise NothingToExport(str(detail))
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise ExportError("The memory service asks for a key. Give it with --api-key or API_KEY.")
    raise ExportError(str(detail or f"The service answered {response.status_code} {response.reason_phrase}."))
