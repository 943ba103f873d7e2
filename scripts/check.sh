#!/bin/bash
# Builds plain and with ASan and UBSan, runs the unit tests (ctest) and the end-to-end tests (pytest) in both, and counts. What fails
# among many others is run once more, alone (once-more.py).
# usage: check.sh [--long] [--plain-only] [PYTEST ARGUMENT]...
set -euo pipefail
cd "$(dirname "$0")/.."

select=(-m 'not long')
sanitized=yes
while [ $# -gt 0 ]; do
	case $1 in
	--long)
		select=(-m long)
		sanitized=no # a gibibyte through the sanitizers proves nothing more
		;;
	--plain-only) sanitized=no ;;
	*) break ;;
	esac
	shift
done

results=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$results"' EXIT
failed=no
started=$SECONDS
# The tests are compiled once and not by each worker.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX=$results/compiled

# The stream in more worlds than make check has time for; which ones, changes. A seed that fails is printed.
simulate() { # folder
	local seed
	seed=$(date +%s)
	echo "== the stream, simulated, from seed $seed on"
	if SIM_SEED=$seed SIM_STEPS=1000000000 "$1/tests/test_stream_sim" >"$results/simulation.log" 2>&1; then
		grep ' steps, ' "$results/simulation.log"
	else
		failed=yes
		cat "$results/simulation.log"
	fi
}

run_suite() { # folder, title
	local folder=$1 title=$2
	shift 2
	if [ "${select[1]}" = long ]; then
		simulate "$folder"
	else
		echo "== unit tests, $title"
		# The longest ones mostly wait.
		if ! ctest --test-dir "$folder" --output-on-failure -j "$((3 * $(nproc)))" --no-tests=error \
			--output-junit "$results/unit-$folder.xml" >"$results/ctest.log" 2>&1; then
			cat "$results/ctest.log"
			scripts/once-more.py "$results/unit-$folder.xml" ctest --test-dir "$folder" --output-on-failure -R '^{}$' || failed=yes
		else
			tail -n 4 "$results/ctest.log"
		fi
	fi
	echo "== end-to-end tests, $title"
	local parallel=()
	if /usr/bin/python3 -c 'import xdist' 2>/dev/null; then
		parallel=(-n "${TEST_JOBS:-7}" --dist worksteal)
		# Version 3.1 of xdist, Debian 12's, does not have worksteal.
		/usr/bin/python3 -m pytest --help 2>/dev/null | grep -q worksteal || parallel=(-n "${TEST_JOBS:-7}" --dist load)
	fi
	local watcher=''
	if [ "${select[1]}" = long ]; then # what the tests say meanwhile
		: >"$results/progress"
		tail -f "$results/progress" &
		watcher=$!
	fi
	local pytest=(env "MULTISSH_BUILD=$folder" "MULTISSH_PROGRESS=$results/progress" /usr/bin/python3 -W ignore -m pytest -q -p no:cacheprovider)
	local status=0
	"${pytest[@]}" tests/e2e --collect-only >/dev/null || true
	"${pytest[@]}" tests/e2e "${parallel[@]}" "${select[@]}" --junit-xml "$results/e2e-$folder.xml" "$@" || status=$?
	if [ -n "$watcher" ]; then
		kill "$watcher" 2>/dev/null || true
		wait "$watcher" 2>/dev/null || true
	fi
	case $status in
	0) ;;
	1)
		if [ "${select[1]}" = long ]; then
			failed=yes # these repeat themselves, and each time counts
		else
			scripts/once-more.py "$results/e2e-$folder.xml" "${pytest[@]}" 'tests/e2e/{}' || failed=yes
		fi
		;;
	*) failed=yes ;; # no test's failure
	esac
}

scripts/build.sh build -DMULTISSH_TESTS=ON
run_suite build 'plain' "$@"
if [ $sanitized = yes ]; then
	scripts/build.sh build-asan -DMULTISSH_SANITIZE=ON -DMULTISSH_TESTS=ON
	run_suite build-asan 'with ASan and UBSan' "$@"
fi

echo "Took $((SECONDS - started)) s."
/usr/bin/python3 scripts/count-tests.py "$results"/*.xml || failed=yes
[ $failed = no ]
