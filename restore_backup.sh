#!/usr/bin/env bash
# Replace the memory database with a backup: ./restore_backup.sh ./backups/daily/memory_daily_YYYYMMDD_HHMMSS.dump
# The service must be stopped. Options (--yes, --identity …) are those of `casiopy restore --help`.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [ $# -eq 0 ]; then
  echo "Usage: ./restore_backup.sh BACKUP [--yes] [--identity FILE]" >&2
  (cd "$here" && ls -1t backups/*/memory_*.dump* backups/*/memory_*.tar* 2>/dev/null | grep -v '\.sha256$' | head -5 >&2) || true
  exit 2
fi
python="$here/.venv/bin/python"
[ -x "$python" ] || python="${PYTHON:-python3}"
"$python" -c "import memory_service" 2>/dev/null || { echo "Casiopy is not installed here. Run: make setup" >&2; exit 1; }
# A path is meant from where you are; the settings are those of this folder.
backup="$1"
case "$backup" in -*) ;; *) [ ! -e "$backup" ] || backup="$(cd "$(dirname "$backup")" && pwd)/$(basename "$backup")" ;; esac
shift
cd "$here"
exec "$python" -m memory_service restore "$backup" "$@"
