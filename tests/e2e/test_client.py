"""multissh: the program on the user's side."""
import contextlib
import hashlib
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest
from conftest import need, setup
from kit import proc
from kit.bench import program
from kit.parts import ME, User
from kit.screen import Screen
from kit.terminal import Terminal
from kit.wait import free_port, wait_for

bench, hub, alice, admin, sshd, web01 = setup("module")
MULTISSH = program("multissh")


def settings(user):
    """What a person has in multissh.conf, as the environment has it."""
    return {"MULTISSH_HUB": "hub", "MULTISSH_SSH_CONFIG": str(user.config)}


def multissh(user, *words, env=None, **options):
    return user.bench.run(MULTISSH, *words, env={**settings(user), **(env or {})}, **options)


def proxied(user, *more):
    """Options of ssh that reach a machine by `multissh connect`."""
    return [*user.options(), "-o", f"ProxyCommand={MULTISSH} {' '.join(more)} --hub hub --ssh-config {user.config} connect %n"]


def fake_ssh(bench, script):
    path = bench.path(f"ssh-{bench.number()}")
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


# --- connect ---

def test_a_shell_and_its_status(bench, alice, web01):
    done = bench.run("ssh", *proxied(alice), f"{ME}@web01", "cat; echo error >&2; exit 7", input=b"through multissh\n" * 20000)
    assert (done.status, done.out) == (7, "through multissh\n" * 20000), done
    assert "error" in done.err and "multissh" not in done.err, done


def test_multissh_ssh(alice, web01):
    done = multissh(alice, "ssh", f"{ME}@web01", "echo $0; exit 3")
    assert done.status == 3 and done.out.strip(), done
    # Options of ssh's before the name, with arguments of their own.
    done = multissh(alice, "ssh", "-l", ME, "-v", "-o", "LogLevel=ERROR", "web01", "echo 'a  b'").ok()
    assert done.out == "a  b\n"
    assert "web01.hub" in alice.known_hosts.read_text()


