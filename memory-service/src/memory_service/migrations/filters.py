"""What the schema's comparison leaves out."""

# The queue library owns its tables; their definition is the one its release prints (see revision 0004).
_QUEUE_PREFIX = "pgqueuer"


def include_name(name: str | None, type_: str, _parents: object) -> bool:
    """Leave the queue library's tables to the queue library."""
    return not (type_ == "table" and name is not None and name.startswith(_QUEUE_PREFIX))
