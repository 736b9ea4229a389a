"""Making a dataset, and giving out its rows again."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.core_memory import service as core_memory
from memory_service.core_memory.schemas import SystemPrompt
from memory_service.errors import BadRequest, Conflict, NotFound
from memory_service.exports import manifest as manifests
from memory_service.exports import repository
from memory_service.exports.dataset import SPLITS, Dataset, People, Place, arrange, positions, render
from memory_service.exports.redaction import REDACTION_VERSION
from memory_service.exports.schemas import ExportCreate
from memory_service.exports.selection import IN_CHARACTER, NEAR_DUPLICATE, Candidate, Selection, select
from memory_service.exports.splitting import held_out_sessions
from memory_service.exports.weeks import Week, iso_week, week_containing
from memory_service.personas.service import CurrentPersona
from memory_service.scoring import SCORER_VERSION


class NothingSelected(Conflict):
    """No exchange came through the funnel."""

    code = "nothing_selected"


class DatasetChanged(Conflict):
    """The rows of a dataset cannot be written again as they were."""

    code = "dataset_changed"


async def create(
    connection: AsyncConnection, owner: str, persona: CurrentPersona, wanted: ExportCreate
) -> tuple[dict[str, Any], bool]:
    """Select, redact, split and describe a dataset; the manifest, and whether it is a new one.

    Consent and redaction are enforced here, so no client can leave them out. The same bytes are the same dataset:
    asking again answers with the manifest of the first time.

    Raises:
        BadRequest: no such week or time zone. NothingSelected: the funnel kept nothing; the message is the funnel.
    """
    now = datetime.now(UTC)
    week = _week(wanted, now)
    since, until = (week.start, week.end) if week else (None, now)
    stored = await repository.candidates(connection, persona.id, since, until)
    personality = wanted.type == "personality"
    selection = await asyncio.to_thread(select, stored, min_quality=wanted.min_quality, in_character=personality)
    if not selection.kept:
        raise NothingSelected(_emptiness(selection, week))
    held_out = held_out_sessions({c.session_id for c in selection.kept}, wanted.val_share, wanted.seed)
    places = arrange(selection.kept, positions(stored), held_out, wanted.max_turns)
    kept = {candidate.interaction_id: candidate for candidate in selection.kept}
    prompt = await core_memory.system_prompt(connection, persona)
    dataset = await _written(connection, persona, kept, places, prompt, wanted.seed, now)
    manifest = _described(persona, wanted, week, now, prompt, selection, kept, places, dataset)
    fresh = await repository.store(connection, owner, persona.id, manifest, now, places)
    return (manifest if fresh else await get(connection, str(manifest["export_id"]))), fresh


async def get(connection: AsyncConnection, export_id: str) -> dict[str, Any]:
    """A dataset's manifest. Raises NotFound."""
    manifest: dict[str, Any] = (await _record(connection, export_id)).manifest
    return manifest


async def rows(connection: AsyncConnection, export_id: str, split: str) -> bytes:
    """The split's file, byte for byte as the manifest pins it.

    The rows are written again from the exchanges (docs/decisions/0005): the service keeps no second copy of what people
    said, and what was erased or withdrawn since cannot leave it any more.

    Raises:
        NotFound: no such dataset. DatasetChanged: it cannot be written again, and why.
    """
    record = await _record(connection, export_id)
    manifest = record.manifest
    persona = await repository.persona_of(connection, record.persona_id)
    places = await repository.places(connection, record.id)
    candidates = await repository.sources(connection, record.id)
    prompt = await core_memory.system_prompt(connection, persona)
    _refuse_withdrawn(export_id, places, candidates)
    in_order = sorted(
        places,
        key=lambda p: (
            SPLITS.index(p.split), p.row_number, candidates[p.interaction_id].occurred_at, p.interaction_id
        ),
    )  # fmt: skip
    seed = int(manifest["filters"]["seed"])
    dataset = await _written(connection, persona, candidates, in_order, prompt, seed, record.created_at)
    written = {"train": dataset.train, "val": dataset.val}[split]
    if written.entry()["sha256"] != manifest["splits"][split]["sha256"]:
        raise DatasetChanged(_changed(export_id, manifest, prompt))
    return written.content


async def _record(connection: AsyncConnection, export_id: str) -> Row[Any]:
    record = await repository.find(connection, export_id)
    if record is None:
        raise NotFound(f"No dataset has the id {export_id!r}. GET /exports lists those there are.")
    return record


