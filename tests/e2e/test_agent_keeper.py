"""Sessions outlive the agent: stopped, killed, restarted, upgraded; and end when they are to end."""
import hmac
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest
from kit import proc
from kit.bench import program, sanitized
from kit.parts import ME, SLOW, Agent
from kit.wait import wait_for

pytestmark = pytest.mark.usefixtures("web01")
MB = 50


class Shell:
    """A conversation with a shell on the machine."""

    def __init__(self, user, machine):
        self.popen = user.jump_popen(machine, "echo ready; while read -r line; do echo \"heard $line\"; done; echo over")
        assert self.popen.stdout.readline() == b"ready\n", self.popen.stderr.read()
        self.said = 0

    def talk(self):
        self.said += 1
        self.popen.stdin.write(b"%d\n" % self.said)
        assert self.popen.stdout.readline() == b"heard %d\n" % self.said, self.popen.stderr.read()

    def leave(self):
        self.popen.stdin.close()
        assert self.popen.stdout.read() == b"over\n"
        assert self.popen.wait(30) == 0

    def ended(self, timeout=30):
        """It ends by itself: its status and what was said."""
        out, err = self.popen.stdout.read(), self.popen.stderr.read().decode()
        status = self.popen.wait(timeout * SLOW)
        return status, out, err


def rows(agent):
    """What `multissh-agent sessions` shows: (user, state, stream) each."""
    lines = agent.command("sessions").out.splitlines()
    if lines == ["no sessions"]:
        return []
    assert lines[0].split() == ["USER", "FROM", "SINCE", "STATE", "STREAM"]
    return [(line.split()[0], line.split()[-2], line.split()[-1]) for line in lines[1:]]


def gone(*pids):
    wait_for(lambda: not any(proc.command_of(pid) for pid in pids), 30, lambda: f"gone: {[(pid, proc.command_of(pid)) for pid in pids]}")


def transfer(user, machine):
    return user.popen("-J", "hub", f"{ME}@{machine}", f"head -c {MB << 20} /dev/zero")


def count_bytes(popen, until=None):
    total = 0
    while until is None or total < until:
        data = popen.stdout.read(65536)
        if not data:
            break
        assert data.count(0) == len(data)
        total += len(data)
    return total


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_sessions_go_on(hub, alice, admin, web01, number):
    shell = Shell(alice, "web01")
    shell.talk()
    moving = transfer(alice, "web01")
    half = count_bytes(moving, MB << 19)  # the rest waits: the pipe is full
    keeper, = web01.keepers()
    web01.process.stop(number=number)
    hub.wait_offline("web01")
    shell.talk()
    assert {row[:2] for row in rows(web01)} == {("alice", "open")} and len(rows(web01)) == 2
    web01.run()
    hub.wait_online("web01")
    web01.wait_log(rf"took over 2 sessions of an earlier agent \(process {keeper},")
    shell.talk()
    assert half + count_bytes(moving) == MB << 20 and moving.wait(30) == 0
    # A new one beside the old one, in a keeper of the new agent's own.
    other = Shell(alice, "web01")
    other.talk()
    assert len(web01.keepers()) == 2 and len(rows(web01)) == 2
    shell.talk()
    shell.leave()
    gone(keeper)
    other.talk()
    other.leave()
    wait_for(lambda: rows(web01) == [], 20, "no sessions")
    assert len(web01.keepers()) == 1, "the agent's own waits for the next one"


def test_an_agent_that_is_killed_again_and_again(hub, alice, web01):
    shell = Shell(alice, "web01")
    for _ in range(4):
        web01.process.kill()
        web01.run()
        shell.talk()
    hub.wait_online("web01")
    shell.talk()
    assert len(web01.keepers()) == 1 and len(rows(web01)) == 1
    shell.leave()
    wait_for(lambda: not web01.keepers(), 20, "the keeper of a dead agent ends with its last session")


def test_a_session_is_ended_from_the_hub_by_way_of_the_next_agent(hub, alice, admin, web01):
    shell = Shell(alice, "web01")
    keeper, = web01.keepers()
    web01.process.kill()
    web01.run()
    hub.wait_online("web01")
    web01.wait_log("took over 1 session ")
    out = admin.hub_says("sessions").ok().out
    number = re.search(r"^\s*(\d+)\s", out, re.M).group(1)
    admin.hub_says("kill", number).ok()
    status, out, err = shell.ended()
    assert status == 255 and b"over" not in out
    gone(keeper)
    web01.wait_log("alice from 127.0.0.1: session ended")
    assert rows(web01) == []


