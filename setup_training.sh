#!/usr/bin/env bash
# Prepare this machine for training: a virtual environment, torch for this driver, the pinned libraries, ten real steps.
# PYTHON=python3.12 ./setup_training.sh chooses another Python; TORCH_PIP_ARGS="--index-url …" another build of torch (set
# but empty: pip's own index); UNSLOTH=1 adds the Unsloth backend; SMOKE=0 leaves out the ten steps.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python="${PYTHON:-python3}"

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "Casiopy needs Python 3.11 or newer; '$python' is older or missing. Try: PYTHON=python3.11 ./setup_training.sh" >&2
  exit 1
fi
if [ -n "${TORCH_PIP_ARGS+set}" ]; then
  echo "torch: TORCH_PIP_ARGS decides (${TORCH_PIP_ARGS:-empty})" >&2
else
  TORCH_PIP_ARGS="$("$python" training/src/persona_training/torch_choice.py .)" || exit 1
fi
if [ ! -x .venv/bin/python ]; then
  echo "Making .venv with $("$python" --version) …"
  "$python" -m venv .venv || { echo "On Debian or Ubuntu, first: apt install python3-venv" >&2; exit 1; }
fi
pip=(.venv/bin/python -m pip install --disable-pip-version-check --quiet)

echo "Installing torch (the large part) …"
# shellcheck disable=SC2086  # several arguments are meant
"${pip[@]}" $TORCH_PIP_ARGS torch==2.13.0
echo "Installing the training package …"
"${pip[@]}" -c constraints.txt -e . -e "training[tensorboard]"
if [ "${UNSLOTH:-0}" = 1 ]; then
  echo "Installing the Unsloth backend …"
  "${pip[@]}" --no-deps -r training/requirements-unsloth.txt
fi
smoke=(--smoke); [ "${SMOKE:-1}" = 1 ] || smoke=()
exec .venv/bin/python -m persona_training doctor "${smoke[@]}"
