#!/bin/bash
# Cross-compiles the libraries of the Windows programs, static, from Debian's source packages, which apt verifies. Prints the folder where they are.
# Once: the folder is named after what it was made of, and lies outside the build folder (MULTISSH_CACHE, else ~/.cache/multissh).
# usage: windows-libs.sh [--refresh]     --refresh: asks for the newest source packages first
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${MULTISSH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/multissh}/windows
host=x86_64-w64-mingw32
packages=(openssl libssh libuv1 cjson cmocka) # cmocka: for the tests alone
# No time stamps in what is built.
export SOURCE_DATE_EPOCH=0 LC_ALL=C

refresh=no
case ${1-} in
"") ;;
--refresh) refresh=yes ;;
*)
	echo "usage: $0 [--refresh]" >&2
	exit 2
	;;
esac

say() { echo "$*" >&2; }

# Whoever comes second waits, and finds them.
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

# The recipe and the compiler name the folder; --refresh makes it anew.
recipe=$({ cat "$here/windows-libs.sh" "$here/../cmake/mingw.cmake" && $host-gcc --version; } | sha256sum | cut -c1-16)
prefix=$cache/libs-$recipe
if [ "$refresh" = yes ]; then
	rm -rf "$prefix"
fi
if [ -e "$prefix/versions" ]; then
	echo "$prefix"
	exit 0
fi

work=$cache/work-$recipe
rm -rf "$work" "$prefix.new"
mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/src"
log=$work/log
failed() {
	say "The Windows libraries could not be built; the last lines of $log:"
	tail -n 30 "$log" >&2
}
trap failed ERR

# The machine's own sources, for source packages, in a place of their own: the system's lists stay as they are.
# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
sources() {
	if [ -e /etc/apt/sources.list ]; then
		sed -nE "s/^deb(-src)? (.* $codename.*)/deb-src \2/p" /etc/apt/sources.list >"$work/sources.list"
	fi
	mkdir "$work/sources.d"
	local file
	for file in /etc/apt/sources.list.d/*.list; do
		[ -e "$file" ] || continue
		sed -nE "s/^deb(-src)? (.* $codename.*)/deb-src \2/p" "$file" >>"$work/sources.list"
	done
	for file in /etc/apt/sources.list.d/*.sources; do
		[ -e "$file" ] || continue
		# Stanzas of other distributions are not asked.
		awk -v RS= -v codename="$codename" '$0 ~ ("Suites:[^\n]*" codename) { sub(/Types:[^\n]*/, "Types: deb-src"); print $0 "\n" }' "$file" \
			>"$work/sources.d/$(basename "$file")"
		[ -s "$work/sources.d/$(basename "$file")" ] || rm "$work/sources.d/$(basename "$file")"
	done
}
sources
touch "$work/sources.list"
apt=(-o "Dir::Etc::sourcelist=$work/sources.list" -o "Dir::Etc::sourceparts=$work/sources.d" -o "Dir::State::lists=$work/apt/lists"
	-o "Dir::Cache=$work/apt" -o APT::Sandbox::User= -o Acquire::Languages=none)

# A mirror may list a version that it does not hold: then the next older one that is signed, and it is said.
fetch() {
	local version newest=
	for version in $(apt-cache "${apt[@]}" madison "$1" | awk -F' *[|] *' '/Sources/ { print $2 }'); do
		newest=${newest:-$version}
		if apt-get -q "${apt[@]}" source --only-source "$1=$version" >>"$log" 2>&1; then
			[ "$version" = "$newest" ] || say "Note: $1 $newest could not be fetched from the mirror; this is $version"
			echo "$1 $version" >>"$work/versions"
			return
		fi
	done
	say "The source package of $1 cannot be fetched; the reason is in $log"
	return 1
}

say "Fetching the sources of ${packages[*]} from Debian's archive"
apt-get -q "${apt[@]}" update >>"$log" 2>&1
cd "$work/src"
for package in "${packages[@]}"; do
	fetch "$package"
