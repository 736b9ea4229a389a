"""Background work on a queue in PostgreSQL: embedding, healing, topics, tidying up."""

from memory_service.worker.process import run
from memory_service.worker.worker import Worker

__all__ = ["Worker", "run"]
