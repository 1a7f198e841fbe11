#!/usr/bin/env bash
# Asks PyPI's database of known vulnerabilities about every package of the lock files and of the examples, and about torch. Usage: audit.sh VENV
# Exit 1 where one is known. Where the database cannot be reached, that is said, and nothing has failed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=$1
unreached() { echo "$1 was not checked: the database of known vulnerabilities could not be reached."; }

if ! [ -x "$venv/bin/pip-audit" ]; then
  python3 -m venv "$venv" && "$venv/bin/python" -m pip --disable-pip-version-check install -q "pip-audit==2.10.1" \
    || { echo "pip-audit could not be installed, so nothing was checked." >&2; exit 0; }
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The pin of install.sh, without the name of the build, which the database does not know.
sed -nE 's/.*"(torch==[0-9.]+)\+cpu".*/\1/p' "$here/install.sh" | head -1 > "$work/torch"
status=0
for lock in "$here"/requirements-*.lock "$here"/examples/*/requirements.txt "$work/torch"; do
  name=${lock#"$here"/}
  name=${name#"$work"/}
  sed -nE 's/^([A-Za-z0-9][^ \\]*==[^ \\]*).*/\1/p' "$lock" > "$work/pins"
  "$venv/bin/pip-audit" --no-deps --disable-pip --progress-spinner off --timeout 15 -r "$work/pins" -f json -o "$work/found" \
    > /dev/null 2> "$work/errors"
  # pip-audit ends with 1 both where it found something and where it could not ask; only the first leaves an answer.
  "$venv/bin/python" - "$work/found" "$name" <<'PYTHON'
import json
import sys

try:
    with open(sys.argv[1]) as file:
        packages = json.load(file)["dependencies"]
except (OSError, ValueError, KeyError):
    sys.exit(2)
known = [(p["name"], p.get("version"), v) for p in packages for v in p.get("vulns", [])]
for package, version, found in known:
    print(f"{sys.argv[2]}: {package} {version}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'no release yet'}")
skipped = [p["name"] for p in packages if "skip_reason" in p]
print(f"{sys.argv[2]}: {len(packages) - len(skipped)} packages checked, {len(known)} known vulnerabilities.")
sys.exit(1 if known else 0)
PYTHON
  case $? in
    0) ;;
    1) status=1 ;;
    *) unreached "$name" ;;
  esac
  rm -f "$work/found"
done
exit $status