def test_sessions_of_all_agents_count(bench, hub, alice, web01):
    first = Shell(alice, "web01")
    web01.stop()
    web01.run("--sessions-max", "2")
    hub.wait_online("web01")
    web01.wait_log("took over 1 session ")
    second = Shell(alice, "web01")
    alice.jump("web01", "true").failed(255).says("as many sessions as its agent takes")
    first.leave()
    wait_for(lambda: len(rows(web01)) == 1, 20, "one is left")
    third = Shell(alice, "web01")
    for shell in (second, third):
        shell.talk()
        shell.leave()


def test_a_keeper_that_dies(hub, alice, web01):
    shell = Shell(alice, "web01")
    keeper, = web01.keepers()
    os.kill(keeper, signal.SIGKILL)
    status, _, err = shell.ended()
    assert status == 255
    web01.wait_log(rf"the keeper of sessions \(process {keeper}\) has died, and 1 session with it")
    assert alice.jump("web01", "echo again").ok().out == "again\n"
    assert web01.keepers() != [keeper]
    assert "died" in err, err


def test_a_keeper_that_dies_while_no_agent_is_there(hub, alice, web01):
    Shell(alice, "web01")
    keeper, = web01.keepers()
    web01.process.kill()
    os.kill(keeper, signal.SIGKILL)
    gone(keeper)
    assert web01.command("sessions").out == "no sessions\n"
    web01.run()
    hub.wait_online("web01")
    assert os.listdir(web01.state / "sessions") == []
    assert alice.jump("web01", "echo again").ok().out == "again\n"


@pytest.mark.parametrize("how", ["ctrl-c", "stop --all", "stop --all, of a dead one"])
def test_everything_ends(hub, alice, web01, how):
    shell = Shell(alice, "web01")
    web01.stop()
    web01.run()
    hub.wait_online("web01")
    other = Shell(alice, "web01")
    keepers = web01.keepers()
    assert len(keepers) == 2
    agent = web01.process.pid
    if how == "ctrl-c":
        assert web01.process.stop(number=signal.SIGINT) == 0
        assert "2 sessions end with it" in web01.log()
    elif how == "stop --all":
        assert web01.command("stop", "--all").out == f"stopped the agent (process {agent}); 2 sessions ended\n"
        assert web01.process.popen.wait(10) == 0
    else:
        web01.process.kill()
        assert web01.command("stop", "--all").out == "no agent was running; 2 sessions ended\n"
    for session in (shell, other):
        status, _, _ = session.ended()
        assert status == 255
    gone(*keepers)
    assert os.listdir(web01.state / "sessions") == []


def test_stop_leaves_the_sessions(hub, alice, web01):
    shell = Shell(alice, "web01")
    pid = web01.process.pid
    assert web01.command("stop").out == f"stopped the agent (process {pid}); 1 session goes on without it\n"
    assert web01.process.popen.wait(10) == 0
    assert web01.command("stop").out == "no agent was running; 1 session goes on without it\n"
    shell.talk()
    shell.leave()
    wait_for(lambda: not web01.keepers(), 20, "the keeper ends with its last session")


def test_sessions_without_an_agent_end_some_time(hub, alice, web01):
    web01.stop()
    web01.run("--orphan-patience", "1s")
    hub.wait_online("web01")
    shell = Shell(alice, "web01")
    keepers = web01.keepers()
    web01.process.kill()
    status, _, err = shell.ended()
    assert status == 255
    gone(*keepers)


def test_the_built_in_server_goes_on(bench, hub, alice):
    from test_builtin import Builtin

    machine = Builtin(bench, hub, "nas", [alice])
    machine.wait_ssh("built-in", "ok")
    shell = Shell(alice, "nas")
    shell.talk()
    servers = machine.processes()
    assert len(servers) == 1
    machine.process.kill()
    machine.run()
    hub.wait_online("nas")
    shell.talk()
    assert machine.processes() == servers
    shell.leave()
    gone(*servers)


