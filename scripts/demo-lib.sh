# What the demos share: how they speak, wait and find ports. Sourced with `dir` (their folder) and `names` (of what they started) set.
# shellcheck shell=bash disable=SC2034,SC2154

if [ -t 1 ]; then
	bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
else
	bold='' dim='' plain=''
fi

step() {
	printf '\n%s== %s%s\n' "$bold" "$*" "$plain"
}

await() { # what, seconds, command...
	local what=$1 tries=$(($2 * 20))
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ $((tries--)) -le 0 ]; then
			echo "not in time: $what" >&2
			return 1
		fi
		sleep 0.05
	done
}

free_ports() { # count
	local port n=$1 hex used
	used=$(awk '{ print $2 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null | sed 's/.*://')
	while [ "$n" -gt 0 ]; do
		port=$((20000 + RANDOM % 12000))
		hex=$(printf '%04X' $port)
		if ! grep -q "^$hex$" <<<"$used"; then
			echo $port
			used+=$'\n'$hex
			n=$((n - 1))
		fi
	done
}

tell_failure() { # exit status: nothing is said of an end, nor of an interrupted demo
	local name
	case $1 in 0 | 130 | 143) return 0 ;; esac # without a number it would be the status before the trap, which ends the trap
	echo >&2
	echo "The demo failed. What the programs wrote last:" >&2
	for name in "${names[@]}"; do
		echo "--- $name" >&2
		tail -n 20 "$dir/$name.log" >&2 || true
	done
}
