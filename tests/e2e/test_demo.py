"""make demo, as a new user sees it."""
import os
import pwd
import re
import shutil
import signal

import pytest
from kit import proc
from kit.bench import BUILD, ROOT
from kit.wait import wait_for


def check(done):
    done.ok()
    text = done.out
    assert "This is a message from the remoteServer. Here are all available localServers:" in text
    message = text.index("Here are all available localServers:")
    assert re.search(r"localServers:\n +nas\n +web01\n", text[message - 60:]), text
    assert re.search(r"hello from \S+, as \S+, coming from 127\.\d+\.\d+\.\d+", text), text
    assert re.search(r"nas.*(no SSH server|refused|SSH)", text[text.index("== 7."):], re.I), text


def nothing_left(bench):
    left = [proc.command_of(pid) for pid in proc.children(os.getpid()) if "multissh-demo" in proc.command_of(pid)]
    assert left == []


def test_demo_runs_twice(bench):
    for _ in range(2):
        check(bench.run(ROOT / "scripts/demo.sh", BUILD, timeout=60))
        nothing_left(bench)


def test_demo_touches_no_ssh_folder(bench):
    folder = bench.home() / ".ssh"
    check(bench.run(ROOT / "scripts/demo.sh", BUILD, timeout=60))
    assert not folder.exists()


def test_demo_as_an_ordinary_user(bench):
    if os.geteuid() != 0:
        pytest.skip("the other tests are run by an ordinary user already")
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    nobody = pwd.getpwnam("games")  # a user that every Debian has, with a shell of its own
    home = bench.folder("ordinary")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    bench.root.chmod(0o755)
    # The checkout may be where only its owner may go, as in /root.
    copy = bench.folder("copy")
    copy.chmod(0o755)
    for file in [ROOT / "scripts/demo.sh", *BUILD.glob("multissh-*")]:
        if file.is_file():
            shutil.copy(file, copy)
    done = bench.run("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", copy / "demo.sh", copy,
                     timeout=60, env={"HOME": str(home), "LOGNAME": "games", "USER": "games"}, cwd=home)
    # Its login shell is /usr/sbin/nologin: the jump itself reaches that far, and says so.
    assert "localServers:" in done.out, done
    assert re.search(r"This account is currently not available|hello from", done.out + done.err), done
    nothing_left(bench)


def test_demo_interrupted(bench):
    demo = bench.start("demo", ROOT / "scripts/demo.sh", BUILD)
    demo.wait_log("== 4", timeout=30)
    folder = re.search(r"in (/tmp/multissh-demo\.\w+)", demo.log()).group(1)
    demo.send(signal.SIGINT)
    assert demo.popen.wait(15) == 130
    wait_for(lambda: not os.path.exists(folder), 5, folder)
    nothing_left(bench)
