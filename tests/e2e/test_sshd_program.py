"""multissh-sshd as a program: help, checks, exit codes, bad options and files, host keys, and how it is started."""
import contextlib
import os
import re
import signal
import socket
import subprocess

import pytest
from conftest import root_only, worlds
from kit.bench import program, sanitized
from kit.builtin import INSIDE, BuiltIn, Visitor
from kit.parts import keygen, public_key
from kit.proc import command_of

bench, world = worlds()
KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]{68}")


@pytest.fixture(scope="module")
def server(world):
    return BuiltIn(world)


@pytest.fixture
def run(world, bench):
    """The program with a state folder of its own, as the world's user."""
    state = f"{world.accounts[world.login].home}/state-{bench.number()}" if not world.root else f"/root/state-{bench.number()}"

    def run(*words, state=state, **options):
        return world.run(f"{INSIDE}/bin/multissh-sshd", *(["--state", state] if state else []), *words, user=world.server_user, **options)

    run.state = state
    return run


def names():
    out = subprocess.run([program("multissh-sshd"), "--dump-options"], capture_output=True, text=True, check=True).stdout
    return [line.split("\t")[0] for line in out.splitlines()]


def test_help_and_version(run):
    done = run("--help").ok()
    assert done.err == ""
    for name in names():
        assert f"--{name}" in done.out, name
    assert re.fullmatch(r"multissh-sshd \d+\.\d+\.\d+\S*\n", run("--version").ok().out)


@pytest.mark.parametrize("words,named", [
    ((), "--help"), (("--inetd", "--nosuch", "1"), "--nosuch"), (("extra",), "extra"), (("--check", "--login-grace", "soon"), "login-grace"),
    (("--check", "--login-grace", "0"), "login-grace"), (("--check", "--root-login", "maybe"), "root-login"), (("--check", "--sessions-max", "0"), "sessions-max"),
    (("--check", "--sessions-max", "1001"), "sessions-max"), (("--check", "--sessions-max", "40", "--channels-max", "39"), "channels-max"),
    (("--check", "--passwords", "yes", "--pam", "no"), "pam"), (("--check", "--pam-service", "../x"), "pam-service"), (("--check", "--pty=perhaps"), "pty"),
    (("--inetd", "--peer", "nobody"), "--peer"), (("--inetd", "--peer", "1.2.3.4:99999"), "--peer"), (("--check", "--state"), "--state"),
    (("--inetd", "--sftp"), "--"), (("--read-only", "--inetd"), "--read-only")])
def test_wrong_words(run, words, named):
    done = run(*words, state=None if "--state" in words else run.state, timeout=20).failed(2)
    assert named in done.err and done.out == "", done
    assert len(done.err.splitlines()) == 1, done


def test_check(run, world):
    done = run("--check", "--motd", "no").ok()
    assert [line.split(" = ")[0] for line in done.out.splitlines()] == names()
    assert "motd = no\n" in done.out and "pty = yes\n" in done.out
    assert not world.path(run.state).exists(), "checking makes nothing"


@pytest.mark.parametrize("text,line,named", [
    ("pty = yes\nfoo = bar\n", 2, "foo"), ("motd = no\n\n# comment\nlogin-grace = never\n", 4, "login-grace"), ("pty\n", 1, ""),
    ("x" * 300 + " = 1\n", 1, ""), ("tries-max = 0\n", 1, "tries-max"), ("allow-users = " + "u" * 190 + "\n", 1, "")])
def test_a_wrong_line_is_named(run, world, text, line, named):
    path = f"{world.accounts[world.login].home}/wrong.conf"
    world.write(path, text)
    done = run("--config", path, "--check").failed(2)
    assert f"{path}:{line}" in done.err and named in done.err, done


def test_a_config_that_is_not_there(run):
    done = run("--config", "/no/such.conf", "--check").failed()
    assert "/no/such.conf" in done.err, done


def test_the_config_of_the_state_folder_counts_and_a_flag_wins(run, world):
    world.mkdir(run.state, owner=world.server_user, mode=0o700)
    world.write(f"{run.state}/sshd.conf", "motd = no\npty = no\n", owner=world.server_user)
    done = run("--check", "--pty", "yes").ok()
    assert "motd = no\n" in done.out and "pty = yes\n" in done.out


def test_a_connection_is_not_served_with_a_wrong_config(world, bench):
    server = BuiltIn(world, config="pty = perhaps\n")
    done = Visitor(server, "alice").run("true", timeout=20)
    assert done.status == 255
    assert server.wait_idle()[-1] == 2
    server.wait_log(re.escape(f"{server.config}:1"))
    world.write(server.config, "pty = no\n", owner=world.server_user, mode=0o600)
    done = Visitor(server, "alice").run("tty", options=("-tt",))
    assert "PTY allocation request failed" in done.err, "the next connection reads it again"


# --- host keys ---

