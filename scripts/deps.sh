#!/bin/bash
# Installs the Debian packages that a purpose needs, after saying which. Does nothing, and asks no network, when all are there.
# usage: deps.sh [--check] build|test|demo|demo-survive|bench|lint|windows|check-windows...     --check: only say what is missing (status 1)
set -euo pipefail

usage() {
	echo "usage: $0 [--check] build|test|demo|demo-survive|bench|lint|windows|check-windows..." >&2
	exit 2
}

check=no
wanted=()
for arg in "$@"; do
	case $arg in
	--check) check=yes ;;
	build) wanted+=(gcc libc6-dev make cmake pkgconf libssl-dev libuv1-dev libcjson-dev libsqlite3-dev
		libseccomp-dev libssh-dev libpam0g-dev) ;;
	demo) wanted+=(openssh-client openssh-server rsync) ;;
	demo-survive) wanted+=(openssh-client openssh-server iproute2 nftables) ;;
	bench) wanted+=(openssh-client openssh-server openssh-sftp-server python3 dpkg-dev xz-utils) ;;
	test) wanted+=(libcmocka-dev openssh-client openssh-server openssh-sftp-server python3 python3-pytest python3-pytest-xdist
		python3-paramiko python3-asyncssh python3-cryptography putty-tools dropbear-bin autossh tinyproxy-bin rsync git
		nftables iproute2 mandoc sshfs fuse3 ansible-core valgrind strace) ;;
	lint) wanted+=(clang clang-tidy shellcheck mandoc libcmocka-dev) ;;
	windows) wanted+=(gcc-mingw-w64-x86-64 mingw-w64-tools cmake make dpkg-dev xz-utils perl zip mandoc bsdextrautils) ;;
	check-windows) wanted+=(wine64 wine) ;;
	*) usage ;;
	esac
done
[ ${#wanted[@]} -gt 0 ] || usage

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	if [ "$check" = yes ]; then
		exit 0 # not Debian: the build itself will say what it lacks
	fi
	echo "This is not Debian or one of its kind, so packages cannot be installed from here. What is needed, by Debian's names:" >&2
	printf '  %s\n' "${wanted[@]}" >&2
	echo "If all of that is there, go on with: make" >&2
	# Those who have everything under other names must not be stopped.
	exit 0
fi

missing=()
mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)
for package in "${wanted[@]}"; do
	if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]; then
		missing+=("$package")
	fi
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$check" = yes ]; then
	echo "Missing Debian packages: ${missing[*]}" >&2
	echo "Next: 'make deps' installs them (or: apt-get install ${missing[*]})" >&2
	exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "These Debian packages are missing, and there is no sudo: ${missing[*]}" >&2
		echo "Next: as root, apt-get install ${missing[*]}" >&2
		exit 1
	fi
	as_root=(sudo)
fi

echo "Installing these Debian packages: ${missing[*]}"
# A service that comes with a package (openssh-server's ssh, tinyproxy) is neither started now nor enabled for the next boot: only the programs are wanted.
policy=/usr/sbin/policy-rc.d
made_policy=no
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
	"${as_root[@]}" chmod 755 $policy
	made_policy=yes
fi
finish() {
	if [ $made_policy = yes ]; then
		"${as_root[@]}" rm -f $policy
	fi
}
trap finish EXIT

export DEBIAN_FRONTEND=noninteractive
quiet=(-y -q --no-install-recommends -o Dpkg::Use-Pty=0)
if ! "${as_root[@]}" apt-get install "${quiet[@]}" "${missing[@]}" >/dev/null 2>&1; then
	# The lists may be old or not there at all.
	"${as_root[@]}" apt-get update -q
	if ! "${as_root[@]}" apt-get install "${quiet[@]}" "${missing[@]}"; then
		echo "apt-get could not install: ${missing[*]}" >&2
		echo "Next: see its message above; on a release older than Debian 12 some are not to be had." >&2
		exit 1
	fi
fi
for package in "${missing[@]}"; do
	if [ "$package" = openssh-server ] && [ -d /run/systemd/system ]; then
		"${as_root[@]}" systemctl disable --quiet ssh.service 2>/dev/null || true
		echo "openssh-server is installed; its service was left off (to switch it on: systemctl enable --now ssh)."
	fi
done
echo "Installed."
