#!/bin/bash
# Builds a newer libssh than the system's, static, from Debian's source package, which apt verifies. Prints the folder where it is, for
# cmake -DMULTISSH_LIBSSH=FOLDER: the programs then know the key exchanges that hold against quantum computers (sntrup761, mlkem768).
# Once: the folder is named after what it was made of, and lies outside the build folder (MULTISSH_CACHE, else ~/.cache/multissh).
# usage: libssh.sh [--suite SUITE] [--refresh]     --suite: of Debian, testing when not given; --refresh: asks for the newest first
set -euo pipefail

cache=${MULTISSH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/multissh}/libssh
suite=testing
refresh=no
export LC_ALL=C

usage() {
	echo "usage: $0 [--suite SUITE] [--refresh]" >&2
	exit 2
}
while [ $# -gt 0 ]; do
	case $1 in
	--suite) suite=${2-} && shift ;;
	--refresh) refresh=yes ;;
	*) usage ;;
	esac
	shift || usage
done
[[ $suite =~ ^[a-z-]+$ ]] || usage

say() { echo "$*" >&2; }

# Whoever comes second waits, and finds it.
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

recipe=$({ cat "$0" && echo "$suite" && cc --version && openssl version; } | sha256sum | cut -c1-16)
prefix=$cache/$recipe
if [ "$refresh" = yes ]; then
	rm -rf "$prefix"
fi
if [ -e "$prefix/version" ]; then
	echo "$prefix"
	exit 0
fi

work=$cache/work-$recipe
rm -rf "$work" "$prefix.new"
mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/src"
log=$work/log
failed() {
	say "libssh could not be built; the last lines of $log:"
	tail -n 30 "$log" >&2
}
trap failed ERR

# In a place of its own: the system's lists stay as they are.
echo "deb-src http://deb.debian.org/debian $suite main" >"$work/sources.list"
apt=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$work/apt/lists"
	-o "Dir::Cache=$work/apt" -o APT::Sandbox::User= -o Acquire::Languages=none)
say "Fetching libssh from Debian's archive ($suite)"
apt-get -q "${apt[@]}" update >"$log" 2>&1
cd "$work/src"
apt-get -q "${apt[@]}" source --only-source libssh >>"$log" 2>&1
version=$(apt-cache "${apt[@]}" madison libssh | awk -F' *[|] *' '/Sources/ { print $2; exit }')

say "Building libssh $version"
from=$(find "$work/src" -mindepth 1 -maxdepth 1 -type d -name 'libssh-*')
# It reads its socket in pieces of MAX_BUF_SIZE, 4,096 bytes otherwise.
{
	cmake -S "$from" -B "$work/build" -DCMAKE_BUILD_TYPE=None -DCMAKE_INSTALL_PREFIX="$prefix.new" -DCMAKE_INSTALL_LIBDIR=lib \
		-DCMAKE_C_FLAGS="-O3 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fvisibility=hidden -DMAX_BUF_SIZE=65536" -DCMAKE_POSITION_INDEPENDENT_CODE=ON \
		-DBUILD_SHARED_LIBS=OFF -DWITH_SERVER=ON -DWITH_SFTP=OFF -DWITH_ZLIB=OFF -DWITH_GSSAPI=OFF -DWITH_EXAMPLES=OFF -DWITH_NACL=OFF -DWITH_PCAP=OFF \
		-DWITH_FIDO2=OFF -DUNIT_TESTING=OFF
	cmake --build "$work/build" -j"$(nproc)"
	cmake --install "$work/build"
} >>"$log" 2>&1
cp "$from/debian/copyright" "$prefix.new/copyright"
echo "libssh $version" >"$prefix.new/version"
mv "$prefix.new" "$prefix"
rm -rf "$work"
say "Built: libssh $version"
echo "$prefix"