def test_a_terminal_is_let_go(bench, hub, alice, web01):
    """Who reads what the agent writes is not kept waiting by sessions that go on."""
    web01.stop()
    popen = subprocess.Popen([program("multissh-agent"), "--state", web01.state, "--ssh", web01.ssh, "run"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=bench.env())
    bench.closers.append(lambda: (popen.kill(), popen.wait(), popen.stdout.close()))
    hub.wait_online("web01")
    shell = Shell(alice, "web01")
    popen.terminate()
    text, _ = popen.communicate(timeout=30)
    assert b"1 session goes on without it" in text
    shell.talk()
    shell.leave()


def test_wrong_words(bench, web01, tmp_path):
    assert web01.command("stop", "now", check=False).failed(2)
    assert web01.command("run", "--all", check=False).failed(2).says("--all: this is for stop")
    for words in (["sessions"], ["stop"], ["stop", "--all"]):
        bench.run(program("multissh-agent"), "--state", tmp_path / "none", *words).failed(1).says("choose another with --state")
    assert not (tmp_path / "none").exists()


def test_a_program_that_was_replaced(bench, hub, alice, sshd):
    """As by an upgrade: the old agent goes on, starts its keeper all the same, and the new one takes its sessions over."""
    sshd.allow(alice)
    folder = bench.folder("bin")
    shutil.copy(program("multissh-agent"), folder)

    class Installed(Agent):
        def _start(self, *argv):
            return super()._start(folder / "multissh-agent", *argv[1:])

    agent = Installed(bench, hub, "web02", ssh=sshd)
    new = folder / "new"
    shutil.copy(program("multissh-agent"), new)
    os.replace(new, folder / "multissh-agent")
    shell = Shell(alice, "web02")
    keeper, = agent.keepers()
    with open(f"/proc/{keeper}/comm", encoding="ascii") as name:
        assert name.read() == "multissh-agent\n"
    agent.stop()
    agent.run()
    hub.wait_online("web02")
    shell.talk()
    assert alice.jump("web02", "echo new").ok().out == "new\n"
    assert len(agent.keepers()) == 2
    shell.leave()


def test_a_keeper_is_small(hub, alice, web01):
    shell = Shell(alice, "web01")
    keeper, = web01.keepers()
    links = {os.path.basename(os.readlink(f"/proc/{keeper}/fd/{fd}")) for fd in os.listdir(f"/proc/{keeper}/fd")}
    assert not {"agent.lock", "agent.conf", "agent.key"} & links, links
    assert os.readlink(f"/proc/{keeper}/fd/0") == os.readlink(f"/proc/{keeper}/fd/1") == "/dev/null"
    assert os.getsid(keeper) == keeper
    if not sanitized():
        assert proc.memory_kib(keeper) <= proc.memory_kib(web01.process.pid), "no keys, no TLS until it is needed"
    shell.leave()


# --- strangers, liars ---

def address(agent):
    """A path to the keeper's socket that is short enough, and its token."""
    marker, = (agent.state / "sessions").glob("*.keeper")
    return marker.with_suffix(".socket"), bytes.fromhex(json.loads(marker.read_text())["token"])


class Peer:
    """Somebody who talks to a keeper by hand."""

    def __init__(self, agent, role=None, token=None, **fields):
        path, own = address(agent)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.fspath(path))
        self.sock.settimeout(20)
        self.lines = self.sock.makefile("rb")
        self.nonce = bytes.fromhex(self.receive("challenge")["nonce"])
        if role:
            nonce = os.urandom(32)
            mac = self.mac(token or own, b"c", nonce)
            self.send(type="hello", **{"protocol": 1, "role": role, "nonce": nonce.hex(), "mac": mac, **fields})
            if token is None and not fields:
                answer = self.receive("hello")
                assert answer["mac"] == self.mac(own, b"k", nonce)

    def mac(self, token, side, nonce):
        return hmac.digest(token, b"multissh keeper v1\0" + side + self.nonce + nonce, "sha256").hex()

    def send(self, **message):
        self.sock.sendall(json.dumps(message).encode() + b"\n")
        return self

    def receive(self, kind):
        line = self.lines.readline()
        while line and json.loads(line)["type"] != kind:
            line = self.lines.readline()
        assert line, f"no {kind}"
        return json.loads(line)

    def closed(self):
        """The keeper shows it the door."""
        try:
            while self.lines.readline():
                pass
        except ConnectionResetError:
            pass
        return True

    def leave(self):
        self.lines.close()
        self.sock.close()


