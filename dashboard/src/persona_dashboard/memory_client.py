"""The door to the memory service: HTTP and nothing else. Every failure becomes a `ServiceProblem` that says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from persona_dashboard.service_shapes import (
    AdapterRecord,
    CoreMemoryEntry,
    Deployment,
    ExportRecord,
    Feedback,
    Health,
    Interaction,
    Lineage,
    Listing,
    Recollection,
    Session,
    Stats,
    SystemPrompt,
    Topics,
)
from persona_dashboard.settings import LOOPBACK_NAMES, Settings

# A page asks up to five questions; the first slow one ends the asking, so this is also the longest wait for a page.
ANSWER_SECONDS = 5.0
CONNECT_SECONDS = 1.5
LONGEST_LIST = 500

ShapeType = TypeVar("ShapeType", bound=BaseModel)
Value = TypeVar("Value")


class ServiceProblem(Exception):
    """The memory service gave no usable answer. `code` names the explanation shown to people."""

    code = "down"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ServiceDown(ServiceProblem):
    """Nothing answers at its address."""


class ServiceSlow(ServiceProblem):
    """It took longer than `ANSWER_SECONDS`."""

    code = "slow"


class ServiceGarbled(ServiceProblem):
    """It answered something that is not what its contract says."""

    code = "garbled"


class ServiceRefused(ServiceProblem):
    """It understood and said no; `status` and `error` are its own."""

    code = "refused"

    def __init__(self, detail: str, status: int, error: str) -> None:
        super().__init__(detail)
        self.status = status
        self.error = error


@dataclass(frozen=True)
class Answer(Generic[Value]):
    """A value, or the problem that stood in its way."""

    value: Value | None
    problem: ServiceProblem | None


def asked(question: Callable[[], Value]) -> Answer[Value]:
    """Put a question whose failure must not take the page down."""
    try:
        return Answer(question(), None)
    except ServiceProblem as problem:
        return Answer(None, problem)


def first_problem(*answers: Answer[Any]) -> ServiceProblem | None:
    """The problem to show above a page that asked several questions."""
    return next((answer.problem for answer in answers if answer.problem), None)


def open_http(settings: Settings) -> httpx.Client:
    """The connection pool shared by all pages; it is thread-safe."""
    headers = {"User-Agent": "casiopy-dashboard"}
    if settings.api_key:
        headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
    url = httpx.URL(settings.memory_service_url)
    return httpx.Client(
        base_url=url,
        headers=headers,
        verify=url.scheme == "https",  # reading the certificates takes 50 ms, and plain HTTP has no use for them
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        trust_env=url.host not in LOOPBACK_NAMES,  # a proxy from the environment cannot reach this machine's loopback
    )


class MemoryClient:
    """The service's answers for one request; after it was down or slow once, it is not asked again for that page."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._gone: ServiceProblem | None = None

    def health(self) -> Health:
        """How the service and its parts are; a 503 is an answer too."""
        return self._shaped(Health, self._send("GET", "/health", accept=(200, 503)))

    def stats(self) -> Stats:
        """Counts for the overview."""
        return self._shaped(Stats, self._send("GET", "/stats"))

    def core_memory(self) -> list[CoreMemoryEntry]:
        """All core memory, up to `LONGEST_LIST` entries."""
        return self._list(CoreMemoryEntry, "/core-memory", {"limit": LONGEST_LIST}).items

    def system_prompt(self) -> SystemPrompt:
        """The prompt generated from core memory."""
        return self._shaped(SystemPrompt, self._send("GET", "/core-memory/system-prompt/generate"))

    def add_core_memory(self, category: str, key: str, value: str, is_mutable: bool) -> None:
        """Add an entry."""
        body = {"category": category, "key": key, "value": value, "is_mutable": is_mutable}
        self._send("POST", "/core-memory", body=body)

    def edit_core_memory(self, entry_id: str, value: str) -> None:
        """Change the value of a mutable entry; 409 when it is immutable."""
        self._send("PUT", f"/core-memory/{_part(entry_id)}", body={"value": value})

    def delete_core_memory(self, entry_id: str) -> None:
        """Delete a mutable entry; 409 when it is immutable."""
        self._send("DELETE", f"/core-memory/{_part(entry_id)}")

    def sessions(self, limit: int = 200) -> Listing[Session]:
        """Sessions, newest first."""
        return self._list(Session, "/sessions", {"limit": limit})

    def interactions(self, filters: Mapping[str, str | int | float]) -> Listing[Interaction]:
        """Interactions that match the service's filters."""
        return self._list(Interaction, "/interactions", filters)

    def interaction(self, interaction_id: str) -> Interaction:
        """One interaction; 404 when there is none."""
        return self._shaped(Interaction, self._send("GET", f"/interactions/{_part(interaction_id)}"))

    def feedback(self, interaction_id: str) -> list[Feedback]:
        """What people said about one interaction."""
        return self._list(Feedback, f"/interactions/{_part(interaction_id)}/feedback", {"limit": LONGEST_LIST}).items

    def rate(self, interaction_id: str, rating: int, comment: str, corrected_output: str) -> None:
        """Leave feedback; the rating is 1 to 5."""
        body = {"rating": rating, "comment": comment or None, "corrected_output": corrected_output or None}
        self._send("POST", f"/interactions/{_part(interaction_id)}/feedback", body=body)

    def set_quality(self, interaction_id: str, quality_score: float) -> None:
        """Overrule the scorer; the score lies in [0, 1]."""
        path = f"/interactions/{_part(interaction_id)}/quality"
        self._send("PUT", path, body={"quality_score": quality_score})

    def interaction_lineage(self, interaction_id: str) -> Lineage:
        """Which exports, adapters and deployments learned from it."""
        return self._shaped(Lineage, self._send("GET", f"/lineage/interaction/{_part(interaction_id)}"))

    def adapter_lineage(self, adapter_id: str) -> Lineage:
        """What an adapter learned from, and where it is deployed."""
        return self._shaped(Lineage, self._send("GET", f"/lineage/adapter/{_part(adapter_id)}"))

    def recall(self, viewer: str, question: str, limit: int) -> Recollection:
        """What the persona remembers of a viewer for a question."""
        body = {"user_id": viewer, "query": question, "limit": limit}
        return self._shaped(Recollection, self._send("POST", "/memory/context", body=body))

    def topics(self) -> Topics:
        """Themes, largest first, or why there are none."""
        return self._shaped(Topics, self._send("GET", "/topics", params={"limit": LONGEST_LIST}))

    def refresh_topics(self) -> None:
        """Ask for the themes to be found anew in the background."""
        self._send("POST", "/topics/refresh")

    def exports(self) -> list[ExportRecord]:
        """Exports the service remembers."""
        return self._list(ExportRecord, "/exports", {"limit": LONGEST_LIST}).items

    def export_manifest(self, export_id: str) -> dict[str, Any]:
        """The manifest of one export, as it was written."""
        manifest = _json(self._send("GET", f"/exports/{_part(export_id)}"))
        if not isinstance(manifest, dict):
            raise ServiceGarbled("the manifest is not a JSON object")
        return manifest

    def export_rows(self, export_id: str, split: str, count: int) -> list[str]:
        """The first rows of a split, as JSON lines, without reading the rest of the stream."""
        with self._guard():
            path = f"/exports/{_part(export_id)}/rows"
            with self._http.stream("GET", path, params={"split": split}) as response:
                if response.status_code != 200:
                    response.read()
                    raise _refusal(response)
                return list(islice((line for line in response.iter_lines() if line.strip()), count))

    def adapters(self) -> list[AdapterRecord]:
        """Adapters the service remembers."""
        return self._list(AdapterRecord, "/adapters", {"limit": LONGEST_LIST}).items

    def deployments(self) -> list[Deployment]:
        """Deployments the service remembers."""
        return self._list(Deployment, "/deployments", {"limit": LONGEST_LIST}).items

    def _list(self, item: type[ShapeType], path: str, params: Mapping[str, str | int | float]) -> Listing[ShapeType]:
        return self._shaped(Listing[item], self._send("GET", path, params=params))  # type: ignore[valid-type]

    def _shaped(self, shape: type[ShapeType], response: httpx.Response) -> ShapeType:
        try:
            return shape.model_validate(_json(response))
        except ValidationError as failure:
            error = failure.errors()[0]
            where = ".".join(map(str, error["loc"])) or "the answer"
            raise ServiceGarbled(f"{response.request.url.path}: {where}: {error['msg']}") from failure

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | float] | None = None,
        body: Mapping[str, object] | None = None,
        accept: tuple[int, ...] = (),
    ) -> httpx.Response:
        with self._guard():
            response = self._http.request(method, path, params=params, json=body)
        if response.is_success or response.status_code in accept:
            return response
        raise _refusal(response)

    def _guard(self) -> _Guard:
        if self._gone:
            raise self._gone
        return _Guard(self)

    def give_up(self, problem: ServiceProblem) -> None:
        """Remember that asking again is pointless while this page is made."""
        self._gone = problem


