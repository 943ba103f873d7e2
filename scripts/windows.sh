#!/bin/bash
# Cross-builds the Windows programs and packs them: FOLDER/multissh-VERSION-windows-x86_64.zip, the same bytes from the same sources.
# usage: windows.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 1 ] || {
	echo "usage: $0 FOLDER" >&2
	exit 2
}
folder=$1
host=x86_64-w64-mingw32
version=$(sed -nE 's/^project\(multissh VERSION ([0-9.]+).*/\1/p' CMakeLists.txt)
name=multissh-$version-windows-x86_64
size_max=$((12 * 1024 * 1024))
export TZ=UTC LC_ALL=C

libs=$(scripts/windows-libs.sh)
scripts/build.sh "$folder" -DCMAKE_TOOLCHAIN_FILE="$PWD/cmake/mingw.cmake" -DMULTISSH_WINDOWS_LIBS="$libs" -DMULTISSH_TESTS=ON

packed=$(mktemp -d)
trap 'rm -rf "$packed"' EXIT
mkdir -p "$packed/$name/docs" "$packed/$name/licences"
for program in multissh-agent multissh-sshd multissh; do
	$host-strip -p -o "$packed/$name/$program.exe" "$folder/$program.exe"
	# A DLL that does not come with Windows would be missed only there.
	strange=$($host-objdump -p "$packed/$name/$program.exe" | sed -nE 's/^\s*DLL Name: (.*)/\1/p' |
		grep -viE '^(advapi32|bcrypt|crypt32|dbghelp|gdi32|iphlpapi|kernel32|msvcrt|netapi32|ntdll|ole32|psapi|secur32|shell32|user32|userenv|winhttp|ws2_32)\.dll$' || true)
	[ -z "$strange" ] || {
		echo "$program.exe needs what does not come with Windows: $strange" >&2
		exit 1
	}
done
cp packaging/windows/README.md packaging/windows/check.ps1 "$packed/$name/"
for page in multissh.1 multissh-agent.8 multissh-agent.conf.5 multissh-sshd.8 multissh-sshd.conf.5; do
	mandoc -Tutf8 -O width=100 "man/$page" | col -b >"$packed/$name/docs/${page%.*}.txt"
done
cp LICENSE "$packed/$name/licences/multissh.txt"
for package in openssl libssh libuv1 cjson; do
	cp "$libs/copyright/$package.txt" "$packed/$name/licences/"
done
grep -v ^cmocka "$libs/versions" >"$packed/$name/licences/versions.txt"

# One time stamp for all: the zip tells what is in it and not when it was made.
find "$packed/$name" -exec touch -h -d '2000-01-01 00:00:00' {} +
(
	cd "$packed"
	find "$name" -type f | sort | zip -q -X -9 "$name.zip" -@
)
mv "$packed/$name.zip" "$folder/$name.zip"
size=$(stat -c %s "$folder/$name.zip")
if [ "$size" -ge $size_max ]; then
	echo "$folder/$name.zip has $size bytes, more than $size_max" >&2
	exit 1
fi
echo "Packed $folder/$name.zip: $((size / 1024)) KiB, sha256 $(sha256sum "$folder/$name.zip" | cut -d' ' -f1)"
