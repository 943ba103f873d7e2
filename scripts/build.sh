#!/bin/bash
# Configures (once, or when options change) and builds.   usage: build.sh FOLDER [CMAKE OPTION]...
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -ge 1 ] || {
	echo "usage: $0 FOLDER [CMAKE OPTION]..." >&2
	exit 2
}
folder=$1
shift

# A folder that is configured with more (the tests) is not narrowed again.
if [ -e "$folder/CMakeCache.txt" ] && [ "$*" = -DMULTISSH_TESTS=OFF ]; then
	set --
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cmake -S . -B "$folder" "$@" >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
if [ -t 1 ]; then
	cmake --build "$folder" -j "${JOBS:-$(nproc)}"
else
	cmake --build "$folder" -j "${JOBS:-$(nproc)}" >"$log" 2>&1 || {
		grep -vE '^\[[ 0-9]+%\] (Building|Built|Linking)' "$log" >&2 || true
		exit 1
	}
fi
echo "Built into $folder/"
