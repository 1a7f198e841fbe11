#!/usr/bin/env bash
# Writes a lock file, with the hash of every file that PyPI has of a package. Usage: lock.sh VENV NAME
# NAME is cpu or webui: the packages of the environment VENV, less torch, whose CPU build stands on no index of PyPI's, and
# less what only the tests, the benchmarks or the making of the starter's adapter need;
# test: what only the tests' tools need, installed on top of cpu or gpu;
# bench: the pins that requirements-bench.lock has already, with their hashes anew;
# or gpu: what pyproject.toml asks for with vLLM's CUDA build, torch too, with the versions of requirements-cpu.lock wherever
# CUDA's torch and vLLM let them stand. It is resolved for Linux on x86-64, on any machine.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lock="$here/requirements-$2.lock"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pins() { sed -nE 's/^([A-Za-z0-9][^ \\]*==[^ \\]*).*/\1/p' "$1"; }

case $2 in
  bench) pins "$lock" > "$work/pins" ;;
  test) "$1/bin/python" "$here/test_packages.py" "$here/../pyproject.toml" > "$work/pins" ;;
  gpu) pins "$here/requirements-cpu.lock" | grep -viE '^(triton|apache-tvm-ffi)==' > "$work/constraints" ;;
  *)
    pins "$here/requirements-bench.lock" > "$work/others"
    pins "$here/requirements-starter.lock" >> "$work/others"
    [ "$2" != cpu ] || "$1/bin/python" "$here/test_packages.py" "$here/../pyproject.toml" >> "$work/others"
    {
      "$1/bin/python" -m pip --disable-pip-version-check freeze --exclude-editable \
        | grep -viE '^(torch|torchvision|torchaudio|torchcodec|pip|setuptools|correctly)[ =@]' \
        | sed -E ':a; s/^([^=]*)[._]/\1-/; ta; s/^[^=]*/\L&/' \
        | grep -vxFf "$work/others"
      # pip freeze leaves setuptools out; vLLM and the editable install need it.
      echo "setuptools==$("$1/bin/python" -c 'import importlib.metadata as m; print(m.version("setuptools"))')"
    } > "$work/pins"
    ;;
esac
"$1/bin/python" -m venv "$work/uv"
"$work/uv/bin/python" -m pip --disable-pip-version-check install -q "uv==0.13.8"
compile=("$work/uv/bin/uv" pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11.14)
{
  if [ "$2" = bench ]; then
    grep '^#' "$lock"
  else
    echo "# Every package of the $2 environment, pinned. Written by 'make lock'; installed with --no-deps --require-hashes."
  fi
  if [ "$2" = gpu ]; then
    "${compile[@]}" --python-platform x86_64-unknown-linux-gnu --extra gpu -c "$work/constraints" "$here/../pyproject.toml"
  else
    "${compile[@]}" --no-deps "$work/pins"
  fi
} > "$work/lock"
mv "$work/lock" "$lock"