async def _written(
    connection: AsyncConnection,
    persona: CurrentPersona,
    candidates: dict[str, Candidate],
    places: Sequence[Place],
    prompt: SystemPrompt,
    seed: int,
    as_of: datetime,
) -> Dataset:
    sessions = {UUID(candidates[place.interaction_id].session_id) for place in places}
    people = People(
        others=await repository.viewers_known(connection, as_of),
        display_names=await repository.display_names(connection, sessions),
        public=public_names(persona),
    )
    # The persona's id is in no dataset, so the pseudonyms cannot be recomputed from what is handed out.
    key = f"{persona.id}:{seed}"
    return await asyncio.to_thread(render, candidates, places, people, prompt.system_prompt, key)


def public_names(persona: CurrentPersona) -> list[str]:
    """Names that are part of the character and stay: its own, and `public_names` of its settings."""
    given = persona.settings.get("public_names", [])
    names = [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
    return [persona.name, persona.slug, *names]


def _week(wanted: ExportCreate, now: datetime) -> Week | None:
    try:
        year = wanted.year or week_containing(now, wanted.timezone)[0]
        return None if wanted.week is None else iso_week(year, wanted.week, wanted.timezone)
    except ValueError as error:
        raise BadRequest(f"{error}.") from None


def _described(
    persona: CurrentPersona,
    wanted: ExportCreate,
    week: Week | None,
    now: datetime,
    prompt: SystemPrompt,
    selection: Selection,
    kept: dict[str, Candidate],
    places: Sequence[Place],
    dataset: Dataset,
) -> dict[str, Any]:
    filters = wanted.model_dump(include={"min_quality", "val_share", "seed", "max_turns"})
    filters |= {"near_duplicate": NEAR_DUPLICATE}
    if wanted.type == "personality":
        filters |= {"min_persona_style": IN_CHARACTER}
    description = manifests.Description(
        type=wanted.type,
        format=wanted.format,
        persona_slug=persona.slug,
        persona_name=persona.name,
        created_at=now,
        week=week,
        filters=filters,
        scorer_version=SCORER_VERSION,
        redaction_version=REDACTION_VERSION,
        system_prompt_sha256=prompt.sha256,
        funnel=selection.funnel,
        rows=[_row(kept[place.interaction_id], place) for place in places],
    )
    return manifests.build(description, dataset.train, dataset.val) | {"redacted": dict(dataset.redacted)}


def _row(candidate: Candidate, place: Place) -> dict[str, object]:
    return {
        "interaction_id": candidate.interaction_id,
        "session_id": candidate.session_id,
        "split": place.split,
        "content_hash": candidate.content_hash,
        "quality_score": candidate.quality_score,
    }


def _emptiness(selection: Selection, week: Week | None) -> str:
    when = "so far" if week is None else f"in week {week.number} of {week.year} ({week.timezone})"
    first, *steps = selection.funnel
    if first.kept == 0:
        return f"Nothing to export: the persona has no exchange {when}. Check week, year, time zone and persona."
    lost = "; ".join(f"{step.stage} dropped {step.dropped} ({step.why})" for step in steps if step.dropped)
    return (
        f"Nothing to export: of {first.kept} exchanges {when} none was left. {lost}. Lower min_quality or record more."
    )


def _refuse_withdrawn(export_id: str, places: Sequence[Place], candidates: dict[str, Candidate]) -> None:
    erased = sum(place.interaction_id not in candidates for place in places)
    withdrawn = sum(candidate.opted_out for candidate in candidates.values())
    if erased or withdrawn:
        raise DatasetChanged(
            f"{export_id} is not given out any more: of its {len(places)} exchanges {erased} were erased and {withdrawn} "
            "belong to people who have opted out since. Export again for a dataset without them."
        )


def _changed(export_id: str, manifest: dict[str, Any], prompt: SystemPrompt) -> str:
    reasons = []
    if prompt.sha256 != manifest["system_prompt_sha256"]:
        reasons.append("core memory has changed")
    if manifest["redaction_version"] != REDACTION_VERSION:
        reasons.append("the redaction rules have changed")
    why = " and ".join(reasons) or "its exchanges or its viewers have changed"
    return (
        f"{export_id} cannot be written again byte for byte: {why} since. "
        "The files exported then stay valid; export again for a current dataset."
    )
