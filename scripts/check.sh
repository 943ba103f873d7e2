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
trap 'rm -rf "$results"' EXIT
failed=no
started=$SECONDS

run_suite() { # folder, title
	local folder=$1 title=$2
	shift 2
	if [ "${select[1]}" != long ]; then
		echo "== unit tests, $title"
		if ! ctest --test-dir "$folder" --output-on-failure -j "$(nproc)" --no-tests=error \
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
		parallel=(-n "${TEST_JOBS:-6}" --dist worksteal)
		# Version 3.1 of xdist, Debian 12's, does not have worksteal.
		/usr/bin/python3 -m pytest --help 2>/dev/null | grep -q worksteal || parallel=(-n "${TEST_JOBS:-6}" --dist load)
	fi
	local pytest=(env "MULTISSH_BUILD=$folder" /usr/bin/python3 -W ignore -m pytest -q -p no:cacheprovider)
	local status=0
	"${pytest[@]}" tests/e2e "${parallel[@]}" "${select[@]}" --junit-xml "$results/e2e-$folder.xml" "$@" || status=$?
	case $status in
	0) ;;
	1) scripts/once-more.py "$results/e2e-$folder.xml" "${pytest[@]}" 'tests/e2e/{}' || failed=yes ;;
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
