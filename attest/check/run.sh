#!/usr/bin/env bash
# Checks the published vectors by an independent implementation (Python: cbor2, cryptography). Needs Python 3 with venv,
# and the first time the Python package index; says 'skipped' without them.
set -euo pipefail
cd "$(dirname "$0")"
venv=${PLUMBLINE_CACHE:-$HOME/.cache/plumbline}/venv-attest
if ! cmp -s requirements.txt "$venv/.requirements"; then
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check -r requirements.txt; } >/dev/null 2>&1
  then
    echo "skipped: the vectors' independent check (python3, venv or pip is not available)"
    exit 0
  fi
  cp requirements.txt "$venv/.requirements"
fi
"$venv/bin/python" vectors.py ../tests/vectors/evidence.json
