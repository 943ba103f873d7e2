#!/bin/bash
# Cross-compiles the libraries of the Windows programs, static, from Debian's source packages. Prints the folder where they are.
# Once: the folder is named after what it was made of, and lies outside the build folder (MULTISSH_CACHE, else ~/.cache/multissh).
# usage: windows-libs.sh [--refresh]     --refresh: asks for the newest source packages first
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/debian-lib.sh
. "$here/debian-lib.sh"
host=x86_64-w64-mingw32
packages=(openssl libssh libuv1 cjson cmocka) # cmocka: for the tests alone
# No time stamps in what is built.
export SOURCE_DATE_EPOCH=0

refresh=no
case ${1-} in
"") ;;
--refresh) refresh=yes ;;
*)
	echo "usage: $0 [--refresh]" >&2
	exit 2
	;;
esac

debian_once windows "The Windows libraries" "$refresh" < <(cat "$here/windows-libs.sh" "$here/debian-lib.sh" "$here/../cmake/mingw.cmake" && $host-gcc --version)
say "Fetching the sources of ${packages[*]} from Debian's archive"
debian_sources "" # the suite of this system
for package in "${packages[@]}"; do
	debian_fetch "$package"
done

jobs=$(nproc)
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
	cd "$(debian_source 'openssl-*')"
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
	build_cmake "$(debian_source 'libuv1-*')" -DLIBUV_BUILD_TESTS=OFF -DLIBUV_BUILD_BENCH=OFF
	# CJSON_HIDE_SYMBOLS: a program exports nothing.
	build_cmake "$(debian_source 'cjson-*')" -DCMAKE_C_FLAGS="$flags -DCJSON_HIDE_SYMBOLS" -DENABLE_CJSON_TEST=OFF -DENABLE_CJSON_UTILS=OFF -DENABLE_CUSTOM_COMPILER_FLAGS=OFF -DBUILD_SHARED_AND_STATIC_LIBS=OFF
	build_cmake "$(debian_source 'cmocka-*')" -DWITH_STATIC_LIB=ON -DWITH_EXAMPLES=OFF -DUNIT_TESTING=OFF
} >>"$log" 2>&1

say "Building libssh"
# It reads its socket in pieces of that size, and on Windows each read costs much; 4,096 otherwise.
flags+=" -DMAX_BUF_SIZE=65536"
build_cmake "$(debian_source 'libssh-*')" -DWITH_SERVER=ON -DWITH_SFTP=OFF -DWITH_ZLIB=OFF -DWITH_GSSAPI=OFF -DWITH_EXAMPLES=OFF -DWITH_NACL=OFF \
	-DWITH_PCAP=OFF -DUNIT_TESTING=OFF -DCMAKE_DISABLE_FIND_PACKAGE_Threads=ON -DCMAKE_USE_WIN32_THREADS_INIT=ON -DOPENSSL_ROOT_DIR="$prefix.new" -DOPENSSL_USE_STATIC_LIBS=ON >>"$log" 2>&1

# Whoever gets the programs gets the terms of what is in them.
mkdir "$prefix.new/copyright"
for package in "${packages[@]}"; do
	source=${package%1} # libuv1 comes as libuv1-1.44
	cp "$(debian_source "$source*")/debian/copyright" "$prefix.new/copyright/$package.txt"
done
debian_done
