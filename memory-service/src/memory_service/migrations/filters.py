"""What the schema's comparison leaves out."""

# The queue library owns its tables; their definition is the one its release prints (see revision 0004).
_QUEUE_PREFIX = "pgqueuer"
# One vector index per model, made when a model is first used (`index_vectors`, revision 0009).
_VECTOR_INDEX_PREFIX = "ix_embeddings_model_"


def include_name(name: str | None, type_: str, _parents: object) -> bool:
    """Leave the queue library's tables to the queue library, and the models' indexes to the models in use."""
    if name is None:
        return True
    if type_ == "table":
        return not name.startswith(_QUEUE_PREFIX)
    return not (type_ == "index" and name.startswith(_VECTOR_INDEX_PREFIX))
