"""What GET /metrics shows: requests by route, extractions by outcome, this release. No label names an owner, user or key."""

import time
from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory_service import __version__

# When each time series began would double their number and answer no question here.
disable_created_metrics()  # type: ignore[no-untyped-call]

# Counted where memories are extracted, far from any application: one count for the whole process, shown by each of them.
EXTRACTIONS = Counter(
    "casiopy_extractions_total",
    "Messages memories were extracted from.",
    ["extractor", "outcome"],
    registry=None,
)
# Counted where memories are recalled, for the same reason. An outcome is `done`, or why not.
SECOND_LOOKS = Counter(
    "casiopy_recall_second_looks_total",
    "Questions rewritten and recalls reranked, where that is switched on.",
    ["step", "outcome"],
    registry=None,
)

# From a keyed read (a few milliseconds) to a chat answer of a local model (a minute).
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# A client may send any word as a method; each would be a time series for ever.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The measurements of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "casiopy_http_requests_total", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "casiopy_http_request_seconds",
            "From the request's first byte to the answer's last.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        build = Gauge("casiopy_build_info", "1, labelled with this release.", ["version"], registry=self.registry)
        build.labels(__version__).set(1)
        self.registry.register(EXTRACTIONS)
        self.registry.register(SECOND_LOOKS)
        ProcessCollector(registry=self.registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; `route` is a template such as `/sessions/{session_id}`, never a filled one."""
        known = method if method in _METHODS else "other"
        self.requests.labels(known, route, str(status)).inc()
        self.seconds.labels(known, route).observe(seconds)


class RequestCount:
    """Measures every request, also those that other parts refuse."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Callable[[], float] = time.perf_counter) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count its answer; one that never came counts as 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, self._clock()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._metrics.answered(scope["method"], _template(scope), status, self._clock() - started)


def _template(scope: Scope) -> str:
    """The template of the route that answered; made-up addresses and refusals before any route are one of their own."""
    return str(getattr(scope.get("route"), "path", "") or "none")


router = APIRouter()


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """The measurements in Prometheus' text format."""
    shown: Metrics = request.app.state.metrics
    return Response(generate_latest(shown.registry), media_type=CONTENT_TYPE_LATEST)