def test_the_host_key_is_made_once(run, world):
    first = run("--print-host-key").ok().out
    assert KEY.match(first) and first == run("--print-host-key").ok().out and first.count("\n") == 1
    key = world.path(f"{run.state}/ssh_host_ed25519_key")
    assert key.stat().st_mode & 0o777 == 0o600 and world.path(run.state).stat().st_mode & 0o077 == 0
    assert first.split()[:2] == world.read(f"{run.state}/ssh_host_ed25519_key.pub").split()[:2]
    # OpenSSH reads it, too.
    assert world.run("ssh-keygen", "-y", "-f", f"{run.state}/ssh_host_ed25519_key").ok().out.split()[:2] == first.split()[:2]


def test_the_host_key_is_the_one_that_a_client_meets(server, bench):
    visitor = Visitor(server, "alice")
    visitor.run("true").ok()
    assert server.public_host_key() in visitor.known_hosts.read_text()


def test_many_first_connections_make_one_host_key(world):
    server = BuiltIn(world)
    popens = [subprocess.Popen(["ssh-keyscan", "-T", "20", "-p", str(server.port), server.address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
              for _ in range(8)]
    keys = {tuple(line.split()[1:]) for popen in popens for line in popen.communicate(timeout=30)[0].splitlines()}
    assert len(keys) == 1, keys
    assert " ".join(keys.pop()) == server.public_host_key()


def test_a_host_key_of_the_system_or_of_the_operator(run, world, bench):
    made = keygen(bench.path(f"host{bench.number()}"))
    world.write("/etc/ssh/ssh_host_ed25519_key", made.read_bytes(), mode=0o600)
    try:
        printed = run("--print-host-key").ok().out.split()[:2]
        # A user's server cannot read root's key: it has its own.
        assert (" ".join(printed) == public_key(made)) == (world.root or os.geteuid() != 0)
        own = keygen(bench.path(f"host{bench.number()}"), "ecdsa", bits=256)
        path = f"{world.accounts[world.login].home}/own-host-key"
        world.write(path, own.read_bytes(), owner=world.server_user, mode=0o600)
        assert " ".join(run("--print-host-key", "--host-key", path).ok().out.split()[:2]) == public_key(own)
    finally:
        world.path("/etc/ssh/ssh_host_ed25519_key").unlink()


@pytest.mark.parametrize("text", [b"", b"rubbish\n", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", b"\0" * 5000], ids=["empty", "rubbish", "cut", "zeros"])
def test_a_host_key_that_is_none(run, world, text):
    path = f"{world.accounts[world.login].home}/broken-key"
    world.write(path, text, owner=world.server_user, mode=0o600)
    done = run("--print-host-key", "--host-key", path).failed()
    assert path in done.err and done.out == "", done
    done = run("--print-host-key", "--host-key", "/no/such/key").failed()
    assert "/no/such/key" in done.err, done


def test_a_state_folder_that_cannot_be_made(run, world):
    done = run("--print-host-key", state="/etc/passwd/state").failed()
    assert "/etc/passwd/state" in done.err, done


# --- how it is started ---

def test_not_a_connection(run, world):
    for stdin in (subprocess.DEVNULL, None):
        done = world.bench.run(*world.enter(f"{INSIDE}/bin/multissh-sshd", "--state", run.state, "--inetd", user=world.server_user),
                               input=b"SSH-2.0-x\r\n" if stdin is None else None, env=world.environment(world.server_user), timeout=20)
        if stdin is not None:
            assert done.status == 1 and "descriptor 0" in done.err, done


def test_over_the_pipes_of_a_proxy_command(world, server, bench):
    """ssh -o ProxyCommand='multissh-sshd --inetd': a shell without a network."""
    visitor = Visitor(server, "alice")
    inner = " ".join(world.enter(f"{INSIDE}/bin/multissh-sshd", "--inetd", "--state", server.state, user=world.server_user))
    done = visitor.run("cat; echo [$SSH_CONNECTION]; exit 3", input="data\n", options=("-o", f"ProxyCommand={inner}", "-o", "StrictHostKeyChecking=no"))
    assert done.status == 3 and done.out.startswith("data\n["), done


def test_over_a_unix_socket(world, server, bench):
    """As systemd hands it over when the agent asks for it."""
    ours, theirs = socket.socketpair()
    with open(bench.path(f"unix{bench.number()}.log"), "wb") as log:
        popen = subprocess.Popen(world.enter(f"{INSIDE}/bin/multissh-sshd", "--inetd", "--state", server.state, "--peer", "192.0.2.7:1234", user=world.server_user),
                                 stdin=theirs, stdout=log, stderr=log, env=bench.env(world.environment(world.server_user)), cwd="/")
    theirs.close()
    import paramiko

    visitor = Visitor(server, "alice")
    transport = paramiko.Transport(ours)
    try:
        transport.connect(username="alice", pkey=paramiko.Ed25519Key.from_private_key_file(str(visitor.key)))
        channel = transport.open_session()
        channel.exec_command("echo $SSH_CLIENT; exit 4")
        assert channel.makefile("rb").read().startswith(b"192.0.2.7 1234")
        assert channel.recv_exit_status() == 4
    finally:
        transport.close()
        assert popen.wait(15) == 0


def everything(sock):
    """What comes until the other side ends it."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(1000):
            data += piece
    return data


def test_peer_and_proxy_line(world, bench):
    told = BuiltIn(world, "--peer", "192.0.2.7:1234")
    assert Visitor(told, "alice").run("echo $SSH_CONNECTION").ok().out.startswith("192.0.2.7 1234 ")
    told.wait_log(r"192\.0\.2\.7")
    lined = BuiltIn(world, "--proxy-protocol")
    with socket.create_connection((lined.address, lined.port)) as sock:
        import paramiko

        sock.sendall(b"PROXY TCP4 192.0.2.9 198.51.100.1 4321 22\r\n")
        transport = paramiko.Transport(sock)
        visitor = Visitor(lined, "alice")
        transport.connect(username="alice", pkey=paramiko.Ed25519Key.from_private_key_file(str(visitor.key)))
        channel = transport.open_session()
        channel.exec_command("echo $SSH_CONNECTION")
        assert channel.makefile("rb").read() == b"192.0.2.9 4321 198.51.100.1 22\n"
        transport.close()
    for wrong in (b"PROXY TCP4 x y 1 2\r\n", b"SSH-2.0-x\r\n", b"PROXY " + b"9" * 300, b"PROXY TCP4 192.0.2.9 198.51.100.1 4321 99999\r\n"):
        with socket.create_connection((lined.address, lined.port), timeout=15) as sock:
            sock.sendall(wrong)
            assert everything(sock) == b"", wrong
    lined.wait_log("PROXY")


def test_classic_inetd_where_the_log_would_go_to_the_user(world):
    """inetd makes the connection the standard error, too: not a byte but SSH's reaches the client."""
    server = BuiltIn(world, "--log-level", "debug", classic=True)
    done = Visitor(server, "alice").run("cat; echo err >&2; exit 3", input=b"data" * 100000)
    assert (done.status, done.raw) == (3, b"data" * 100000) and done.err.endswith("err\n"), done
    with socket.create_connection((server.address, server.port), timeout=15) as sock:
        sock.sendall(b"this is not SSH\r\n")
        data = everything(sock)
        assert not re.search(rb"DEBUG|INFO|WARN|ERROR", data), data
    assert server.wait_idle() and server.log() == ""


@root_only
def test_who_speaks_ssh_as_root(world, server):
    """The process that parses what strangers send has no rights, no files and a filter on its system calls; the monitor beside it keeps them."""
    popen = Visitor(server, "alice").talk("echo up; cat")
    assert popen.stdout.readline() == b"up\n"
    monitor = server.latest().pid
    speakers = [pid for pid in world.find("multissh-sshd") if pid != monitor]
    assert len(speakers) == 1, world.processes()
    for folder in (f"/proc/{speakers[0]}", *(f"/proc/{speakers[0]}/task/{task}" for task in os.listdir(f"/proc/{speakers[0]}/task"))):
        status = dict(line.split(":\t", 1) for line in open(f"{folder}/status", encoding="ascii").read().splitlines() if ":\t" in line)
        assert "0" not in status["Uid"].split() and "0" not in status["Gid"].split() and "0" not in status["Groups"].split(), status
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapInh"], 16) == 0, status
        # The sanitizers need system calls that the filter would refuse.
        assert status["NoNewPrivs"] == "1" and (status["Seccomp"] == "2" or sanitized()), status
    root = f"/proc/{speakers[0]}/root"
    assert os.listdir(root) == [], "an empty folder"
    links = [os.readlink(f"/proc/{speakers[0]}/fd/{fd}") for fd in os.listdir(f"/proc/{speakers[0]}/fd")]
    assert not [link for link in links if link.startswith("/") and link != "/dev/null" and not link.endswith(".log")], links
    popen.stdin.close()
    assert popen.wait(10) == 0


def test_the_bench_tells_a_crash_of_the_process_that_speaks_ssh(world):
    """Else no test here would fail when it crashes after its session."""
    server = BuiltIn(world)
    popen = Visitor(server, "alice").talk("echo up; cat")
    assert popen.stdout.readline() == b"up\n"
    assert server.complaint() is None
    speaker, = [pid for pid in world.find("multissh-sshd") if pid != server.latest().pid and f"--state {server.state}" in command_of(pid)]
    os.kill(speaker, signal.SIGSYS)  # as the filter of its system calls does; the sanitizers leave it alone
    server.wait_idle(15)
    assert "signal 31" in server.complaint()
    server.faults_expected = True
