# How libraries are built from Debian's source packages, which apt verifies: once, outside the build folder. Sourced by libssh.sh and windows-libs.sh.
# shellcheck shell=bash disable=SC2034

set -E
export LC_ALL=C

say() { echo "$*" >&2; }

# debian_once NAME WHAT REFRESH <RECIPE: sets prefix, where it is going to be, work and log; prefix is named after the recipe, all that it is made
# of. Prints it and ends the script when it is there already and not to be refreshed (yes). Whoever comes second waits, and finds it.
debian_once() {
	local cache=${MULTISSH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/multissh}/$1 recipe
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock 9
	recipe=$(sha256sum | cut -c1-16)
	prefix=$cache/$recipe
	if [ "$3" = yes ]; then
		rm -rf "$prefix"
	fi
	if [ -e "$prefix/versions" ]; then
		echo "$prefix"
		exit 0
	fi
	work=$cache/work-$recipe log=$work/log what=$2
	rm -rf "$work" "$prefix.new"
	mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/src" "$work/sources.d"
	trap debian_failed ERR
}

debian_failed() {
	trap - ERR
	say "$what could not be built; the last lines of $log:"
	tail -n 30 "$log" >&2
}

# debian_sources [SUITE]: the system's own mirrors, for source packages of its suite or of another one, in a place of their own: its lists stay as they are.
debian_sources() {
	local codename file
	# shellcheck source=/dev/null
	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -e "$file" ] || continue
		sed -nE "s/^deb(-src)? (.*) $codename(.*)/deb-src \2 ${1:-$codename}\3/p" "$file" >>"$work/sources.list"
	done
	for file in /etc/apt/sources.list.d/*.sources; do
		[ -e "$file" ] || continue
		# Stanzas of other distributions are not asked.
		awk -v RS= -v old="$codename" -v new="${1:-$codename}" '$0 ~ ("Suites:[^\n]*" old) {
			sub(/Types:[^\n]*/, "Types: deb-src")
			match($0, /Suites:[^\n]*/)
			suites = substr($0, RSTART, RLENGTH)
			before = substr($0, 1, RSTART - 1)
			after = substr($0, RSTART + RLENGTH)
			gsub(old, new, suites)
			print before suites after "\n"
		}' "$file" >"$work/sources.d/$(basename "$file")"
		[ -s "$work/sources.d/$(basename "$file")" ] || rm "$work/sources.d/$(basename "$file")"
	done
	touch "$work/sources.list"
	apt=(-o "Dir::Etc::sourcelist=$work/sources.list" -o "Dir::Etc::sourceparts=$work/sources.d" -o "Dir::State::lists=$work/apt/lists"
		-o "Dir::Cache=$work/apt" -o APT::Sandbox::User= -o Acquire::Languages=none)
	apt-get -q "${apt[@]}" update >>"$log" 2>&1
}

# debian_fetch PACKAGE: into work/src. A mirror may list a version that it does not hold: then the next older one that is signed, and it is said.
debian_fetch() {
	local version newest=
	for version in $(apt-cache "${apt[@]}" madison "$1" | awk -F' *[|] *' '/Sources/ { print $2 }'); do
		newest=${newest:-$version}
		if (cd "$work/src" && apt-get -q "${apt[@]}" source --only-source "$1=$version") >>"$log" 2>&1; then
			[ "$version" = "$newest" ] || say "Note: $1 $newest could not be fetched from the mirror; this is $version"
			echo "$1 $version" >>"$work/versions"
			return
		fi
	done
	say "The source package of $1 cannot be fetched; the reason is in $log"
	return 1
}

# debian_source NAME-PATTERN: the folder with the sources.
debian_source() { find "$work/src" -mindepth 1 -maxdepth 1 -type d -name "$1"; }

# What is in prefix.new is whole: takes its place, and prints it.
debian_done() {
	cp "$work/versions" "$prefix.new/versions"
	mv "$prefix.new" "$prefix"
	rm -rf "$work"
	say "Built: $(paste -sd, "$prefix/versions")"
	echo "$prefix"
}