STRANGERS = {
    "garbage": lambda peer: peer.sock.sendall(b"GET / HTTP/1.1\r\n\r\n"),
    "long line": lambda peer: peer.sock.sendall(b"x" * 20000),
    "zeros": lambda peer: peer.sock.sendall(bytes(20000)),
    "start": lambda peer: peer.send(type="start", protocol=1, id="0" * 32, token="0" * 64),
    "no proof": lambda peer: peer.send(type="hello", protocol=1, role="agent"),
    "end at once": lambda peer: peer.send(type="end", reason="x"),
    "wrong types": lambda peer: peer.send(type="hello", protocol="1", role=[], nonce={}, mac=7),
    "nothing": lambda peer: None,
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_strangers(alice, web01, kind):
    shell = Shell(alice, "web01")
    peer = Peer(web01)
    try:
        STRANGERS[kind](peer)
    except BrokenPipeError:
        pass
    assert peer.closed()
    peer.leave()
    shell.talk()
    shell.leave()


def test_proofs(alice, web01):
    shell = Shell(alice, "web01")
    for role, more in (("agent", {"token": bytes(32)}), ("command", {"token": bytes(32)}), ("agent", {"mac": "00" * 32}), ("agent", {"nonce": "00" * 32}),
                       ("agent", {"protocol": 2}), ("king", {"protocol": 1})):
        peer = Peer(web01, role, **more)
        assert peer.closed(), (role, more)
        peer.leave()
    shell.talk()
    shell.leave()


def test_many_strangers(alice, web01):
    """They keep nobody out for longer than the few seconds that they have."""
    shell = Shell(alice, "web01")
    socks = []
    for _ in range(100):
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        sock.connect_ex(os.fspath(address(web01)[0]))
        socks.append(sock)
    assert alice.jump("web01", "echo hello").ok().out == "hello\n"
    wait_for(lambda: web01.command("sessions", check=False).status == 0, 30, "the command is let in")
    shell.talk()
    for sock in socks:
        sock.close()
    shell.leave()


def test_a_command_may_not_do_what_an_agent_does(alice, web01):
    shell = Shell(alice, "web01")
    for message in ({"type": "dial", "id": 1}, {"type": "settings"}, {"type": "hangup", "stream": "0" * 32}, {"type": "drain"}):
        peer = Peer(web01, "command")
        assert peer.send(**message).closed(), message
        peer.leave()
    peer = Peer(web01, "command").send(type="new in a later version", x=1).send(type="list")
    assert peer.receive("session")["user"] == "alice"
    peer.receive("listed")
    peer.leave()
    shell.talk()
    shell.leave()


AGENT_LIES = [
    {"type": "dial"}, {"type": "dial", "id": 0}, {"type": "dial", "id": "x"}, {"type": "hangup"}, {"type": "settings"},
    {"type": "settings", "streams": "auto", "trust": "any", "ssh": "*:1", "server": "machine"}, {"type": 7},
]


def test_an_agent_that_lies(hub, alice, web01):
    """Its connection is closed; the sessions, and the next agent, know nothing of it."""
    shell = Shell(alice, "web01")
    web01.process.kill()
    for message in AGENT_LIES:
        peer = Peer(web01, "agent")
        peer.receive("listed")
        assert peer.send(**message).closed(), message
        peer.leave()
        shell.talk()
    peer = Peer(web01, "agent")
    for message in ({"type": "dial", "id": 5}, {"type": "dial", "id": 6, "ticket": "x", "key": "00", "user": "../../etc", "source": "\x1b[2J"}):
        assert peer.send(**message).receive("failed")["id"] == message["id"]
    peer.send(type="hangup", stream="f" * 32, reason="x" * 900).send(type="network").send(type="list").receive("session")
    web01.run()  # the newest agent is the one
    assert peer.closed()
    peer.leave()
    hub.wait_online("web01")
    web01.wait_log("took over 1 session ")
    shell.talk()
    shell.leave()


class FalseKeeper:
    """Listens where a keeper would, with its file, and answers what it is told to."""

    def __init__(self, agent, answer, pid=None):
        folder = agent.state / "sessions"
        folder.mkdir(mode=0o700, exist_ok=True)
        name = os.urandom(16).hex()
        self.token = os.urandom(32)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.fspath(folder / f"{name}.socket"))
        self.listener.listen(5)
        self.marker = folder / f"{name}.keeper"
        self.marker.touch(mode=0o600)
        self.marker.write_text(json.dumps({"protocol": 1, "version": "9", "pid": pid or os.getpid(), "token": self.token.hex()}))
        self.answer, self.over, self.socks = answer, False, []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.socks.append(sock)
            try:
                self.answer(self, sock)
            except OSError:
                pass

    def prove(self, sock, token=None):
        """As a true one does. Returns the lines that follow."""
        nonce = os.urandom(32)
        lines = sock.makefile("rb")
        sock.sendall(json.dumps({"type": "challenge", "protocol": 1, "nonce": nonce.hex()}).encode() + b"\n")
        hello = json.loads(lines.readline())
        mac = hmac.digest(token or self.token, b"multissh keeper v1\0k" + nonce + bytes.fromhex(hello["nonce"]), "sha256")
        sock.sendall(json.dumps({"type": "hello", "protocol": 1, "version": "9", "pid": 7, "mac": mac.hex()}).encode() + b"\n")
        return lines

    def close(self):
        self.over = True
        self.marker.unlink(missing_ok=True)
        for sock in self.socks:
            sock.close()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)