done

jobs=$(nproc)
source_of() { find "$work/src" -mindepth 1 -maxdepth 1 -type d -name "$1"; }
flags="-O2 -g0 -fstack-protector-strong -ffile-prefix-map=$work/src=."
build_cmake() {
	local from=$1
	shift
	cmake -S "$from" -B "$from/build-windows" -DCMAKE_TOOLCHAIN_FILE="$here/../cmake/mingw.cmake" -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="$flags" \
		-DCMAKE_INSTALL_PREFIX="$prefix.new" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_PREFIX_PATH="$prefix.new" -DBUILD_SHARED_LIBS=OFF "$@"
	cmake --build "$from/build-windows" -j"$jobs"
	cmake --install "$from/build-windows"
}

say "Building OpenSSL (some minutes)"
{
	cd "$(source_of 'openssl-*')"
	# It reads no configuration and loads no module, and where it would look only administrators may write: a file that somebody puts there must not
	# run in a service.
	./Configure mingw64 --cross-compile-prefix=$host- --prefix=/multissh --libdir=lib \
		no-shared no-tests no-module no-legacy no-dso no-dynamic-engine no-capieng no-padlockeng no-autoload-config -O2 -g0 -fstack-protector-strong
	nowhere=C:/Windows/System32/openssl
	make -j"$jobs" OPENSSLDIR=$nowhere ENGINESDIR=$nowhere MODULESDIR=$nowhere build_libs
	make DESTDIR="$work/openssl" install_dev
	mkdir "$prefix.new"
	mv "$work/openssl/multissh/include" "$work/openssl/multissh/lib" "$prefix.new/"
} >>"$log" 2>&1

say "Building libuv, cJSON and cmocka"
{
	build_cmake "$(source_of 'libuv1-*')" -DLIBUV_BUILD_TESTS=OFF -DLIBUV_BUILD_BENCH=OFF
	# CJSON_HIDE_SYMBOLS: a program exports nothing.
	build_cmake "$(source_of 'cjson-*')" -DCMAKE_C_FLAGS="$flags -DCJSON_HIDE_SYMBOLS" -DENABLE_CJSON_TEST=OFF -DENABLE_CJSON_UTILS=OFF -DENABLE_CUSTOM_COMPILER_FLAGS=OFF -DBUILD_SHARED_AND_STATIC_LIBS=OFF
	build_cmake "$(source_of 'cmocka-*')" -DWITH_STATIC_LIB=ON -DWITH_EXAMPLES=OFF -DUNIT_TESTING=OFF
} >>"$log" 2>&1

say "Building libssh"
# It reads its socket in pieces of that size, and on Windows each read costs much; 4,096 otherwise.
flags+=" -DMAX_BUF_SIZE=65536"
build_cmake "$(source_of 'libssh-*')" -DWITH_SERVER=ON -DWITH_SFTP=OFF -DWITH_ZLIB=OFF -DWITH_GSSAPI=OFF -DWITH_EXAMPLES=OFF -DWITH_NACL=OFF \
	-DWITH_PCAP=OFF -DUNIT_TESTING=OFF -DCMAKE_DISABLE_FIND_PACKAGE_Threads=ON -DCMAKE_USE_WIN32_THREADS_INIT=ON -DOPENSSL_ROOT_DIR="$prefix.new" -DOPENSSL_USE_STATIC_LIBS=ON >>"$log" 2>&1

# Whoever gets the programs gets the terms of what is in them.
mkdir "$prefix.new/copyright"
for package in "${packages[@]}"; do
	source=${package%1} # libuv1 comes as libuv1-1.44
	cp "$(find "$work/src" -mindepth 1 -maxdepth 1 -type d -name "$source*")/debian/copyright" "$prefix.new/copyright/$package.txt"
done
cp "$work/versions" "$prefix.new/versions"
mv "$prefix.new" "$prefix"
rm -rf "$work"
say "Built: $(paste -sd, "$prefix/versions")"
echo "$prefix"
