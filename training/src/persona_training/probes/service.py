"""What the memory service knows of a character: who she is, what she said best, what was stored in a week."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx

from persona_training.probes.errors import ProbesError
from persona_training.service_address import connect

PAGE = 500
# The service answers a page of 500 in well under a second; this bounds how long an operator waits for a hung one.
TIMEOUT_SECONDS = 30.0
# Importance is 1 low to 5 critical. What nobody rated is taken for ordinary.
ORDINARY = 3


@dataclass(frozen=True)
class Entry:
    """One entry of core memory."""

    category: str
    key: str
    value: str


@dataclass(frozen=True)
class Fact:
    """A memory that was stored in the week asked for, without whose it is."""

    key: str | None
    content: str
    value: Any
    importance: int


@dataclass(frozen=True)
class Persona:
    """Slug, name and ISO 639-1 code of the language."""

    slug: str
    name: str
    language: str


class PersonaSource:
    """HTTP client of the memory service. Use as a context manager; every method raises ProbesError when it cannot answer."""

    def __init__(self, url: str, api_key: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._http = connect(self.url, api_key, TIMEOUT_SECONDS, transport)

    def __enter__(self) -> Self:
        """Nothing to prepare: connections are opened when needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def persona(self, slug: str) -> Persona:
        """The character of that slug."""
        found = {str(item["slug"]): item for item in self._items("/api/v1/personas", {})}
        if slug not in found:
            known = ", ".join(sorted(found)) or "none yet"
            raise ProbesError(f"The memory service at {self.url} knows no persona {slug!r}. It knows: {known}.")
        return Persona(slug, str(found[slug]["name"]), str(found[slug]["language"]))

    def core_memory(self, slug: str) -> list[Entry]:
        """Every entry, oldest first."""
        items = self._items("/api/v1/core-memory", {"persona": slug})
        return [Entry(str(item["category"]), str(item["key"]), str(item["value"])) for item in items]

    def best_exchanges(self, slug: str, min_quality: float) -> list[tuple[str, str]]:
        """Pairs of what was said and what she replied that she may learn from, the best first: people's ratings before
        the rules' scores, then the higher, then the older. Nobody who opted out of training is among them."""
        query = {"persona": slug, "min_quality": str(min_quality)}
        items = list(self._items("/api/v1/interactions/training-ready", query))
        items.sort(
            key=lambda item: (item["quality_source"] != "human", -float(item["quality_score"]))
        )  # stable: by time
        return [(str(item["input_text"]), str(item["output_text"])) for item in items]

    def facts_of_week(self, slug: str, start: datetime, end: datetime) -> list[Fact]:
        """What became true between the two moments and may be said in public, the most important first.

        Left out: what only a viewer or the streamer may hear, what was superseded or forgotten, and everything of viewers
        who opted out of training or of being recalled.
        """
        found: list[tuple[int, str, Fact]] = []
        for user in self._items("/api/v1/users", {}):
            if user["opt_out_training"] or user["opt_out_recall"]:
                continue
            for item in self._memories(str(user["id"])):
                since = datetime.fromisoformat(item["valid_from"])
                if item["audience"] == "public" and item["persona"] in (None, slug) and start <= since < end:
                    importance = int(item["importance"] or ORDINARY)
                    fact = Fact(item["key"], str(item["content"]), item["value"], importance)
                    found.append((-importance, item["valid_from"], fact))
        found.sort(key=lambda one: (*one[:2], one[2].content))
        return [fact for _, _, fact in found]

    def _memories(self, user: str) -> Iterator[dict[str, Any]]:
        query = {"user_id": user, "limit": str(PAGE)}
        while True:
            response = self._get("/api/v1/memory", query)
            yield from self._json(response, list)
            cursor = response.headers.get("X-Next-Cursor")
            if not cursor:
                return
            query["cursor"] = cursor

    def _items(self, path: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        query = {**query, "limit": str(PAGE)} if path != "/api/v1/personas" else query
        while True:
            page = self._json(self._get(path, query), dict)
            yield from page["items"]
            if not page.get("next_cursor"):
                return
            query["cursor"] = str(page["next_cursor"])

    def _get(self, path: str, query: dict[str, str]) -> httpx.Response:
        try:
            response = self._http.get(path, params=query)
        except httpx.RequestError as error:
            raise ProbesError(
                f"The memory service at {self.url} does not answer ({type(error).__name__}). Start it with `casiopy serve`, "
                "name another with --url, or draft from a card alone: --card FILE without --persona."
            ) from None
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise ProbesError("The memory service asks for a key. Give it with --api-key or API_KEY.")
        if response.is_error:
            raise ProbesError(
                f"The memory service at {self.url} refused {path} ({response.status_code}): {response.text[:200]}"
            )
        return response

    def _json(self, response: httpx.Response, shape: type) -> Any:
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, shape) or (isinstance(body, dict) and "items" not in body):
            raise ProbesError(f"{self.url} answered something else than expected. Is this the memory service?")
        return body


def bounds_of_week(year: int, week: int, timezone: str) -> tuple[datetime, datetime]:
    """Monday 00:00 of an ISO week and of the next one, in that time zone.

    Raises:
        ProbesError: the year has no such week, or there is no such time zone.
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ProbesError(f"Unknown time zone {timezone!r}. Give an IANA name such as Europe/Madrid.") from None
    try:
        monday = date.fromisocalendar(year, week, 1)
        following = monday + timedelta(days=7)
    except (ValueError, OverflowError):
        raise ProbesError(f"{year} has no ISO week {week}. Give a week from 1 to 52, or 53 in long years.") from None
    return datetime.combine(monday, time(), zone), datetime.combine(following, time(), zone)
