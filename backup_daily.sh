#!/usr/bin/env bash
# Back up the memory database to backups/daily; the last 7 days stay.
# Options (--folder …) are those of `casiopy backup daily --help`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python=.venv/bin/python
[ -x "$python" ] || python="${PYTHON:-python3}"
"$python" -c "import memory_service" 2>/dev/null || { echo "Casiopy is not installed here. Run: make setup" >&2; exit 1; }
exec "$python" -m memory_service backup daily "$@"