def many_sessions(keeper, sock):
    keeper.prove(sock)
    rows = [json.dumps({"type": "session", "stream": os.urandom(16).hex(), "user": "alice"}).encode() + b"\n" for _ in range(1000)]
    for _ in range(21):
        sock.sendall(b"".join(row.replace(b'"stream": "', b'"stream": "' + os.urandom(4).hex().encode()).replace(row[40:48], b"") for row in rows))


def told(keeper, sock):
    """Counts on the agent: what it sends to one that cannot prove itself."""
    keeper.heard = keeper.prove(sock, token=bytes(32)).read()


LIARS = {
    "mute": lambda keeper, sock: None,
    "garbage": lambda keeper, sock: sock.sendall(b"\0\xff" * 30000),
    "closes": lambda keeper, sock: sock.close(),
    "out of place": lambda keeper, sock: sock.sendall(b'{"type":"session"}\n'),
    "a dial": lambda keeper, sock: (keeper.prove(sock), sock.sendall(b'{"type":"dialled","id":1}\n{"type":"failed","id":1}\n{"type":"closed"}\n')),
    "another version": lambda keeper, sock: sock.sendall(b'{"type":"challenge","protocol":2,"nonce":"00"}\n'),
    "never lists": lambda keeper, sock: keeper.prove(sock),
    "long": lambda keeper, sock: (keeper.prove(sock), sock.sendall(b'{"type":"listed","x":"' + b"x" * 17000 + b'"}\n')),
    "many": many_sessions,
}


@pytest.mark.parametrize("kind", LIARS)
def test_a_keeper_that_lies(hub, alice, web01, kind):
    """The agent is soon there for its users all the same."""
    web01.stop()
    liar = FalseKeeper(web01, LIARS[kind])
    try:
        web01.run()
        hub.wait_online("web01", 30)
        assert alice.jump("web01", "echo true").ok().out == "true\n"
        assert proc.memory_kib(web01.process.pid) < 60000 * SLOW
        assert web01.process.running()
    finally:
        liar.close()


def test_who_cannot_prove_to_be_a_keeper_is_told_nothing(hub, alice, web01):
    web01.stop()
    liar = FalseKeeper(web01, told)
    try:
        web01.run()
        web01.wait_log(r"cannot be talked to: it is not the one that it should be")
        wait_for(lambda: getattr(liar, "heard", None) is not None, 20, "the connection is closed")
        assert liar.heard == b""
        hub.wait_online("web01", 30)
    finally:
        liar.close()


def test_what_lies_in_the_folder(hub, alice, web01):
    """Files that are none, and those of the dead."""
    web01.stop()
    folder = web01.state / "sessions"
    folder.mkdir(mode=0o700, exist_ok=True)
    names = {"x": "x", "0" * 32 + ".keeper": "{}", "1" * 32 + ".keeper": "[" * 5000, "README": ""}
    for name, text in names.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    (folder / ("2" * 32 + ".keeper")).mkdir()
    dead = folder / ("3" * 32 + ".keeper")
    dead.touch(mode=0o600)
    dead.write_text(json.dumps({"protocol": 1, "version": "9", "pid": 1, "token": "00" * 32}))
    foreign = folder / ("4" * 32 + ".keeper")
    foreign.touch(mode=0o600)
    foreign.write_text(json.dumps({"protocol": 2, "version": "9", "pid": 1, "token": "00" * 32}))
    web01.run()
    hub.wait_online("web01")
    assert not dead.exists(), "nobody listens there"
    assert foreign.exists() and "keeps sessions for an agent of version 9" in web01.log()
    assert alice.jump("web01", "echo true").ok().out == "true\n"
    web01.command("sessions", check=False).failed(1).says("version 9")
    shutil.rmtree(folder / ("2" * 32 + ".keeper"))
    for path in (foreign, *(folder / name for name in names)):
        path.unlink()
