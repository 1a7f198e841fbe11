#!/usr/bin/env bash
# Runs a command in a network namespace that has only loopback, so that nothing it starts can reach a hub; where the
# kernel allows no namespace (some containers), runs it as it is and says so.
set -euo pipefail
here=$(dirname "$0")
python=$1
shift
if unshare --net true 2>/dev/null; then
  exec unshare --net "$python" "$here/loopback.py" "$@"
elif unshare --user --map-current-user --keep-caps --net true 2>/dev/null; then
  exec unshare --user --map-current-user --keep-caps --net "$python" "$here/loopback.py" "$@"
fi
echo "No network namespace may be made here: the tests run with the machine's network." >&2
exec "$@"
