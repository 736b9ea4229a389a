"""Making a dataset: select, redact, split, describe. Nothing of its size is ever in memory."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.core_memory import service as core_memory
from memory_service.db import Database
from memory_service.errors import BadRequest, Conflict
from memory_service.exports import manifest as manifests
from memory_service.exports import repository, sources
from memory_service.exports.dataset import Cut, Place, arrange
from memory_service.exports.deduplication import NEAR_DUPLICATE
from memory_service.exports.meaning import PER_GROUP, SAME_MEANING, thin_out
from memory_service.exports.preferences import PreferenceSelection
from memory_service.exports.probes import Probes
from memory_service.exports.redaction import REDACTION_VERSION
from memory_service.exports.rendering import SourcesMissing, Wording, lines, make_writer
from memory_service.exports.schemas import ExportCreate
from memory_service.exports.selection import IN_CHARACTER, Selection, Wanted
from memory_service.exports.weeks import Week, iso_week, week_containing
from memory_service.exports.writing import Writer
from memory_service.personas.service import resolve
from memory_service.scoring import SCORER_VERSION


class NothingSelected(Conflict):
    """No exchange came through the funnel."""

    code = "nothing_selected"


class ChangedMeanwhile(Conflict):
    """Exchanges were erased while the dataset was made."""

    code = "dataset_changed"


async def create(
    database: Database, owner: str, wanted: ExportCreate, default_persona: str
) -> tuple[dict[str, Any], bool]:
    """Select, redact, split and describe a dataset; its manifest without the rows, and whether it is a new one.

    Consent and redaction are enforced here, so no client can leave them out. The same bytes are the same dataset: asking
    again answers with the manifest of the first time. Everything is read as it was at one moment.

    Raises:
        BadRequest: no such week or time zone. NotFound: no such persona. NothingSelected: the funnel kept nothing; the
        message is the funnel.
    """
    now = datetime.now(UTC)
    week = _week(wanted, now)
    async with database.transaction(owner) as connection:
        persona = await resolve(connection, owner, wanted.persona, default_persona)
    async with database.transaction(owner, snapshot=True) as connection:
        prompt = await core_memory.system_prompt(connection, persona)
        period = sources.Period(persona.id, week.start if week else None, week.end if week else now)
        selection = await _select(connection, wanted, period)
        if not len(selection.kept):
            raise NothingSelected(_emptiness(selection, week))
        wording = Wording(persona, prompt, wanted.type, wanted.row_format, wanted.seed, now)
        try:
            writer, digest = await _written(connection, wording, selection, wanted)
        except SourcesMissing:
            raise ChangedMeanwhile("Exchanges were erased while the dataset was made. Ask again.") from None
    manifest = _described(wording, wanted, week, selection, writer, digest)
    async with database.transaction(owner) as connection:
        told = {UUID(one) for one in writer.told}
        places = _places(selection, wanted)
        fresh = await repository.store(connection, owner, persona.id, manifest, now, places, told)
        if not fresh:
            record = await repository.find(connection, str(manifest["export_id"]))
            manifest = record.manifest if record is not None else manifest
    return manifest, fresh


async def _select(connection: AsyncConnection, wanted: ExportCreate, period: sources.Period) -> Selection:
    asked = Wanted(
        min_quality=wanted.min_quality,
        in_character=wanted.type == "personality",
        skill=wanted.skill,
        with_memories=wanted.type == "episodic",
        probes=Probes(wanted.exclude_prompts),
    )
    judged = wanted.type == "preference"
    selection = PreferenceSelection(asked, paired=wanted.row_format == "dpo") if judged else Selection(asked)
    async for batch in sources.exchanges(connection, period, skill=wanted.skill, judged=judged):
        await asyncio.to_thread(selection.look_at, batch)
    await asyncio.to_thread(selection.close)
    await thin_out(selection, partial(sources.vectors, connection))
    return selection


def _places(selection: Selection, wanted: ExportCreate) -> Iterator[Place]:
    links = selection.links if isinstance(selection, PreferenceSelection) else ()
    turns = 1 if wanted.type == "preference" else wanted.max_turns
    return arrange(selection.shortlist, selection.kept, Cut(wanted.val_share, wanted.seed, turns, links))


async def _written(
    connection: AsyncConnection, wording: Wording, selection: Selection, wanted: ExportCreate
) -> tuple[Writer, manifests.Digest]:
    """The hashes of the files, written once to find them; the bytes themselves are written again when they are fetched."""

    @asynccontextmanager
    async def same() -> AsyncIterator[AsyncConnection]:
        yield connection

    def transaction() -> AbstractAsyncContextManager[AsyncConnection]:
        return same()

    async def places() -> AsyncIterator[list[Place]]:
        for batch in whole_lines(_places(selection, wanted), sources.AT_ONCE):
            yield batch

    session_ids = {UUID(place.session_id) for place in _places(selection, wanted)}
    writer = await make_writer(transaction, wording, places, session_ids)
    digest = manifests.Digest()
    async for written in lines(transaction, wording, writer, places):
        for split, line in written:
            digest.add(split, line)
    return writer, digest


def whole_lines(places: Iterator[Place], at_least: int) -> Iterator[list[Place]]:
    """The places in batches of `at_least` and some more, no line torn in two."""
    pending = list(islice(places, at_least))
    for place in places:
        last = pending[-1]
        if len(pending) >= at_least and (place.split, place.row_number) != (last.split, last.row_number):
            yield pending
            pending = []
        pending.append(place)
    if pending:
        yield pending


def _week(wanted: ExportCreate, now: datetime) -> Week | None:
    try:
        year = wanted.year or week_containing(now, wanted.timezone)[0]
        return None if wanted.week is None else iso_week(year, wanted.week, wanted.timezone)
    except ValueError as error:
        raise BadRequest(f"{error}.") from None


def _described(
    wording: Wording,
    wanted: ExportCreate,
    week: Week | None,
    selection: Selection,
    writer: Writer,
    digest: manifests.Digest,
) -> dict[str, Any]:
    more: dict[str, object] = {"redacted": dict(sorted(writer.redacted.items())), "lengths": selection.lengths()}
    if wanted.type == "episodic":
        more["untraceable_memory_blocks"] = selection.without_traceable_memories
    description = manifests.Description(
        type=wanted.type,
        format=wanted.row_format,
        skill=wanted.skill,
        persona_slug=wording.persona.slug,
        persona_name=wording.persona.name,
        created_at=wording.as_of,
        week=week,
        filters=_filters(wanted, selection.wanted.probes),
        scorer_version=SCORER_VERSION,
        redaction_version=REDACTION_VERSION,
        system_prompt_sha256=wording.prompt.sha256,
        funnel=selection.funnel,
        exchanges=sum(max(1, len(selection.shortlist.uses(int(index)))) for index in selection.kept),
        more=more,
    )
    return manifests.build(description, digest)


def _filters(wanted: ExportCreate, probes: Probes) -> dict[str, object]:
    filters: dict[str, object] = wanted.model_dump(include={"min_quality", "val_share", "seed", "max_turns"})
    filters |= {
        "near_duplicate": NEAR_DUPLICATE,
        "semantic_duplicate": {"cosine": SAME_MEANING, "kept": PER_GROUP},
        "exclude_prompts": {"count": len(probes), "sha256": probes.sha256},
    }
    return filters | ({"min_persona_style": IN_CHARACTER} if wanted.type == "personality" else {})


def _emptiness(selection: Selection, week: Week | None) -> str:
    when = "so far" if week is None else f"in week {week.number} of {week.year} ({week.timezone})"
    first, *steps = selection.funnel
    if first.kept == 0:
        return f"Nothing to export: the persona has no exchange {when}. Check week, year, time zone and persona."
    lost = "; ".join(f"{step.stage} dropped {step.dropped} ({step.why})" for step in steps if step.dropped)
    return (
        f"Nothing to export: of {first.kept} exchanges {when} none was left. {lost}. Lower min_quality or record more."
    )
