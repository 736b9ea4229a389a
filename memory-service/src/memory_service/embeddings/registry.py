"""The model whose vectors the database holds. Vectors of two models are never mixed: their angles mean nothing together."""

from typing import Literal, Protocol

from sqlalchemy import and_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.models import EmbeddingModel, Owner

# Any number, the same for every process: two starting at once agree on one model.
_REGISTRY_LOCK = 882_020_252
_ANY_VECTOR = text("SELECT EXISTS (SELECT FROM embeddings)")
_INDEX_VECTORS = text("SELECT index_vectors(:model)")
_AS_OWNER = text("SELECT set_config('app.owner_id', :owner, true)")


class ModelIdentity(Protocol):
    """What the registry needs to know of a model."""

    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> str: ...
    @property
    def dimension(self) -> int: ...


class ModelMismatch(Exception):
    """The database's vectors come from another model; the message says which, and what to do."""


async def agree_on_model(connection: AsyncConnection, model: ModelIdentity) -> int:
    """The database's id of `model`, which becomes its one active model while there are no vectors of another.

    Raises:
        ModelMismatch: there are; nothing is changed.
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _REGISTRY_LOCK})
    active = (await connection.execute(select(EmbeddingModel).where(EmbeddingModel.active))).one_or_none()
    if active is not None:
        if _same(active, model):
            return int(active.id)
        if await _any_vector(connection):
            raise ModelMismatch(
                f"The stored vectors were made by {described(active)}, but EMBEDDING_MODEL is {described(model)}. Vectors "
                "of two models cannot be compared, so nothing is embedded and recall goes by words alone. Either run "
                "`casiopy reembed`, which makes the vectors anew with the configured model, and restart, or set "
                f"EMBEDDING_MODEL={active.name} again and restart."
            )
        await connection.execute(update(EmbeddingModel).where(EmbeddingModel.active).values(active=False))
    values = {"name": model.name, "revision": model.revision, "dimension": model.dimension, "active": True}
    statement = insert(EmbeddingModel).values(values)
    statement = statement.on_conflict_do_update(
        index_elements=["name", "revision"], set_={"active": True, "dimension": model.dimension}
    )
    model_id = int((await connection.execute(statement.returning(EmbeddingModel.id))).scalar_one())
    await connection.execute(_INDEX_VECTORS, {"model": model_id})
    return model_id


async def prepare_model(connection: AsyncConnection, model: ModelIdentity) -> int:
    """The database's id of `model`, with an index for its vectors; which model is active stays as it is.

    Raises:
        ModelMismatch: it is known with another dimension.
    """
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _REGISTRY_LOCK})
    model_id = await known_as(connection, model)
    if model_id is None:
        same_name = and_(EmbeddingModel.name == model.name, EmbeddingModel.revision == model.revision)
        if await connection.scalar(select(EmbeddingModel.id).where(same_name)):
            raise ModelMismatch(f"{described(model)} was known with another dimension: give its folder another name.")
        values = {"name": model.name, "revision": model.revision, "dimension": model.dimension, "active": False}
        made = insert(EmbeddingModel).values(values).returning(EmbeddingModel.id)
        model_id = int((await connection.execute(made)).scalar_one())
    await connection.execute(_INDEX_VECTORS, {"model": model_id})
    return model_id


async def known_as(connection: AsyncConnection, model: ModelIdentity) -> int | None:
    """The database's id of `model`; None when it is not known yet. Other weights under the same name are another model."""
    known = (await connection.execute(select(EmbeddingModel).order_by(EmbeddingModel.active.desc()))).all()
    return next((int(one.id) for one in known if _same(one, model)), None)


async def active_model(
    connection: AsyncConnection, *, lock: Literal["share", "update"] | None = None
) -> Row[int, str, str, int] | None:
    """The row of the model whose vectors count; locked, it stays so until the transaction ends.

    Who waits for the lock while another takes over finds none at first: PostgreSQL looks again only at the row that was
    waited for. A second statement sees the one that took over.
    """
    statement = select(EmbeddingModel.id, EmbeddingModel.name, EmbeddingModel.revision, EmbeddingModel.dimension)
    statement = statement.where(EmbeddingModel.active)
    if lock:
        statement = statement.with_for_update(read=lock == "share")
    found = (await connection.execute(statement)).one_or_none()
    if found is None and lock:
        found = (await connection.execute(statement)).one_or_none()
    return found


async def activate(connection: AsyncConnection, model_id: int) -> None:
    """Make this the model whose vectors count; to be called under `active_model(lock="update")`."""
    await connection.execute(update(EmbeddingModel).where(EmbeddingModel.active).values(active=False))
    await connection.execute(update(EmbeddingModel).where(EmbeddingModel.id == model_id).values(active=True))


def _same(active: ModelIdentity, model: ModelIdentity) -> bool:
    """Known weights decide; without them, the name."""
    if active.dimension != model.dimension:
        return False
    return active.revision == model.revision if active.revision and model.revision else active.name == model.name


async def _any_vector(connection: AsyncConnection) -> bool:
    """Whether any owner has a vector. Row-level security shows one owner's rows at a time."""
    for owner in (await connection.scalars(select(Owner.id))).all():
        await connection.execute(_AS_OWNER, {"owner": owner})
        if await connection.scalar(_ANY_VECTOR):
            return True
    return False


def described(model: ModelIdentity) -> str:
    """A model for a reader: two of one name are told apart by their weights."""
    return f"{model.name} (revision {model.revision or 'unknown'}, {model.dimension} dimensions)"
