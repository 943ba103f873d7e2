#!/bin/bash
# Builds the hub's programs with a newer libssh than the system's (libssh.sh), for what is measured with its key exchanges. Where that libssh
# cannot be had, says so, and leaves no programs there.   usage: build-newer.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 1 ] || {
	echo "usage: $0 FOLDER" >&2
	exit 2
}
if ! libssh=$(scripts/libssh.sh); then
	echo "The figures that need a newer libssh are left out." >&2
	rm -f "$1"/multissh-{hub,front,relay}
	exit 0
fi
scripts/build.sh "$1" -DMULTISSH_TESTS=OFF -DMULTISSH_LIBSSH="$libssh"
