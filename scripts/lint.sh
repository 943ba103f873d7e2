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
	shellcheck -x "${files[@]}"
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

tidy_clean() { # folder, then what of the sources
	local folder=$1 sources log
	shift
	mapfile -t sources < <(git ls-files -- "$@")
	log=$(mktemp)
	printf '%s\0' "${sources[@]}" |
		xargs -0 -n 4 -P "$(nproc)" clang-tidy -p "$folder" --quiet --warnings-as-errors='*' >"$log" 2>/dev/null
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
run 'clang-tidy' tidy_clean build-clang 'src/*.c' ':!src/*_windows*.c'
# How these are compiled is known once they were: make windows.
if [ -e build-windows/compile_commands.json ]; then
	run 'clang-tidy, Windows' tidy_clean build-windows 'src/*_windows*.c'
else
	echo "lint: clang-tidy, Windows: left out, for make windows was not run"
fi

if [ ${#bad[@]} -gt 0 ]; then
	printf 'lint: not clean: %s\n' "${bad[@]}" >&2
	exit 1
fi
