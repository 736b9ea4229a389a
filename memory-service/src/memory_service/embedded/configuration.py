"""PostgreSQL settings of an embedded server."""

from collections.abc import Mapping
from types import MappingProxyType

# Sized for a personal machine with 4 GB or more; an idle server still takes about 20 MB (pages are taken on first use).
DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "shared_buffers": "256MB",
        "effective_cache_size": "1GB",
        "work_mem": "16MB",
        "maintenance_work_mem": "256MB",  # building a vector index of 100,000 rows stays in memory
        "max_connections": "60",
        "max_wal_size": "1GB",
        "wal_level": "replica",
        "summarize_wal": "on",  # lets base backups be incremental
        "jit": "off",  # queries here take milliseconds; compiling them would take longer
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "log_line_prefix": "%m [%p] %u@%d ",
        # One file a weekday, overwritten a week later: the log never fills the disk.
        "logging_collector": "on",
        "log_directory": "../log",
        "log_filename": "postgresql-%a.log",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
    }
)


def render(settings: Mapping[str, str]) -> str:
    """The configuration file for `settings`, values quoted.

    Raises:
        ValueError: a name or value no configuration file can hold.
    """
    lines = ["# Written at every start; change the settings given to EmbeddedPostgres instead."]
    for name, value in sorted(settings.items()):
        if not name.replace("_", "").replace(".", "").isalnum() or "\n" in value:
            raise ValueError(f"not a PostgreSQL setting: {name} = {value!r}")
        quoted = value.replace("\\", "\\\\").replace("'", "''")
        lines.append(f"{name} = '{quoted}'")
    return "\n".join(lines) + "\n"