class _Guard:
    """Turns transport failures into service problems."""

    def __init__(self, client: MemoryClient) -> None:
        self._client = client

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, failure: BaseException | None, _trace: object) -> None:
        if isinstance(failure, httpx.TimeoutException) and not isinstance(failure, httpx.ConnectTimeout):
            problem: ServiceProblem = ServiceSlow(f"no answer within {ANSWER_SECONDS:g} s")
        elif isinstance(failure, httpx.NetworkError | httpx.ConnectTimeout | httpx.ProxyError):
            problem = ServiceDown(str(failure) or type(failure).__name__)
        elif isinstance(failure, httpx.HTTPError | httpx.InvalidURL):
            problem = ServiceGarbled(str(failure) or type(failure).__name__)
        else:
            return
        self._client.give_up(problem)
        raise problem from failure


def _part(identifier: str) -> str:
    return quote(identifier, safe="")


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as failure:
        raise ServiceGarbled(f"{response.request.url.path}: not JSON") from failure


def _refusal(response: httpx.Response) -> ServiceProblem:
    """The service's own words when it has some; otherwise it is not the service that answered."""
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return ServiceGarbled(f"{response.request.url.path}: HTTP {response.status_code} without an explanation")
    if not isinstance(body, dict) or not isinstance(body.get("detail"), str):
        return ServiceGarbled(f"{response.request.url.path}: HTTP {response.status_code} without an explanation")
    return ServiceRefused(body["detail"], response.status_code, str(body.get("error", "")))