def test_scp(bench, alice, web01):
    source, there, back = bench.path("source"), bench.path("there"), bench.path("back")
    source.write_bytes(os.urandom(1 << 20) * 50)
    for src, to in ((source, f"{ME}@web01:{there}"), (f"{ME}@web01:{there}", back)):
        bench.run("scp", *proxied(alice), src, to, timeout=120).ok()
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert hashlib.sha256(there.read_bytes()).hexdigest() == digest
    assert hashlib.sha256(back.read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("way", ["up", "down"])
def test_killed_in_bulk_data(bench, alice, web01, way):
    """The machine's process that keeps sessions goes on with the others, whose sessions it keeps, too, and with its rest."""
    for _ in range(3):
        command = "cat > /dev/null" if way == "up" else "cat /dev/zero"
        popen = subprocess.Popen(["ssh", *proxied(alice), f"{ME}@web01", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, env=bench.env(), cwd=bench.root)
        try:
            for _ in range(256):
                if way == "up":
                    popen.stdin.write(bytes(65536))
                else:
                    assert len(popen.stdout.read(65536)) == 65536
        finally:
            popen.kill()
            popen.wait()
            popen.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                popen.stdin.close()
        assert bench.run("ssh", *proxied(alice), f"{ME}@web01", "echo on", timeout=40).ok().out == "on\n"
    keepers = web01.keepers()
    before = sum(proc.cpu_seconds(pid) for pid in keepers)
    time.sleep(1)  # the time is what is measured: who rests uses none
    assert sum(proc.cpu_seconds(pid) for pid in keepers) - before < 0.5


def test_many_at_once(bench, alice, web01):
    results = {}

    def one(i):
        results[i] = bench.run("ssh", *proxied(alice), f"{ME}@web01", f"cat; exit {i}", input=b"%d\n" % i * 5000, timeout=120)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {i: (done.status, done.out) for i, done in results.items()} == {i: (i, f"{i}\n" * 5000) for i in range(10)}


def test_control_master(bench, alice, web01):
    path = bench.path("master")
    master = [*proxied(alice), "-o", f"ControlPath={path}"]
    bench.start("master", "ssh", *master, "-N", "-M", f"{ME}@web01")
    wait_for(path.exists, 20, "the master's socket")
    for i in range(3):
        assert bench.run("ssh", *master, f"{ME}@web01", f"exit {i}").status == i
    bench.run("ssh", *master, "-O", "exit", f"{ME}@web01").ok()


def test_plain_pipes(bench, alice, web01):
    """Without ssh: the machine's banner comes, and the end of the input ends the session."""
    done = multissh(alice, "connect", "web01", input=b"SSH-2.0-nobody\r\n")
    assert done.status == 0 and done.raw.startswith(b"SSH-2.0-"), done
    # Files in place of pipes.
    target = bench.path("banner")
    with open(target, "wb") as out:
        done = multissh(alice, "connect", "web01", stdout=out).ok()
    assert target.read_bytes().startswith(b"SSH-2.0-")


def test_nobody_reads(bench, alice, web01):
    """The ssh that ran it is gone: it ends, and so does the machine's side."""
    read, write = os.pipe()
    popen = subprocess.Popen([MULTISSH, "connect", "web01"], stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE,
                             env=bench.env(settings(alice)), cwd=bench.root)
    os.close(write)
    assert os.read(read, 4) == b"SSH-"
    os.close(read)
    popen.stdin.write(b"SSH-2.0-nobody\r\n")  # the machine answers with its key exchange
    popen.stdin.flush()
    assert popen.wait(20) == 255
    popen.stdin.close()
    popen.stderr.close()


@pytest.mark.parametrize("number,status", [(signal.SIGTERM, 255), (signal.SIGINT, 255)])
def test_signals(bench, hub, alice, admin, web01, number, status):
    alice.hub_says("whoami").ok()  # the hub's key is known
    popen = subprocess.Popen([MULTISSH, "connect", "web01"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=bench.env(settings(alice)), cwd=bench.root)
    assert popen.stdout.read(4) == b"SSH-"
    popen.send_signal(number)
    out, err = popen.communicate(timeout=20)
    assert (popen.returncode, err) == (status, b"multissh: web01: ended by the user\n")
    wait_for(lambda: "web01" not in admin.hub_says("sessions").ok().out, 15, "the session is over at the hub")


def test_other_names(bench, alice, hub, web01):
    for name in ("WEB01", f"web01.{hub.domain}"):
        bench.run("ssh", *proxied(alice), f"{ME}@{name}", "true").ok()


@pytest.mark.parametrize("streams", ["plain", "tls"])
def test_streams(bench, alice, web01, streams):
    done = bench.run("ssh", *proxied(alice, "--streams", streams), f"{ME}@web01", "cat", input=b"x" * 1000000).ok()
    assert done.raw == b"x" * 1000000


def test_the_block_of_config_resume(bench, hub, alice, web01):
    """As it is printed, behind the user's own settings, with stock ssh; multissh is found as any program is."""
    block = alice.hub_says("config", "--resume").ok().out
    assert f"ProxyCommand multissh connect --hub 127.0.0.1:{hub.port} %n" in block
    config = alice.folder / "config-resume"
    own = [line for line in alice.config.read_text().splitlines() if "KexAlgorithms" in line or "Identity" in line or "BatchMode" in line]
    known = alice.folder / "known-of-block"
    config.write_text(block.replace("~/.ssh/known_hosts_multissh", str(known)) + "\n".join(
        ["Host 127.0.0.1", f"  User {alice.name}", "  StrictHostKeyChecking accept-new", f"  UserKnownHostsFile {known}", "Host *", *own]) + "\n")
    env = {"PATH": f"{MULTISSH.parent}:{os.environ['PATH']}", "MULTISSH_SSH_CONFIG": str(config)}
    done = bench.run("ssh", "-F", config, f"{ME}@web01.{hub.domain}", "cat; exit 9", input=b"by the block\n", env=env)
    assert (done.status, done.out) == (9, "by the block\n"), done
    assert f"web01.{hub.domain}" in known.read_text()


# --- what goes wrong ---

def test_refusals_are_the_hubs(bench, alice, web01):
    alice.hub_says("whoami").ok()
    done = bench.run("ssh", *proxied(alice), f"{ME}@nosuch", "true").failed(255)
    assert 'there is no machine "nosuch" that you may use' in done.err, done
    done = multissh(alice, "connect", "nosuch").failed(255)
    assert done.err.startswith('ticket: there is no machine "nosuch" that you may use'), done
    assert len(done.err.splitlines()) == 1, done


def test_ssh_cannot_get_there(bench, alice, hub):
    done = multissh(alice, "connect", "web01", env={"MULTISSH_HUB": f"127.0.0.1:{free_port()}"}).failed(255)
    assert "Connection refused" in done.err and "does `ssh 127.0.0.1:" in done.err, done
    done = multissh(alice, "connect", "web01", env={"MULTISSH_SSH": "/nonexistent/ssh"}).failed(255)
    assert "/nonexistent/ssh cannot be run: no such file" in done.err and "--ssh" in done.err, done
    done = multissh(alice, "connect", "web01", env={"MULTISSH_HUB": ""}).failed(255)
    assert "which hub?" in done.err and "--hub" in done.err, done


def test_a_key_that_is_not_known(bench, hub, web01):
    stranger = User(bench, "stranger").knows(hub)
    done = multissh(stranger, "connect", "web01").failed(255)
    assert "Permission denied" in done.err and done.err.count("multissh: ") == 1, done


GOOD = ("machine=web01 host=127.0.0.1 port={port} ticket=AAAA.BBBB key=" + "00" * 32
        + " window=65536 patience_ms=300000 pin=SHA256:" + "A" * 43)


@pytest.mark.parametrize("output,words", [
    ("printf ''", "said nothing"),
    ("echo hello", "no multiSSH hub"),
    (f"printf '%s' 'MULTISSH-TICKET/1 {GOOD}'", "not one line"),
    (f"echo 'MULTISSH-TICKET/1 {GOOD}'; echo more", "not one line"),
    (f"echo 'MULTISSH-TICKET/1 {GOOD} x={'y' * 1000}'", "not one line"),
    (f"echo 'MULTISSH-TICKET/1 {GOOD.replace('machine=web01', 'machine=web02')}'", "for web02, and not for web01"),
    (f"echo 'MULTISSH-TICKET/1 {GOOD.replace('127.0.0.1', '-oProxyCommand=x')}'", "its host cannot be one"),
    (f"echo 'MULTISSH-TICKET/1 {GOOD.replace('{port}', '99999')}'", "its port cannot be one"),
    (f"echo 'MULTISSH-TICKET/1 {GOOD} key={'11' * 32}'", "says key twice"),
    ("exec 2>&-; yes MULTISSH-TICKET/1", "more than a multiSSH hub would"),
    ("exec 2>&-; head -c 100000000 /dev/zero", "more than a multiSSH hub would"),
    ("kill -9 $$", "signal 9"),
    ("echo ticket: not found >/dev/null; exit 127", "no multiSSH hub"),
], ids=lambda value: None if " " in value else value)
def test_hostile_tickets(bench, alice, output, words):
    ssh = fake_ssh(bench, output.replace("{port}", str(free_port())))
    done = multissh(alice, "connect", "web01", env={"MULTISSH_SSH": str(ssh)}).failed(255)
    assert words in done.err and len(done.err.splitlines()) == 1, done
    assert "1111" not in done.err and "0000" not in done.err


def test_a_hub_that_lies_about_where_it_is(bench, alice):
    """Somebody else listens there: nothing of the session goes to them, and it ends with the reason."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard = []

        def answer():
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    heard.append(peer.recv(1000))
                    peer.sendall(b"SSH-2.0-somebody\r\n" * 100)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        ssh = fake_ssh(bench, f"echo 'MULTISSH-TICKET/1 {GOOD}'".replace("{port}", str(server.getsockname()[1])))
        done = multissh(alice, "connect", "web01", input=b"secret", env={"MULTISSH_SSH": str(ssh)}, timeout=90).failed(255)
        assert re.match(r"multissh: web01: the machine did not come .*127\.0\.0\.1:\d+: .*why web01", done.err), done
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert heard and not any(b"secret" in text for text in heard)


def test_nothing_listens_there(bench, alice):
    ssh = fake_ssh(bench, f"echo 'MULTISSH-TICKET/1 {GOOD}'".replace("{port}", str(free_port())))
    done = multissh(alice, "connect", "web01", env={"MULTISSH_SSH": str(ssh)}).failed(255)
    assert re.fullmatch(r"multissh: web01: the hub's streams at 127\.0\.0\.1:\d+ cannot be reached: .*refused.*\n", done.err), done


def test_the_words_reach_no_shell(bench, alice):
    """Names and hubs that a shell or ssh would take for more than they are."""
    witness = bench.path("witness")
    for words in (["connect", f"web01;touch {witness}"], ["connect", "-oProxyCommand=touch"], ["forward", "$(id)"],
                  ["--hub", f"-oProxyCommand=touch {witness}", "connect", "web01"], ["--hub", f"hub;touch {witness}", "list"],
                  ["list", f"$(touch {witness})"], ["ssh", f"web01;touch {witness}"], ["ssh", f"web01`touch {witness}`", "true"]):
        multissh(alice, *words).failed()
    assert not witness.exists()


def test_the_key_is_nowhere(bench, alice, web01):
    """Neither in what ps shows nor in the environment of what is started."""
    key = re.search(r" key=(\S+)", alice.hub_says("ticket", "web01").ok().out).group(1)
    seen = bench.path("seen")
    ssh = fake_ssh(bench, f"ssh \"$@\" | tee {seen}")
    popen = subprocess.Popen([MULTISSH, "--log-level", "debug", "connect", "web01"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=bench.env({**settings(alice), "MULTISSH_SSH": str(ssh)}), cwd=bench.root)
    assert popen.stdout.read(4) == b"SSH-"
    key = re.search(r" key=(\S+)", seen.read_text()).group(1)
    shown = b""
    for name in ("cmdline", "environ"):
        with open(f"/proc/{popen.pid}/{name}", "rb") as file:
            shown += file.read()
    popen.stdin.close()
    popen.stdin = None
    _, err = popen.communicate(timeout=30)
    assert key.encode() not in shown + err and bytes.fromhex(key) not in shown + err


def test_the_way_to_the_hub_leads_through_itself(bench, hub):
    """`Host *` with the ProxyCommand, the hub not excepted."""
    user = User(bench, "loop").knows(hub, extra_all=[f"ProxyCommand {MULTISSH} connect %n"])
    done = multissh(user, "connect", "web01").failed(255)
    assert "again and again" in done.err and "~/.ssh/config" in done.err, done


# --- the settings ---

def test_settings(bench, alice, hub, web01):
    home = bench.folder("home")
    (home / "multissh").mkdir()
    conf = home / "multissh" / "multissh.conf"
    conf.write_text(f"hub = hub\nssh-config = {alice.config}\nproxy = http://me:secret@proxy:3128\n")
    env = {"XDG_CONFIG_HOME": str(home)}
    done = bench.run(MULTISSH, "--check", env=env).ok()
    assert "hub = hub\n" in done.out and "secret" not in done.out
    assert bench.run(MULTISSH, "list", env=env).ok().out == "web01\n"
    # The environment wins over the file, a flag over both.
    done = bench.run(MULTISSH, "--check", env={**env, "MULTISSH_HUB": "a:1", "MULTISSH_PORT": "5"}, timeout=10).ok()
    assert "hub = a:1\n" in done.out and "port = 5\n" in done.out
    assert "hub = b\n" in bench.run(MULTISSH, "--hub", "b", "--check", env={**env, "MULTISSH_HUB": "a:1"}).ok().out
    for text, words in (("nosuch = 1\n", "nosuch"), ("hub = a b\n", "hub:"), ("port = 70000\n", "port"), ("bind = here\n", "bind:")):
        conf.write_text(text)
        assert words in bench.run(MULTISSH, "--check", env=env).failed(2).err
    assert bench.run(MULTISSH, "--help", env=env).ok().out.startswith("usage:")
    assert bench.run(MULTISSH, "--version", env=env).ok().out.startswith("multissh ")


@pytest.mark.parametrize("words,says", [
    (["nosuch"], "no such command"), (["connect"], "which machine"), (["connect", "a", "b"], "one word too many"),
    (["--nosuch"], "no such option"), (["forward", "-p"], "-p: needs a port"), (["forward", "-p", "99999", "web01"], "port"),
    (["connect", "a b"], "cannot be a machine's name")])
def test_usage(alice, words, says):
    done = multissh(alice, *words).failed(2)
    assert says in done.err and len(done.err.splitlines()) == 1, done


def test_list(alice, web01):
    assert multissh(alice, "list").ok().out == "web01\n"
    assert '"name":"web01"' in multissh(alice, "list", "--json").ok().out
    assert "online" in multissh(alice, "list", "-l", "web*").ok().out
    assert multissh(alice, "list", "--nosuch").status == 2  # the hub's own status


# --- forward ---

class Forward:
    def __init__(self, bench, user, *words, env=None):
        self.process = bench.start("forward", MULTISSH, "forward", "-p", "0", "web01", *words, env={**settings(user), **(env or {})})
        self.port = int(self.process.wait_log(r"is at \S+ port (\d+)").group(1))
        self.line = self.process.wait_log(r"^  (ssh -p .*)$").group(1)

    def stop(self, number=signal.SIGINT):
        return self.process.stop(number=number)


@pytest.fixture
def forward(bench, alice, web01):
    forward = Forward(bench, alice)
    yield forward
    if forward.process.running():
        assert forward.stop() == 0


def test_forward_the_line_it_prints(bench, alice, hub, forward):
    argv = shlex.split(forward.line.replace("user@", f"{ME}@"))
    assert argv[:3] == ["ssh", "-p", str(forward.port)] and argv[3:5] == ["-o", "HostKeyAlias=web01.hub"], argv
    for i in range(3):
        done = bench.run(argv[0], *alice.options(), *argv[1:], f"cat; exit {i}", input=b"forwarded\n" * 10000)
        assert (done.status, done.out) == (i, "forwarded\n" * 10000), done
    assert re.search(r"^web01\.hub ", alice.known_hosts.read_text(), re.M)


def test_forward_many(bench, alice, forward):
    results = []

    def one():
        results.append(bench.run("ssh", *alice.options(), "-p", forward.port, "-o", "HostKeyAlias=web01.hub", f"{ME}@127.0.0.1", "cat",
                                 input=b"x" * 300000, timeout=120))

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(done.status, len(done.raw)) for done in results] == [(0, 300000)] * 12, results


def test_forward_other_clients(bench, alice, web01, forward):
    need("plink", "puttygen", "dbclient", "dropbearconvert")
    print_key = subprocess.run(["ssh-keygen", "-lf", f"{web01.sshd.host_key}.pub"], capture_output=True, text=True, check=True).stdout.split()[1]
    done = bench.run("plink", "-batch", "-ssh", "-i", alice.ppk(), "-hostkey", print_key, "-P", forward.port, f"{ME}@127.0.0.1", "cat; exit 5",
                     input=b"plink\n" * 1000)
    assert (done.status, done.out) == (5, "plink\n" * 1000), done
    key = bench.path("dropbear-key")
    bench.run("dropbearconvert", "openssh", "dropbear", alice.key, key).ok()
    done = bench.run("dbclient", "-y", "-y", "-i", key, "-p", forward.port, f"{ME}@127.0.0.1", "echo dbclient; exit 6")
    assert (done.status, done.out) == (6, "dbclient\n"), done


def test_forward_takes_the_next_port(bench, alice, web01):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = bench.start("forward", MULTISSH, "forward", "-p", port, "web01", env=settings(alice))
        got = int(process.wait_log(r"is at 127\.0\.0\.1 port (\d+)").group(1))
        assert got > port
        process.wait_log(f"port {port} is taken: this is port {got}")
        assert process.stop(number=signal.SIGINT) == 0


def test_forward_only_here(bench, alice, web01, forward):
    hosts = subprocess.run(["ss", "-Hltn", f"sport = :{forward.port}"], capture_output=True, text=True, check=True).stdout.split()
    assert f"127.0.0.1:{forward.port}" in hosts and f"0.0.0.0:{forward.port}" not in hosts
    process = bench.start("forward", MULTISSH, "forward", "-p", "0", "--bind", "0.0.0.0", "web01", env=settings(alice))
    process.wait_log("others in the network can reach this port")
    assert process.stop() == 0


def test_forward_goes_on_when_a_ticket_fails(bench, alice, web01):
    flag = bench.path("refuse")
    ssh = fake_ssh(bench, f'if [ -e {flag} ]; then echo "not now" >&2; exit 1; fi\nexec ssh "$@"')
    forward = Forward(bench, alice, env={"MULTISSH_SSH": str(ssh)})
    flag.touch()
    with socket.create_connection(("127.0.0.1", forward.port)) as peer:
        peer.settimeout(20)
        assert peer.recv(10) == b""
    forward.process.wait_log("connection 1: no session; the port stays open")
    flag.unlink()
    with socket.create_connection(("127.0.0.1", forward.port)) as peer:
        peer.settimeout(20)
        assert peer.recv(4) == b"SSH-"
        assert forward.stop() == 0  # and ends what is open
        assert peer.recv(100000) is not None
    assert "ending 1 connection" in forward.process.log()


def test_forward_in_the_background(bench, alice, web01):
    """nohup: the terminal's end does not end it."""
    process = bench.start("forward", "nohup", MULTISSH, "forward", "-p", "0", "web01", env=settings(alice))
    port = int(process.wait_log(r"is at 127\.0\.0\.1 port (\d+)").group(1))
    process.send(signal.SIGHUP)
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.settimeout(20)
        assert peer.recv(4) == b"SSH-"
    assert process.stop() == 0


# --- the picker ---

@pytest.fixture(scope="module")
def crowd(bench, hub, alice):
    """10,000 machines, as a hub would list them, by an ssh that knows only how to list."""
    rows = [f'{{"name":"web{i:05d}","online":{"true" if i % 3 else "false"},"since":"2026-11-22T12:{i % 60:02d}:00Z","os":"Debian {i % 4}"}}'
            for i in range(10000)]
    rows.append('{"name":"nas","online":true,"os":"Größe \u2028 \\u001b[31m"}')
    text = bench.path("crowd.json")
    text.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    log = bench.path("crowd.log")
    ssh = fake_ssh(bench, f'case "$*" in *"list --json") exec cat {text};; esac\necho "asked: $*" | tee {log}')
    return {**settings(alice), "MULTISSH_SSH": str(ssh)}


class Picker:
    def __init__(self, bench, env, rows=12, columns=70):
        self.terminal = Terminal(bench, "sh", "-c", f'trap : INT; stty -g >before; {MULTISSH}; echo "status $?"; stty -g >after; echo done', rows=rows,
                                 columns=columns, env=env)
        self.bench, self.rows, self.columns, self.fed = bench, rows, columns, 0
        self.screen = Screen(rows, columns)

    def lines(self):
        self.terminal.read(0.05)
        self.screen.feed(self.terminal.shown[self.fed:])
        self.fed = len(self.terminal.shown)
        return self.screen.text()

    def sees(self, pattern, timeout=20):
        wait_for(lambda: re.search(pattern, self.lines(), re.M), timeout, lambda: f"{pattern!r} on\n{self.lines()}")
        return self

    def press(self, keys):
        self.terminal.send(keys)
        return self

    def resize(self, rows, columns):
        self.terminal.resize(rows, columns)
        self.rows, self.columns = rows, columns
        self.lines()
        self.screen = Screen(rows, columns)
        return self

    def ended(self):
        """How it ended; the terminal is as it was."""
        status = int(self.terminal.expect(r"status (\d+)").group(1))
        self.terminal.expect("done")
        assert self.bench.path("before").read_text() == self.bench.path("after").read_text()
        assert self.terminal.shown.rindex("\x1b[?1049l") > self.terminal.shown.rindex("\x1b[?1049h")
        assert self.terminal.shown.rindex("\x1b[?25h") > self.terminal.shown.rindex("\x1b[?25l")
        return status


UP, DOWN, PAGE_UP, PAGE_DOWN = "\x1b[A", "\x1b[B", "\x1b[5~", "\x1b[6~"


def test_picker_walks_and_filters(bench, crowd):
    picker = Picker(bench, crowd).sees("10001 of 10001 machines").sees("^> web00001 +online")
    picker.press(DOWN).sees("^> web00002").press(DOWN).sees("^> web00004")  # those that are online come first
    picker.press(PAGE_DOWN + PAGE_DOWN).press(PAGE_UP).press(UP).sees("^> web0001[0-9]")
    picker.press("n\u0061s").sees("1 of 10001").sees("^> nas +online +Größe \\? \\?\\[31m")
    picker.press("\x7f\x7f\x7f").sees("10001 of 10001")
    picker.press("debian 2 00").sees("^> web00002")
    picker.press("\x15ö").sees("1 of 10001").press("\x7f").sees("10001 of 10001")  # a whole character goes
    picker.press("zzz").sees("no machine matches").press("\r").press("\x17")
    picker.sees("10001 of 10001").press("web09999\r")
    picker.terminal.expect(r"asked: .*ProxyCommand=\S*multissh connect web09999 .*HostKeyAlias=web09999\.hub web09999")
    assert picker.ended() == 0


@pytest.mark.parametrize("keys", ["\x1b", "\x03"], ids=["esc", "ctrl-c"])
def test_picker_is_left(bench, crowd, keys):
    picker = Picker(bench, crowd).sees("10001 of 10001").press(keys)
    assert picker.ended() == 0
    assert "asked" not in picker.terminal.shown


def test_picker_is_ended_by_a_signal(bench, crowd):
    from kit.proc import children, command_of

    picker = Picker(bench, crowd).sees("10001 of 10001")
    below = children(picker.terminal.popen.pid)
    os.kill(next(pid for pid in below if str(MULTISSH) in command_of(pid).split(" ")[0]), signal.SIGTERM)
    assert picker.ended() == 143


def test_picker_in_small_windows(bench, crowd):
    picker = Picker(bench, crowd).sees("10001 of 10001")
    for rows, columns in ((1, 10), (2, 5), (3, 200), (5, 1), (40, 100)):
        picker.resize(rows, columns)
        picker.press("\x15").press("web0000")
        if columns >= 10:
            picker.sees("> web0000")
    assert len([line for line in picker.lines().splitlines() if "web0000" in line]) == 11  # ten of them, and the filter
    assert picker.press("\x1b").ended() == 0


def test_picker_forwards(bench, alice, web01):
    picker = Picker(bench, {**settings(alice), "MULTISSH_PORT": "0"}).sees("^> web01 +online").press("\t")
    picker.terminal.expect(r"web01 is at 127\.0\.0\.1 port \d+ until Ctrl-C")
    picker.press("\x03")
    assert picker.ended() == 0


def test_numbered(bench, alice, web01, crowd):
    done = multissh(alice, input=f"1\necho through the list\nexit 4\n", env={"MULTISSH_SSH": str(login_ssh(bench))})
    assert re.search(r"^ +1  web01 +online", done.out, re.M) and "through the list" in done.out and done.status == 4, done
    assert "asked" in bench.run(MULTISSH, env=crowd, input="NAS\n").ok().out
    assert "HostKeyAlias=web00002.hub" in bench.run(MULTISSH, env=crowd, input="2\n").ok().out
    for answer in ("0\n", "20000\n", "nosuch\n", "", "\n"):
        done = bench.run(MULTISSH, env=crowd, input=answer).failed(255)
        assert "asked" not in done.out and done.err.count("\n") == 1, done


def login_ssh(bench):
    """ssh that says as whom."""
    return fake_ssh(bench, f'exec ssh -o User={ME} "$@"') if ME != "alice" else "ssh"
