#!/usr/bin/env bash
# Writes a lock file, with the hash of every file that PyPI has of a package. Usage: lock.sh VENV NAME
# NAME is cpu or webui: the packages of the environment VENV, less torch, whose CPU build stands on no index of PyPI's;
# or bench: the pins that requirements-bench.lock has already, with their hashes anew.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lock="$here/requirements-$2.lock"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pins() { sed -nE 's/^([A-Za-z0-9][^ \\]*==[^ \\]*).*/\1/p' "$1"; }

if [ "$2" = bench ]; then
  pins "$lock" > "$work/pins"
else
  pins "$here/requirements-bench.lock" > "$work/bench"
  {
    "$1/bin/python" -m pip --disable-pip-version-check freeze --exclude-editable \
      | grep -viE '^(torch|torchvision|torchaudio|torchcodec|pip|setuptools|correctly)[ =@]' \
      | grep -vxFf "$work/bench"
    # pip freeze leaves setuptools out; vLLM and the editable install need it.
    echo "setuptools==$("$1/bin/python" -c 'import importlib.metadata as m; print(m.version("setuptools"))')"
  } > "$work/pins"
fi
"$1/bin/python" -m venv "$work/uv"
"$work/uv/bin/python" -m pip --disable-pip-version-check install -q "uv==0.13.8"
{
  echo "# Every package of the $2 environment, pinned. Written by 'make lock'; installed with --no-deps --require-hashes."
  "$work/uv/bin/uv" pip compile -q --no-deps --generate-hashes --no-header --no-annotate --python-version 3.11 "$work/pins"
} > "$work/lock"
mv "$work/lock" "$lock"
