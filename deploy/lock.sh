#!/usr/bin/env bash
# Writes deploy/requirements-cpu.lock from an environment. Usage: lock.sh VENV
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
{
  echo "# Every package of the CPU environment, pinned. Written by 'make lock'; installed with --no-deps."
  "$1/bin/python" -m pip --disable-pip-version-check freeze --exclude-editable \
    | grep -viE '^(torch|torchvision|torchaudio|torchcodec|pip|correctly)[ =@]'
  # pip freeze leaves setuptools out; vLLM and the editable install need it.
  echo "setuptools==78.1.1"
} | awk '!seen[$0]++' > "$here/requirements-cpu.lock"
