"""What every table shares: the type map, the owner's column, the parent row in the same owner's data."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint, LargeBinary, MetaData, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, JSONB, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NOW = text("now()")
EMPTY_OBJECT = text("'{}'::jsonb")
TRUE, FALSE = text("true"), text("false")

# Longest text of one side of an exchange, in characters: far above any chat turn, far below what would stall scoring.
MAX_TEXT = 32_000


class Base(DeclarativeBase):
    """Shared type map: UTC timestamps, JSONB objects, 64-bit floats."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy reads this class attribute)
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        float: DOUBLE_PRECISION,
        str: Text,
        bytes: LargeBinary,
        UUID: PGUUID(as_uuid=True),
        list[str]: ARRAY(Text),
    }


def owner_id_column(*, primary_key: bool = False) -> Mapped[str]:
    """The tenant a row belongs to."""
    return mapped_column(ForeignKey("owners.id", ondelete="CASCADE"), primary_key=primary_key)


def belongs_to(parent: str, column: str, *, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    """The parent row, in the same owner's data."""
    return ForeignKeyConstraint(["owner_id", column], [f"{parent}.owner_id", f"{parent}.id"], ondelete=ondelete)
