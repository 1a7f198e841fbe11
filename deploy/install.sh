#!/usr/bin/env bash
# Makes a virtual environment from its lock file. Usage: install.sh VENV cpu|gpu|webui|dvc
set -euo pipefail
venv=$1 accelerator=$2
here=$(cd "$(dirname "$0")" && pwd)

case "$(uname -m)" in
  x86_64 | amd64) ;;
  *)
    if [ "$accelerator" = cpu ]; then
      echo "Correctly's engine is built for x86-64 processors, and this one is $(uname -m): use an x86-64 machine (Intel or AMD)." >&2
      exit 2
    fi
    ;;
esac

works() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1; }
if ! [ -x "$venv/bin/python" ] || ! works "$venv/bin/python"; then
  python=
  for candidate in ${PYTHON:-} python3.11 python3.12 python3; do
    if works "$candidate"; then python=$candidate; break; fi
  done
  if [ -z "$python" ]; then
    echo "Correctly needs Python 3.11 or 3.12 with venv. On Debian or Ubuntu: apt-get install python3.11-venv (or python3.12-venv)." >&2
    exit 2
  fi
  "$python" -m venv "$venv"
fi
pip="$venv/bin/python -m pip --disable-pip-version-check"
$pip install -q "pip==26.0.1"
# A lock file's packages, as one line that counts instead of pip's thousand.
install_lock() {
  PYTHONUNBUFFERED=1 $pip install --no-deps --require-hashes --progress-bar off -r "$1" \
    | "$venv/bin/python" "$here/pip_progress.py" "$venv" "$1"
}
if [ "$accelerator" = gpu ]; then
  # PyPI's torch is the CUDA build, and stands in the lock.
  install_lock "$here/requirements-gpu.lock"
  $pip install --no-deps --no-build-isolation -q -e "$here/.."
elif [ "$accelerator" = dvc ]; then
  # No lock: this is what our own sentence tells people to install, and whether that works is to be tested.
  $pip install -q "dvc==$(sed -n 's/^DVC_VERSION = "\(.*\)"/\1/p' "$here/../correctly_assets/workflows/version_data.py")"
else
  # PyPI's plain torch is the CUDA build; the CPU build is asked for by name, and found at PyTorch where pip has no other.
  $pip install "torch==2.13.0+cpu" 2>/dev/null \
    || $pip install "torch==2.13.0+cpu" --extra-index-url https://download.pytorch.org/whl/cpu
  # --no-deps: the lock file is complete, and leaves out torchvision, torchaudio and torchcodec on purpose: vLLM's CPU
  # build asks for them, runs without them, and does not import beside PyPI's wheels of them.
  # For the same reason Open WebUI stands in an environment of its own, with the CPU's torch: its own would be CUDA's.
  if [ "$accelerator" = webui ]; then
    install_lock "$here/requirements-webui.lock"
  else
    install_lock "$here/requirements-cpu.lock"
    $pip install --no-deps --no-build-isolation -q -e "$here/.."
  fi
fi
