"""make demo, as a new user sees it."""
import os
import pwd
import re
import shutil
import signal
import subprocess

import pytest
from conftest import plain_only
from kit import net as kit_net
from kit import proc
from kit.bench import BUILD, ROOT
from kit.wait import wait_for


def check(done, web01="openssh", came_from=r"127\.\d+\.\d+\.\d+"):
    done.ok()
    text = done.out
    assert "This is a message from the remoteServer. Here are all available localServers:" in text
    message = text.index("Here are all available localServers:")
    assert re.search(r"localServers:\n +nas\n +web01\n", text[message - 60:]), text
    assert re.search(r"nas +online .* built-in ", text) and re.search(rf"web01 +online .* {web01} ", text), text
    parts = re.split(r"^== (?=\d)", text, flags=re.M)
    assert re.search(rf"hello from \S+, as \S+, coming from {came_from}$", parts[6], re.M), text
    # The machine without an SSH server.
    assert re.search(r"a terminal: /dev/pts/\d+, \S+", parts[7]), text
    assert re.search(r"hello from \S+, as \S+, coming from 127\.0\.0\.1, without sshd", parts[7]), text
    assert re.search(r"-rw\S+ .* 588895 .* files/numbers\.txt", parts[7]), text
    assert re.search(r"\$ (rsync|scp) .*nas:copy/", parts[7]) and "The copy is the same." in parts[7], text
    assert 'there is no machine "printer" that you may use' in parts[8], text


def nothing_left(bench):
    left = [proc.command_of(pid) for pid in proc.children(os.getpid()) if "multissh" in proc.command_of(pid)]
    assert left == []


def test_demo_runs_twice(bench):
    for _ in range(2):
        check(bench.run(ROOT / "scripts/demo.sh", BUILD, timeout=60))
        nothing_left(bench)


@plain_only
def test_demo_touches_no_ssh_folder(bench):
    folder = bench.home() / ".ssh"
    check(bench.run(ROOT / "scripts/demo.sh", BUILD, timeout=60))
    assert not folder.exists()


def in_a_world(bench, *words):
    """A command with mounts of its own, or a skip."""
    if os.geteuid() != 0:
        pytest.skip("a world of its own needs root")
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", 'mount --bind "$0" "$1"; shift; exec "$@"', *words]
    if subprocess.run([*argv[:4], "sh", "-c", "mount --bind /dev/null /etc/hostname"], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounts of its own are not to be had here")
    return argv


def test_demo_without_sshd(bench):
    """On a machine that has none installed, both machines of the demo use the built-in server."""
    check(bench.run(*in_a_world(bench, "/dev/null", "/usr/sbin/sshd", ROOT / "scripts/demo.sh", BUILD), timeout=60), web01="built-in")
    nothing_left(bench)


@plain_only
def test_demo_as_an_ordinary_user(bench):
    if os.geteuid() != 0:
        pytest.skip("the other tests are run by an ordinary user already")
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    someone = pwd.getpwnam("games")  # a user that every Debian has; here with a shell
    home = bench.folder("ordinary")
    os.chown(home, someone.pw_uid, someone.pw_gid)
    bench.root.chmod(0o755)
    users = bench.path("passwd")
    users.write_text("".join(
        f"games:x:{someone.pw_uid}:{someone.pw_gid}:games:{home}:/bin/bash\n" if line.startswith("games:") else line
        for line in open("/etc/passwd", encoding="utf-8")))
    users.chmod(0o644)
    # The checkout may be where only its owner may go, as in /root.
    copy = bench.folder("copy")
    copy.chmod(0o755)
    for file in [ROOT / "scripts/demo.sh", ROOT / "scripts/demo-lib.sh", *BUILD.glob("multissh-*")]:
        if file.is_file():
            shutil.copy(file, copy)
    done = bench.run(*in_a_world(bench, users, "/etc/passwd", "setpriv", f"--reuid={someone.pw_uid}", f"--regid={someone.pw_gid}", "--clear-groups",
                                 copy / "demo.sh", copy),
                     timeout=60, env={"HOME": str(home), "LOGNAME": "games", "USER": "games"}, cwd=home)
    check(done)
    assert "as games" in done.out
    nothing_left(bench)


@plain_only
def test_demo_interrupted(bench):
    demo = bench.start("demo", ROOT / "scripts/demo.sh", BUILD)
    demo.wait_log("== 4", timeout=30)
    folder = re.search(r"in (/tmp/multissh-demo\.\w+)", demo.log()).group(1)
    demo.send(signal.SIGINT)
    assert demo.popen.wait(15) == 130
    wait_for(lambda: not os.path.exists(folder), 5, folder)
    nothing_left(bench)


# --- demo-survive ---

def check_survived(done):
    done.ok()
    parts = re.split(r"^== (?=\d)", done.out, flags=re.M)
    assert len(parts) == 8, done.out
    for part in (4, 5, 6):
        assert re.search(r"the counter goes on: \d+, \d+\.\d s after that", parts[part]), parts[part]
    # Cut means cut.
    stopped = re.findall(r"the counter shows (\d+)", parts[4].partition("the network is back")[0])
    assert len(stopped) == 8 and len(set(stopped[1:])) == 1, parts[4]
    assert re.search(r"alice +web01 .* open ", parts[5]), parts[5]
    numbers = re.search(r"1 to (\d+): every number came, each once, in order\.", parts[7])
    assert int(numbers.group(1)) > int(stopped[-1]), done.out
    assert "Killed" not in done.err, done.err


def namespaces():
    return {line.split()[0] for line in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.splitlines()
            if line.startswith("msd")}


@pytest.mark.slow
def test_demo_survive(bench):
    if kit_net.unavailable():
        pytest.skip(kit_net.unavailable())
    done = bench.run(ROOT / "scripts/demo-survive.sh", BUILD, timeout=120)
    check_survived(done)
    assert "behind a NAT router" in done.out
    nothing_left(bench)


@pytest.mark.slow
@plain_only
def test_demo_survive_on_loopback(bench):
    done = bench.run(ROOT / "scripts/demo-survive.sh", "--loopback", BUILD, timeout=120)
    check_survived(done)
    assert "behind a relay that can be cut" in done.out
    nothing_left(bench)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["== 2", "the counter shows 1", "the hub is dead"])
def test_demo_survive_interrupted(bench, when):
    """Even where the hub is dead and only its sessions live."""
    variant = ["--loopback"] if kit_net.unavailable() else []
    demo = bench.start("demo", ROOT / "scripts/demo-survive.sh", *variant, BUILD)
    demo.wait_log(when, timeout=90)
    folder = re.search(r"in (/tmp/multissh-demo\.\w+)", demo.log()).group(1)
    made = None if variant else [name for name in namespaces() if name.startswith(f"msd{demo.pid}-")]
    demo.send(signal.SIGINT)
    assert demo.popen.wait(30) == 130, demo.log()
    assert not os.path.exists(folder)
    if made is not None:
        assert made and not set(made) & namespaces(), made
    nothing_left(bench)
