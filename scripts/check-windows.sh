#!/bin/bash
# The tests of the Windows programs, under Wine: the unit tests that are built for Windows (ctest), and the end-to-end tests of
# tests/windows (pytest) with a hub and clients of this system; and counts. What fails among others is run once more, alone (once-more.py).
# usage: check-windows.sh [PYTEST ARGUMENT]...
set -euo pipefail
cd "$(dirname "$0")/.."

build=${MULTISSH_BUILD:-build}
windows=${MULTISSH_WINDOWS_BUILD:-build-windows}
wine=/usr/lib/wine/wine64
if [ ! -x $wine ]; then
	echo "Wine is not installed, so nothing is tested: there is no $wine (Debian: apt-get install wine64 wine)" >&2
	exit 0
fi

started=$SECONDS
failed=no
results=$(mktemp -d)
holder=
start=()
finish() {
	# The unit tests' prefix ends by itself when its last program has.
	if [ -n "$holder" ]; then
		exec {hold}>&-
		wait "$holder" || true
		/usr/lib/wine/wineserver64 -w || true
	fi
	rm -rf "$results"
}
trap finish EXIT

# Given folders are as they are.
[ -n "${MULTISSH_BUILD-}" ] || scripts/build.sh "$build" -DMULTISSH_TESTS=OFF
[ -n "${MULTISSH_WINDOWS_BUILD-}" ] || scripts/windows.sh "$windows"

# Arguments choose end-to-end tests.
if [ $# -eq 0 ]; then
	echo "== unit tests, under Wine"
	export WINEPREFIX=$results/prefix WINEDEBUG=-all WINEDLLOVERRIDES='winemenubuilder.exe,mscoree,mshtml=d'
	# Where addresses are not random, Wine finds them free each time.
	if setarch -R true 2>/dev/null; then
		start=(setarch -R)
	fi
	HOME=$results "${start[@]}" $wine winecfg -v win10 >"$results/wine.log" 2>&1 || {
		cat "$results/wine.log" >&2
		exit 1
	}
	# While this one waits, Wine's own services need not be started for each test.
	mkfifo "$results/hold"
	HOME=$results "${start[@]}" $wine 'C:\windows\system32\cmd.exe' /d /c more <"$results/hold" >/dev/null 2>&1 &
	holder=$!
	exec {hold}>"$results/hold"
	if ! HOME=$results "${start[@]}" ctest --test-dir "$windows" --output-on-failure -j "$(nproc)" --timeout 300 --no-tests=error --output-junit "$results/unit.xml" \
		>"$results/ctest.log" 2>&1; then
		cat "$results/ctest.log"
		HOME=$results scripts/once-more.py "$results/unit.xml" "${start[@]}" ctest --test-dir "$windows" --output-on-failure --timeout 300 -R '^{}$' || failed=yes
	else
		tail -n 4 "$results/ctest.log"
	fi
fi

echo "== end-to-end tests, under Wine"
parallel=()
if /usr/bin/python3 -c 'import xdist' 2>/dev/null; then
	# Each worker has a Windows machine of its own, and each file of tests a hub and an agent.
	parallel=(-n "${TEST_JOBS:-3}" --dist loadfile)
fi
pytest=(env -u WINEPREFIX "MULTISSH_BUILD=$build" "MULTISSH_WINDOWS_BUILD=$windows" /usr/bin/python3 -W ignore -m pytest -q -p no:cacheprovider)
status=0
"${pytest[@]}" tests/windows "${parallel[@]}" --junit-xml "$results/e2e.xml" "$@" || status=$?
case $status in
0) ;;
1) scripts/once-more.py "$results/e2e.xml" "${pytest[@]}" 'tests/windows/{}' || failed=yes ;;
*) failed=yes ;; # no test's failure
esac

echo "Took $((SECONDS - started)) s."
shopt -s nullglob
/usr/bin/python3 scripts/count-tests.py "$results"/*.xml || failed=yes
[ $failed = no ]
