#!/usr/bin/env bash
# Writes a lock file from an environment. Usage: lock.sh VENV NAME, where NAME is cpu or webui
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
{
  echo "# Every package of the $2 environment, pinned. Written by 'make lock'; installed with --no-deps."
  "$1/bin/python" -m pip --disable-pip-version-check freeze --exclude-editable \
    | grep -viE '^(torch|torchvision|torchaudio|torchcodec|pip|setuptools|correctly)[ =@]' \
    | grep -vxFf "$here/requirements-bench.lock"
  # pip freeze leaves setuptools out; vLLM and the editable install need it.
  echo "setuptools==$("$1/bin/python" -c 'import importlib.metadata as m; print(m.version("setuptools"))')"
} > "$here/requirements-$2.lock"
