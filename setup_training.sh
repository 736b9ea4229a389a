#!/usr/bin/env bash
# Prepare this machine for training: a virtual environment, torch, the training package, then a check of all of it.
# PYTHON=python3.12 ./setup_training.sh chooses another Python; TORCH_PIP_ARGS="--index-url …" another build of torch.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python="${PYTHON:-python3}"

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "Casiopy needs Python 3.11 or newer; '$python' is older or missing. Try: PYTHON=python3.11 ./setup_training.sh" >&2
  exit 1
fi
if [ ! -x .venv/bin/python ]; then
  echo "Making .venv with $("$python" --version) …"
  "$python" -m venv .venv || { echo "On Debian or Ubuntu, first: apt install python3-venv" >&2; exit 1; }
fi
pip=(.venv/bin/python -m pip install --disable-pip-version-check --quiet)

echo "Installing torch (the large part) …"
# shellcheck disable=SC2086  # several arguments are meant
"${pip[@]}" ${TORCH_PIP_ARGS:-} torch==2.13.0
echo "Installing the training package …"
"${pip[@]}" -c constraints.txt -e . -e training
exec .venv/bin/python -m persona_training doctor
