"""What people get: the zip, unpacked on a machine that has nothing yet."""
import os
import re
import signal
import zipfile

import pytest
from conftest import e2e, person
from kit import wine
from kit.bench import ROOT
from kit.wait import wait_for

VERSION = re.search(r"project\(multissh VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
NAME = f"multissh-{VERSION}-windows-x86_64"

bench, hub, alice, *_ = e2e.setup("module")


@pytest.fixture(scope="module")
def archive():
    why = wine.unavailable()
    path = wine.WINDOWS_BUILD / f"{NAME}.zip"
    if why or not path.exists():
        pytest.skip(why or f"there is no {path}: make windows makes it")
    return path


@pytest.fixture(scope="module")
def empty(archive):
    machine = wine.Prefix(programs=False)
    yield machine
    left = machine.close()
    if left:
        pytest.fail(f"left running on the machine: {left}", pytrace=False)


def test_what_is_in_it(archive):
    assert archive.stat().st_size < 12 << 20
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
        names = file.namelist()
        for name in ("multissh-agent.exe", "multissh-sshd.exe", "multissh.exe", "docs/multissh.txt", "README.md", "check.ps1", "licences/multissh.txt", "licences/openssl.txt"):
            assert f"{NAME}/{name}" in names, names
        assert all(name.startswith(NAME + "/") and "\\" not in name and ".." not in name for name in names)
        assert len({entry.date_time for entry in file.infolist()}) == 1, "the same from the same sources"
        script = file.read(f"{NAME}/check.ps1")
        # Windows PowerShell takes a file without a mark for one in the machine's old code page.
        assert script.isascii() or script.startswith(b"\xef\xbb\xbf")


def test_unpacked_joined_and_reached(empty, archive, bench, hub, alice):
    """The line that the hub prints, pasted where it was unpacked, and nothing else: default folders, default port."""
    downloads = empty.profile / "Downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as file:
        file.extractall(downloads)
    assert len(empty.programs()) == 0
    line = re.search(r"multissh-agent (join \S+)", hub.command("invite", "fresh").out).group(1)
    empty.authorize(alice)
    # Port 22 of this system may be anybody's; the rest is as it comes.
    agent = empty.start(bench, "agent-fresh", wine.CMD, "/d", "/c", f"multissh-agent {line} --name fresh --ssh 127.0.0.1:1", cwd=downloads / NAME)
    hub.wait_online("fresh", 40)
    wait_for(lambda: hub.machines()["fresh"].get("ssh_state") == "ok" and hub.machines()["fresh"].get("ssh") == "built-in", 20,
             lambda: f"{hub.machines()}\n{agent.log()}")
    assert alice.jump("fresh", "echo hello").ok().out == "hello\r\n"
    shell = person(alice, "fresh")
    shell.sees(r"^C:\\[^>]*>$")
    shell.types("echo a shell").sees("^a shell$")
    shell.types("exit 4")
    assert shell.leaves() == 4
    running = empty.programs()
    # The cmd that was typed into goes; so does what it runs.
    for pid in empty.find("multissh-agent"):
        os.kill(pid, signal.SIGTERM)
    empty.wait_gone(running)
    agent.popen.wait(20)
