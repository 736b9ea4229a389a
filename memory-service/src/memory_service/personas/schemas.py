"""What the API shows of a persona."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

# Matches the database's check on `personas.slug`.
SLUG = r"^[a-z0-9][a-z0-9_-]{0,63}$"


class PersonaItem(BaseModel):
    """A character of this owner."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    slug: str = Field(pattern=SLUG, description="Short name used in requests.")
    name: str
    language: str = Field(description="ISO 639-1 code of the language she speaks.")
