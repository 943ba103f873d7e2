"""multissh.exe, the client: its ssh is that of this system (kit/wine.py, SystemSsh), and so are the hub and the machine."""
import hashlib
import os
import re

import pytest
from conftest import Person, e2e

from kit.parts import ME
from kit.terminal import Terminal
from kit.wait import free_port, listening, wait_for
from kit.wine import SystemSsh

bench, hub, alice, admin, sshd, web01 = e2e.setup("module")
MIB = 1 << 20


@pytest.fixture(scope="module")
def ssh(prefix, alice, web01):
    return SystemSsh(prefix, alice)


@pytest.fixture
def client(prefix, bench, ssh):
    """multissh.exe WORDS..., whose hub is alice's."""
    def run(*words, env=None, **options):
        return prefix.run(bench, "multissh", *words, env={"MULTISSH_HUB": "hub", "MULTISSH_SSH": ssh.program, **ssh.variables, **(env or {})}, **options)
    return run


@pytest.fixture(params=["anonymous", "overlapped"])
def kind(request):
    """Of the pipes that a client on Windows gives to its ProxyCommand."""
    return request.param


@pytest.fixture
def through(ssh, alice, kind):
    """ssh of this system, whose ProxyCommand is multissh.exe."""
    proxy = ["-o", f"ProxyCommand={ssh.client(kind)} --hub hub connect %n"]

    def words(*more, options=()):
        return [*proxy, *options, f"{ME}@web01", *more]
    return words


def test_what_it_is(client):
    assert re.fullmatch(r"multissh \d+\.\d+\.\d+\r?\n", client("--version").ok().out)
    assert "%APPDATA%" in client("--help").ok().out


def test_the_machines(client, ssh):
    assert client("list").ok().out.split() == ["web01"]
    assert "list" in ssh.calls[-1] and "hub" in ssh.calls[-1]


# --- connect ---

def test_as_proxy_command(alice, through):
    data = os.urandom(3 * MIB)
    done = alice.ssh(*through("tee /dev/stderr | sha256sum; exit 7"), input=data)
    assert (done.status, done.out.split()[0]) == (7, hashlib.sha256(data).hexdigest()), done.err[-500:]
    assert data in done.raw_err
    assert alice.ssh(*through("head -c 3000000 /dev/zero | tr '\\0' x")).ok().raw == b"x" * 3_000_000


def test_it_outlives_the_hub_and_its_connections(hub, alice, through):
    session = alice.popen(*through("while read -r line; do echo \"heard $line\"; done; exit 5"))
    for number in range(3):
        session.stdin.write(b"%d\n" % number)
        assert session.stdout.readline() == b"heard %d\n" % number, session.stderr.read()
        hub.restart()
    session.stdin.close()
    assert session.wait(30) == 5


def test_many_at_once(alice, through):
    sessions = [alice.popen(*through(f"read line; echo {number} $line; exit {number}")) for number in range(5)]
    for session in reversed(sessions):
        session.stdin.write(b"said\n")
    for number, session in enumerate(sessions):
        assert session.stdout.readline() == b"%d said\n" % number, session.stderr.read()
        assert session.wait(30) == number


def test_nothing_is_left_when_ssh_is_gone(alice, through, prefix):
    session = alice.popen(*through("echo up; cat"))
    assert session.stdout.readline() == b"up\n", session.stderr.read()
    running = prefix.find("multissh")
    assert running
    session.kill()
    prefix.wait_gone(running)


def test_a_machine_that_there_is_not(alice, ssh):
    done = alice.ssh("-o", f"ProxyCommand={ssh.client()} --hub hub connect %n", "nowhere", "true").failed(255)
    assert 'there is no machine "nowhere"' in done.err, done


# --- ssh, forward ---

def test_ssh(client, ssh):
    done = client("ssh", f"{ME}@web01", "cat; exit 6", input="through both\n" * 1000)
    assert (done.status, done.raw) == (6, b"through both\n" * 1000), done


def test_forward(prefix, bench, alice, ssh):
    port, taken = free_port(), None
    words = ["--hub", "hub", "--ssh", ssh.program, "forward", "web01", "-p", str(port)]
    first = prefix.start(bench, "forward", "multissh", *words, env=ssh.variables)
    first.wait_log(rf"ssh -p {port} -o HostKeyAlias=web01\S* ", 30)
    second = prefix.start(bench, "forward", "multissh", *words, env=ssh.variables)
    taken = int(second.wait_log(r"ssh -p (\d+) -o HostKeyAlias=web01", 30).group(1))
    assert taken != port, second.log()
    for at in (port, taken):
        options = ["-p", str(at), "-o", f"HostKeyAlias=web01-{at}", f"{ME}@127.0.0.1"]
        done = alice.ssh(*options, "cat; exit 3", input=b"forwarded\n" * 20000)
        assert (done.status, done.raw) == (3, b"forwarded\n" * 20000), done
    # Several at once, and it stays when one ends.
    sessions = [alice.popen("-p", str(port), "-o", f"HostKeyAlias=web01-{port}", f"{ME}@127.0.0.1", "read line; echo $line") for _ in range(3)]
    sessions[0].kill()
    for session in sessions[1:]:
        session.stdin.write(b"still\n")
        assert session.stdout.readline() == b"still\n", session.stderr.read()
        assert session.wait(30) == 0
    assert first.running() and listening(port)


def test_ctrl_c_ends_a_forward(prefix, bench, ssh):
    port = free_port()
    terminal = Terminal(bench, *prefix.argv("multissh", "--hub", "hub", "--ssh", ssh.program, "forward", "web01", "-p", str(port)),
                        env=prefix.bench_environment(ssh.variables), columns=200)
    wait_for(lambda: terminal.read(0.1) or listening(port), 30, lambda: terminal.shown)
    terminal.send("\x03")
    terminal.wait(20)
    wait_for(lambda: not listening(port), 10)


# --- choosing ---

def test_chosen_by_its_number(client):
    done = client(input="1\necho from the shell of $USER\nexit 4\n")
    assert re.search(r"^ *1\W+web01", done.out + done.err, re.M), done
    assert done.status == 4 and f"from the shell of {ME}" in done.out, done


# --- settings ---

def test_settings_of_the_user(prefix, client):
    folder = prefix.profile / "AppData" / "Roaming" / "multissh"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "multissh.conf"
    try:
        file.write_text("nonsense = 1\n")
        client("list").failed().says("multissh.conf.*nonsense|nonsense.*multissh.conf")
        file.write_text("hub = hub\n")
        assert client("list", env={"MULTISSH_HUB": ""}).ok().out.split() == ["web01"]
    finally:
        file.unlink()


@pytest.mark.parametrize("words,env,says", [
    (["list"], {"MULTISSH_HUB": ""}, "hub"), (["connect"], {}, "NAME|name"), (["nonsense"], {}, "nonsense"),
    (["--ssh", "C:\\no-such.exe", "list"], {}, "no-such"), (["--streams", "never", "list"], {}, "streams"), (["connect", "a b"], {}, "a b|name"),
])
def test_bad_cases(client, words, env, says):
    done = client(*words, env=env).failed()
    assert re.search(says, done.err) and done.err.startswith("multissh: "), done
