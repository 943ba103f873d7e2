"""Fixtures of the tests of the Windows programs, under Wine: a hub, clients and networks of this system, and one Windows machine for each
worker. MULTISSH_BUILD names the build folder of the hub (default: build), MULTISSH_WINDOWS_BUILD that of the Windows programs (default:
build-windows). Without Wine, or without the programs, every test is skipped and says so."""
import importlib.util
import re
import signal
import sys
import time
from pathlib import Path

import pytest

E2E = Path(__file__).resolve().parents[1] / "e2e"
sys.path.insert(0, str(E2E))

_spec = importlib.util.spec_from_file_location("e2e_conftest", E2E / "conftest.py")
e2e = importlib.util.module_from_spec(_spec)
sys.modules["e2e_conftest"] = e2e
_spec.loader.exec_module(e2e)

from kit import wine  # noqa: E402
from kit.screen import Screen  # noqa: E402
from kit.terminal import Terminal  # noqa: E402

# The same hooks and worlds as the other end-to-end tests have.
pytest_collection_modifyitems = e2e.pytest_collection_modifyitems
pytest_runtest_makereport = e2e.pytest_runtest_makereport
tidy = e2e.tidy
need = e2e.need


def pytest_configure(config):
    e2e.pytest_configure(config)
    # Told to end, it still ends what runs on the machine.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def prefix():
    """The machine, for all tests of one worker. What is left running on it at the end is a fault."""
    why = wine.unavailable()
    if why:
        pytest.skip(why)
    machine = wine.Prefix()
    yield machine
    left = machine.close()
    if left:
        pytest.fail(f"left running on the machine: {left}", pytrace=False)


def setup(scope="module", **agent):
    """A hub, alice who may use every machine, and winbox, whose built-in server lets her in: bench, hub, alice, winbox = setup()."""
    bench, hub, alice, *_ = e2e.setup(scope)

    @pytest.fixture(scope=scope)
    def world_bench(request, prefix):  # first of all, so that nothing is made where there is no Windows
        yield from e2e.run_bench(request, scope != "function")

    @pytest.fixture(scope=scope)
    def winbox(bench, hub, alice, prefix):
        machine = wine.WinAgent(bench, hub, prefix, "winbox", users=[alice], **agent)
        machine.wait_ssh("built-in", "ok")
        alice.jump("winbox", "exit 0").ok()  # the client says something of keys that it meets for the first time
        return machine

    return world_bench, hub, alice, winbox


class Person:
    """Somebody at a terminal, who reads what is on the screen."""

    def __init__(self, bench, *argv, rows=24, columns=80, env=None):
        self.terminal = Terminal(bench, *argv, rows=rows, columns=columns, env=env)
        self.screen = Screen(rows, columns)
        self.read = 0

    def types(self, text, enter=True):
        self.terminal.send(text + ("\r" if enter else ""))
        return self

    def shown(self):
        self.screen.feed(self.terminal.shown[self.read:])
        self.read = len(self.terminal.shown)
        return self.screen.text()

    def sees(self, pattern, timeout=20.0):
        """Waits until the screen (with what went off at its top) matches; returns the match."""
        end = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.shown(), re.M)
            if match:
                return match
            left = end - time.monotonic()
            if self.terminal.ended or left <= 0:
                raise AssertionError(f"{pattern!r} {'never came' if self.terminal.ended else f'not within {timeout} s'}; the screen:\n{self.shown()}\n"
                                     f"the bytes: {self.terminal.shown[-3000:]!r}")
            self.terminal.read(left)

    def leaves(self, timeout=20.0):
        """Until the program ends: its status."""
        return self.terminal.wait(timeout)


def person(alice, machine, *words, options=(), rows=24, columns=80):
    """alice at a terminal: ssh -tt -J hub machine WORDS..."""
    return Person(alice.bench, "ssh", *alice.options(), "-tt", "-J", "hub", *options, f"{wine.ME}@{machine}", *words, rows=rows, columns=columns)


PROBE = r"C:\probe.exe"
