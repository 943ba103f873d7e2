# A thin wrapper around CMake: `make help` says what there is. On a fresh Debian 12 only make and git are needed;
# `make demo`, `make check` and `make deps` install the rest, and say so first.
BUILD ?= build
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)

.PHONY: all deps demo demo-survive check check-long windows check-windows bench bench-sshd lint install clean help

all:
	@scripts/deps.sh --check build
	@scripts/build.sh $(BUILD) -DMULTISSH_TESTS=OFF

deps:
	@scripts/deps.sh build

demo:
	@scripts/deps.sh build demo
	@scripts/build.sh $(BUILD) -DMULTISSH_TESTS=OFF
	@scripts/demo.sh $(BUILD)

demo-survive:
	@scripts/deps.sh build demo-survive
	@scripts/build.sh $(BUILD) -DMULTISSH_TESTS=OFF
	@scripts/demo-survive.sh $(BUILD)

check:
	@scripts/deps.sh build test
	@scripts/check.sh

check-long:
	@scripts/deps.sh build test
	@scripts/check.sh --long

# The programs for Windows, cross-built, and their zip in build-windows/.
windows:
	@scripts/deps.sh windows
	@scripts/windows.sh build-windows

# Their tests, under Wine, with a hub and clients of this system: make check-windows ARGS="-k sftp"
check-windows:
	@scripts/deps.sh build test windows check-windows
	@scripts/check-windows.sh $(ARGS)

# make bench BENCH="--figures jumps --pairs 3": what there is to choose, bench/run.py --help says, and bench/sshd.py --help.
bench bench-sshd:
	@scripts/deps.sh build bench
	@scripts/build.sh $(BUILD) -DMULTISSH_TESTS=OFF
	@cmake --build $(BUILD) --target bench-programs -j $(JOBS) >/dev/null
	$(if $(filter bench,$@),@scripts/build-newer.sh $(BUILD)/newer)
	@/usr/bin/python3 bench/$(if $(filter bench,$@),run,sshd).py --build $(BUILD) $(BENCH)

lint:
	@scripts/deps.sh build lint
	@scripts/lint.sh

install: all
	cmake --install $(BUILD) --prefix $(PREFIX)

clean:
	rm -rf build build-asan build-clang build-windows

help:
	@echo 'make            build the programs into $(BUILD)/'
	@echo 'make deps       install the Debian packages that the build needs'
	@echo 'make demo       build, then show a hub, two machines and a jump on this computer; leaves nothing behind'
	@echo 'make demo-survive  build, then cut the network of a machine and kill the hub under a session that goes on (as root, best)'
	@echo 'make check      unit and end-to-end tests, plain and with the sanitizers (about fifteen minutes)'
	@echo 'make windows    the programs for Windows, cross-built with mingw-w64: build-windows/multissh-VERSION-windows-x86_64.zip'
	@echo 'make check-windows  the tests of these, under Wine (about five minutes)'
	@echo 'make check-long the long tests: 1 GiB each way, with and without a rekey every megabyte; every fault of the network under'
	@echo '                transfers and sessions, SURVIVE_ROUNDS=20 times each (two hours; fewer rounds, less)'
	@echo 'make bench      hub, agent and jumps beside an OpenSSH bastion, as root; writes bench/RESULTS.md and bench/results.svg'
	@echo 'make bench-sshd file transfers with the built-in server beside OpenSSH (about twenty minutes); writes bench/RESULTS.md'
	@echo 'make lint       compiler warnings (gcc and clang), clang-tidy, shellcheck, man pages, layering'
	@echo 'make install    build and install below PREFIX=$(PREFIX)'
	@echo 'make clean      remove the build folders'
