#!/bin/bash
# Everything that reads the sources without running them. Ends with status 1 when anything complained.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

bad=()
run() { # title, command...
	local title=$1
	shift
	if "$@"; then
		echo "lint: $title: clean"
	else
		echo "lint: $title: NOT clean" >&2
		bad+=("$title")
	fi
}

scripts_clean() {
	local files
	mapfile -t files < <(git ls-files -- scripts packaging .ci tests | xargs -r grep -lE '^#!/bin/(ba)?sh' 2>/dev/null)
	shellcheck "${files[@]}"
}

man_clean() {
	local page text status=0
	for page in man/*.[1-9]; do
		[ -e "$page" ] || return 0
		# Pages refer to each other without being installed.
		if text=$(mandoc -Tlint -Wwarning "$page" | grep -v 'referenced manual not found'); then
			echo "$text" >&2
			status=1
		fi
	done
	return $status
}

clang_builds() {
	CC=clang scripts/build.sh build-clang -DMULTISSH_TESTS=ON
}

tidy_clean() {
	local sources log
	mapfile -t sources < <(git ls-files -- 'src/*.c')
	log=$(mktemp)
	printf '%s\0' "${sources[@]}" |
		xargs -0 -n 4 -P "$(nproc)" clang-tidy -p build-clang --quiet --warnings-as-errors='*' >"$log" 2>/dev/null
	local status=$?
	grep -E 'warning:|error:' "$log" | sort -u >&2
	rm -f "$log"
	return $status
}

run 'layers' scripts/check-layers.sh
run 'banned calls' scripts/check-banned.sh
run 'shellcheck' scripts_clean
run 'man pages' man_clean
run 'clang, warnings as errors' clang_builds
run 'clang-tidy' tidy_clean

if [ ${#bad[@]} -gt 0 ]; then
	printf 'lint: not clean: %s\n' "${bad[@]}" >&2
	exit 1
fi
