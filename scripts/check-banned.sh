#!/bin/bash
# Calls that the project does not use, anywhere in src and in the unit tests.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

banned='sprintf|vsprintf|strcpy|strcat|stpcpy|gets|system|popen|alloca|strtok|mktemp|tmpnam'
bad=0
while IFS= read -r -d '' file; do
	# The preprocessor strips the comments; lines keep their numbers. Strings stay, so a message must not look like a call.
	if found=$(gcc -fpreprocessed -dD -E -x c "$file" 2>/dev/null | awk -v file="$file" -v banned="$banned" '
		/^# [0-9]+ / { line = $2 - 1; next }
		{ line++ }
		$0 ~ "(^|[^A-Za-z0-9_])(" banned ")[[:space:]]*\\(" { print file ":" line ": " $0; bad = 1 }
		END { exit !bad }'); then
		echo "$found" >&2
		bad=1
	fi
done < <(find src tests -name '*.[ch]' -print0)
if [ $bad -ne 0 ]; then
	echo "banned calls: $banned" >&2
else
	echo "banned calls: none"
fi
exit $bad
