#!/bin/bash
# Builds a newer libssh than the system's, static, from Debian's source package. Prints the folder where it is, for
# cmake -DMULTISSH_LIBSSH=FOLDER: the programs then know the key exchanges that hold against quantum computers (sntrup761, mlkem768).
# Once: the folder is named after what it was made of, and lies outside the build folder (MULTISSH_CACHE, else ~/.cache/multissh).
# usage: libssh.sh [--suite SUITE] [--refresh]     --suite: of Debian, testing when not given; --refresh: asks for the newest first
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/debian-lib.sh
. "$here/debian-lib.sh"
suite=testing
refresh=no

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

debian_once libssh libssh "$refresh" < <(cat "$here/libssh.sh" "$here/debian-lib.sh" && echo "$suite" && cc --version && openssl version)
say "Fetching libssh from Debian's archive ($suite)"
debian_sources "$suite"
debian_fetch libssh

say "Building $(cat "$work/versions")"
from=$(debian_source 'libssh-*')
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
debian_done
