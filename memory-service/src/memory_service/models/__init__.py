"""Every table's row type. Migrations are the schema's one source; a test proves that both agree.

Each table but the few shared ones (`owners`, `embedding_models`, `rate_limit_buckets`, `encryption_state`) carries
`owner_id`, and PostgreSQL's row-level security compares it with the transaction's `app.owner_id`. Foreign keys include the
owner, so no row can point into another owner's data.
"""

from memory_service.models.base import MAX_TEXT, Base
from memory_service.models.conversations import Feedback, Interaction, InteractionTopic, Session, SessionSummary, Topic
from memory_service.models.lineage import (
    Deployment,
    LoraVersion,
    TrainingExport,
    TrainingExportRow,
    TrainingExportSource,
)
from memory_service.models.memories import Memory
from memory_service.models.people import CoreMemory, Persona, User
from memory_service.models.recall import Embedding, EmbeddingModel, RecallDocument, RecallTerm
from memory_service.models.tenancy import ApiKey, EncryptionState, IdempotentRequest, Owner, RateLimitBucket

__all__ = [
    "MAX_TEXT",
    "ApiKey",
    "Base",
    "CoreMemory",
    "Deployment",
    "Embedding",
    "EmbeddingModel",
    "EncryptionState",
    "Feedback",
    "IdempotentRequest",
    "Interaction",
    "InteractionTopic",
    "LoraVersion",
    "Memory",
    "Owner",
    "Persona",
    "RateLimitBucket",
    "RecallDocument",
    "RecallTerm",
    "Session",
    "SessionSummary",
    "Topic",
    "TrainingExport",
    "TrainingExportRow",
    "TrainingExportSource",
    "User",
]
