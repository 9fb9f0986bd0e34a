#!/bin/sh
# Builds a virtual environment from the lock file: environment.sh FOLDER LOCK
set -eu

folder=$1
lock=$2

suits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

rm -rf "$folder"
echo "Building $folder from $lock; this takes a minute or two."
found=
for python in python3.12 python3.11 python3 python; do
    if suits "$python"; then
        found=$python
        break
    fi
done
if command -v uv >/dev/null 2>&1; then
    # Use the system's certificates, as pip does.
    UV_SYSTEM_CERTS=true uv venv --quiet --seed --python "${found:-3.12}" "$folder"
elif [ -n "$found" ]; then
    "$found" -m venv "$folder" || {
        echo "candlewax: $found cannot make a virtual environment; install its venv module" \
            "(on Debian and Ubuntu the package ${found}-venv)" >&2
        exit 1
    }
else
    echo "candlewax: needs Python 3.12 or 3.11 (python3.12, python3.11 or python3 on the PATH)," \
        "or uv, which brings its own; found neither" >&2
    exit 1
fi
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    --no-build-isolation --editable .
