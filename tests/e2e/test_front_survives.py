"""multissh-front between two hubs: what waits, what is told to the next one, what goes on meanwhile; and who is dead and
who only does not read. The hubs are played by hand (kit/front.py)."""
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import paramiko
import pytest
from kit import net as kit_net
from kit import proc
from kit.bench import BUILD
from kit.front import SLOW, Front, paramiko_client, world  # noqa: F401
from kit.wait import free_port, listening, wait_for

RESTARTING = "the hub is restarting"


class Mux:
    """One connection to the hub and clients that go through it."""

    def __init__(self, world):
        self.world, self.control = world, world.bench.path(f"mux{world.bench.number()}")
        self.count = len(world.fronts)
        self.master = world.popen("-M", "-N", "-o", f"ControlPath={self.control}", "hub")
        wait_for(self.control.exists, 20)
        self.through = ["-o", "LogLevel=INFO", "-o", f"ProxyCommand=ssh -F {world.config} -o ControlPath={self.control} -W %h:22 hub"]
        self.hub = ["-o", f"ControlPath={self.control}"]
        self.front = world.front(self.count + 1)

    def session(self, machine="m1"):
        session = self.world.popen(*self.through, machine, "echo up; cat")
        assert session.stdout.readline() == b"up\n"
        return session


def echo(session, text=b"still\n"):
    session.stdin.write(text)
    session.stdin.flush()
    assert session.stdout.readline() == text


def types(hub):
    return [m["type"] for m in hub.got if m["type"] != "log"]


def gone(front):
    """The hub ends, and the front knows."""
    front.hang_up()
    wait_for(lambda: "running sessions go on" in front.log(), 10)


def pause(seconds):
    """To see that nothing happens."""
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > end, seconds + 10)


def new_connection(edge_process, epoch):
    """The machine's edge dials, and the test has the socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        edge_process.stdin.write(f"connect {listener.getsockname()[1]} {epoch}\n".encode())
        edge_process.stdin.flush()
        sock, _ = listener.accept()
    return sock


def drop(edge_process):
    edge_process.stdin.write(b"drop\n")
    edge_process.stdin.flush()


# --- from one hub to the next ---

def test_everything_at_once(world):
    """A session, a publication, and one of everything that waits: told and asked in the order of the protocol."""
    world.with_sshd()
    mux = Mux(world)
    front = mux.front
    session = mux.session()
    world.ssh(*mux.hub, "-O", "forward", "-R", "alice-box:22:127.0.0.1:1", "hub").ok()
    first = front.find("open")[0]
    began = front.find("publish")[0]
    gone(front)
    jump = world.popen(*mux.through, "m2", "echo from-m2")
    command = world.popen(*mux.hub, "hub", "list-me")
    wait_for(lambda: len(proc.children(jump.pid)) == 1, 10)
    pause(1)
    assert jump.poll() is None and command.poll() is None
    echo(session)
    hub = front.adopt()
    assert jump.wait(20) == 0 and jump.stdout.read() == b"from-m2\n"
    assert command.wait(20) == 2 and b"no such command: list-me" in command.stderr.read()
    echo(session)
    got = types(hub)
    assert got[:4] == ["adopted", "resume", "publish", "resumed"], got
    assert sorted(got[4:6]) == ["exec", "open"], got
    adopted, resumed = hub.find("adopted")[0], hub.find("resume")[0]
    assert adopted["protocol"] == 1 and adopted["pid"] == front.popen.pid and adopted["version"]
    assert resumed["id"] == first["id"] and resumed["ticket"] == f"ticket-of-{world.edges[0].stream}"
    assert (resumed["host"], resumed["port"], resumed["window"], resumed["patience_ms"]) == ("m1", 22, world.window, world.patience_ms)
    assert resumed["epoch"] == 0 and resumed["parked"] is False and "parked_ms" not in resumed
    assert abs(resumed["started_s"] - time.time()) < 60 * SLOW
    assert hub.find("publish")[0] == began
    asked = [m["id"] for m in hub.got if m["type"] in ("open", "exec")]
    assert asked == sorted(asked) and asked[0] > began["id"], "ids go on, and in their order"
    session.stdin.close()
    assert session.wait(20) == 0
    assert hub.wait("close", id=first["id"])["received"] > 1000
    mux.master.terminate()
    assert front.ended(20) == 0


def test_a_login_waits_for_the_next_hub(world):
    asked = []
    world.answers["auth"] = lambda front, m: asked.append(m)
    popen = world.popen("hub", "frob")
    front = world.front()
    front.wait("auth")
    gone(front)
    front.answers["auth"] = world.on_auth
    pause(0.5)
    hub = front.adopt()
    assert popen.wait(20) == 2 and b"no such command: frob" in popen.stderr.read()
    assert types(hub)[:3] == ["adopted", "resumed", "auth"]
    assert hub.find("auth")[0] == asked[0], "asked again as it was"
    assert front.ended(20) == 0


def test_who_was_not_answered_is_asked_again(world):
    """open, exec and publish that the first hub has read and not answered."""
    world.with_sshd()
    mux = Mux(world)
    front = mux.front
    world.answers.update(open=None, publish=None)
    front.answers.update(open=None, publish=None)
    jump = world.popen(*mux.through, "m1", "echo hello-m1")
    front.wait("open")
    command = world.popen(*mux.hub, "hub", "hang")
    front.wait("exec")
    forward = world.popen(*mux.hub, "-O", "forward", "-R", "alice-box:22:127.0.0.1:1", "hub")
    front.wait("publish")
    before = [m for m in front.got if m["type"] in ("open", "exec", "publish")]
    gone(front)
    front.answers.update(open=world.on_open, publish=world.on_publish, exec=None)
    hub = front.adopt()
    hub.wait("publish")
    assert types(hub)[:2] == ["adopted", "resumed"]
    assert [m for m in hub.got if m["type"] in ("open", "exec", "publish")] == before
    assert forward.wait(20) == 0
    assert jump.wait(20) == 0 and jump.stdout.read() == b"hello-m1\n"
    hub.send({"type": "output", "id": hub.find("exec")[0]["id"], "data": "late\n", "error": False, "last": True})
    hub.send({"type": "exit", "id": hub.find("exec")[0]["id"], "status": 3})
    assert command.wait(20) == 3 and command.stdout.read() == b"late\n"


@pytest.mark.parametrize("tty", [False, True])
def test_a_command_whose_output_had_begun(world, tty):
    """… ends behind what had come, and is not run again."""
    mux = Mux(world)
    front = mux.front
    front.answers["exec"] = None
    command = world.popen(*mux.hub, *(["-tt"] if tty else []), "hub", "begun")
    asked = front.wait("exec")
    front.send({"type": "output", "id": asked["id"], "data": "first\nsecond\n", "error": False, "last": False})
    front.wait("more")
    gone(front)
    assert command.wait(20) == 1
    out, err = command.stdout.read().decode(), command.stderr.read().decode()
    told = "multissh: the hub was restarted before the command had ended: its output is not whole"
    if tty:
        assert out == f"first\r\nsecond\r\n{told}\r\n"
    else:
        assert out == "first\nsecond\n" and told in err
    hub = front.adopt()
    hub.wait("resumed")
    world.ssh(*mux.hub, "-O", "check", "hub").ok()
    assert not hub.find("exec")


def answer(hub, ident):
    hub.send({"type": "output", "id": ident, "data": "whole\n", "error": False, "last": True})
    hub.send({"type": "exit", "id": ident, "status": 7})


def test_the_last_words_of_a_hub(world):
    """It answers, and dies with a message of ours unread, or just when we want to send one: the answer counts."""
    mux = Mux(world)
    front = mux.front
    front.answers["exec"] = None
    one = world.popen(*mux.hub, "hub", "one")
    ident = front.wait("exec")["id"]
    gone(front)
    deaf = front.knock()
    deaf.send({"type": "adopt", "protocol": 1})
    wait_for(lambda: select.select([deaf.sock], [], [], 0)[0], 10)
    answer(deaf, ident)
    deaf.hang_up()
    assert one.wait(20) == 7 and one.stdout.read() == b"whole\n"

    hub = front.adopt()
    two = world.popen(*mux.hub, "hub", "two")
    ident = hub.wait("exec")["id"]
    os.kill(front.popen.pid, signal.SIGSTOP)
    answer(hub, ident)
    hub.hang_up()
    three = world.popen(*mux.hub, "hub", "three")
    pause(0.5)
    os.kill(front.popen.pid, signal.SIGCONT)
    assert two.wait(20) == 7 and two.stdout.read() == b"whole\n"
    last = front.adopt()
    asked = last.wait("exec")
    assert asked["command"] == "three" and asked["id"] > ident
    answer(last, asked["id"])
    assert three.wait(20) == 7


def test_waiting_has_an_end(world):
    world.with_sshd()
    world.start = {"wait_ms": 800}
    mux = Mux(world)
    session = mux.session()
    gone(mux.front)
    began = time.monotonic()
    world.ssh(*mux.through, "m2", "true").failed(255).says(RESTARTING)
    assert time.monotonic() - began > 0.7
    done = world.ssh(*mux.hub, "hub", "list").failed(1)
    assert done.err.count(f"multissh: {RESTARTING}") == 1 and done.out == ""
    done = world.ssh(*mux.hub, "-O", "forward", "-R", "alice-box:22:127.0.0.1:1", "hub").failed(255)
    assert "forward" in done.err
    echo(session)
    # The next hub hears nothing of all that.
    hub = mux.front.adopt(wait_ms=800)
    hub.wait("resumed")
    pause(0.3)
    assert types(hub) == ["adopted", "resume", "resumed"]
    world.ssh(*mux.hub, "hub", "list").failed(2)


def test_a_login_that_nobody_answers_ends_with_the_reason(world):
    world.start = {"wait_ms": 700}
    world.answers["auth"] = None
    popen = world.popen("hub")
    front = world.front()
    front.wait("auth")
    gone(front)
    assert popen.wait(20) == 255
    assert RESTARTING in popen.stderr.read().decode()
    assert front.ended(20) == 0


def test_an_idle_front_stays_but_not_for_ever(world):
    world.start = {"orphan_ms": 4000}
    popen = world.popen("-N", "hub")
    front = world.front()
    front.wait("auth", 2)
    gone(front)
    pause(2)
    assert popen.poll() is None and front.popen.poll() is None
    hub = front.adopt(orphan_ms=1500)
    hub.wait("resumed")
    pause(2.5)
    assert popen.poll() is None, "there is a hub"
    hub.hang_up()
    assert popen.wait(20) == 255
    assert "orphan-patience" in popen.stderr.read().decode()
    assert front.ended(20) == 0


def test_sessions_of_an_orphan_are_reset(world):
    world.with_sshd()
    world.start = {"orphan_ms": 1500}
    mux = Mux(world)
    session = mux.session()
    gone(mux.front)
    assert session.wait(20) == 255
    assert mux.front.ended(20) == 0
    assert b"orphan-patience" in world.edges[0].communicate(timeout=20)[0], "the machine is told"


def test_the_grace_of_who_is_not_logged_in(world):
    world.start = {"grace_ms": 1500}
    with socket.create_connection(("127.0.0.1", world.port)) as sock:
        front = world.front()
        front.wait("ready")
        gone(front)
        sock.settimeout(20)
        data = b""
        while more := sock.recv(4096):
            data += more
        assert b"no login within the time allowed" in data
    assert front.ended(20) == 0


# --- streams without a connection ---

def test_parked(world):
    """A second without a connection is news; less is not; and the next hub is told how it stands."""
    world.with_sshd()
    mux = Mux(world)
    session = mux.session()
    front, machine = mux.front, world.edges[0]
    ident = front.find("open")[0]["id"]
    for epoch in (1, 2, 3):
        sock = new_connection(machine, epoch)  # beside the old one
        front.send({"type": "connection", "stream": machine.stream, "epoch": epoch}, sock.fileno())
        sock.close()
        echo(session)
    assert not front.find("parked")
    drop(machine)
    began = time.monotonic()
    assert front.wait("parked")["parked"] is True and front.find("parked")[0]["id"] == ident
    assert time.monotonic() - began > 0.9
    gone(front)
    hub = front.adopt()
    resumed = hub.wait("resume")
    assert resumed["parked"] is True and 900 < resumed["parked_ms"] < 60000 and resumed["epoch"] == 3
    sock = new_connection(machine, 4)
    hub.send({"type": "connection", "stream": machine.stream, "epoch": 4}, sock.fileno())
    sock.close()
    assert hub.wait("parked")["parked"] is False
    echo(session)
    drop(machine)
    hub.wait("parked", 2)
    assert [m["parked"] for m in hub.find("parked")] == [False, True]
    hub.hang_up()
    last = front.adopt()
    assert last.wait("resume")["parked"] is True
    sock = new_connection(machine, 5)
    last.send({"type": "connection", "stream": machine.stream, "epoch": 5}, sock.fileno())
    sock.close()
    echo(session)
    assert last.wait("parked")["parked"] is False
    session.stdin.close()
    assert session.wait(20) == 0


def test_what_ended_while_no_hub_was_there(world):
    """… is resumed and closed, with its numbers; also when the user has gone for good."""
    world.with_sshd()
    mux = Mux(world)
    front = mux.front
    kept, sessions = mux.session("m0"), [mux.session(f"m{n}") for n in range(1, 4)]
    ids = [m["id"] for m in front.find("open")]
    gone(front)
    for session in sessions:
        session.stdin.close()
        assert session.wait(20) == 0
    wait_for(lambda: all(e.poll() is not None for e in world.edges[1:4]), 20)
    hub = front.adopt()
    for ident in ids[1:]:
        assert hub.wait("close", id=ident)["reason"] == "finished"
        assert hub.find("close", id=ident)[0]["received"] > 1000
    got = types(hub)
    assert got[:6] == ["adopted", "resume", "resume", "resume", "resume", "resumed"] and got[6:] == ["close"] * 3
    assert sorted(m["id"] for m in hub.find("resume")) == ids
    echo(kept)
    gone_now = front.log().count("running sessions go on")
    hub.hang_up()
    wait_for(lambda: front.log().count("running sessions go on") > gone_now, 10)
    for popen in (kept, mux.master):
        popen.terminate()
        popen.wait(20)
    wait_for(lambda: world.edges[0].poll() is not None, 20)
    last = front.adopt()
    assert last.wait("close", id=ids[0])
    assert front.ended(20) == 0


def test_the_ended_are_bounded(world):
    """More sessions end while no hub is there than a connection may have channels: the newest are remembered."""
    world.with_sshd()
    transport = paramiko_client(world)
    front = world.front()
    channels = [transport.open_channel("direct-tcpip", (f"m{n}", 22), ("127.0.0.1", 0)) for n in range(4)]
    for channel in channels:
        assert channel.recv(8) == b"SSH-2.0-"
    ids = [m["id"] for m in front.find("open")]
    front.adopt(channels=2).wait("resumed")
    gone(front)
    for channel, machine in zip(channels, world.edges):
        channel.close()
        wait_for(lambda machine=machine: machine.poll() is not None, 20)
    pause(0.5)
    hub = front.adopt(channels=2)
    hub.wait("close", 2)
    assert sorted(m["id"] for m in hub.find("close")) == sorted(m["id"] for m in hub.find("resume")) == ids[2:]
    transport.close()
    assert front.ended(20) == 0


# --- who may be the next hub ---

def test_the_voucher(world):
    """The newest that was given comes back, byte for byte; at most 32,768 of them."""
    world.start = {"voucher": "from-start"}
    world.answers["auth"] = lambda front, m: None
    popen = world.popen("-N", "hub")
    front = world.front()
    asked = front.wait("auth")
    gone(front)
    hub = front.adopt()
    assert hub.wait("adopted")["voucher"] == "from-start"
    hub.wait("auth")
    hub.send({"type": "auth-result", "id": asked["id"], "ok": True, "user": "alice"})
    verified = hub.wait("auth", 2)
    long = "v" * 32768
    hub.send({"type": "auth-result", "id": verified["id"], "ok": True, "user": "alice", "voucher": long})
    hub.send({"type": "auth-result", "id": verified["id"], "ok": True, "user": "mallory", "voucher": "another"})
    pause(0.3)
    hub.hang_up()
    last = front.adopt()
    assert last.wait("adopted")["voucher"] == long
    assert popen.poll() is None


def test_unfit(world):
    """A hub that does not know this front: what runs goes on, what is new is refused with its words, and with the last session the
    connection ends, so that the client comes back to the hub that is there."""
    world.with_sshd()
    mux = Mux(world)
    session = mux.session()
    gone(mux.front)
    waits = world.popen(*mux.hub, "hub", "whoami")
    mux.front.answers["exec"] = None
    hub = mux.front.adopt(protocol=7)
    assert hub.wait("adopted")["protocol"] == 1
    hub.send({"type": "unfit", "protocol": 7, "text": "this hub knows protocols 5 to 7"})
    assert waits.wait(20) == 1 and b"this hub knows protocols 5 to 7" in waits.stderr.read()
    wait_for(hub.over.is_set, 10)
    world.ssh(*mux.through, "m2", "true").failed(255).says("connect again: this hub knows protocols 5 to 7")
    echo(session)
    # One that fits may still come.
    mux.front.answers["exec"] = world.on_exec
    hub = mux.front.adopt()
    assert hub.wait("resume")
    world.ssh(*mux.hub, "hub").ok()
    mux.front.answers["exec"] = None
    hub.send({"type": "unfit", "protocol": 9, "text": "no\x1bt\n\this"})
    echo(session)
    session.stdin.close()
    assert session.wait(20) == 0
    assert mux.front.ended(20) == 0
    assert mux.master.wait(20) == 255
    assert "connect again: no?t" in mux.master.stderr.read().decode()


def test_a_newer_hub_that_knows_us(world):
    mux = Mux(world)
    gone(mux.front)
    hub = mux.front.adopt(protocol=2, frob={"x": [1]}, orphan_ms="soon", channels=10**9)
    hub.wait("resumed")
    world.ssh(*mux.hub, "hub").ok()


def test_who_knocks_changes_nothing(world):
    """A connection without `adopt`, or with nonsense, leaves the hub that is there; of two that wait the newest counts."""
    mux = Mux(world)
    front = mux.front
    first = front.hub
    silent = front.knock()
    silent.reader.start()
    world.ssh(*mux.hub, "hub").ok()
    for nonsense in (b"x", b"{}", b'{"type":"adopt"}', b'{"type":"adopt","protocol":0}', b'{"type":"adopt","protocol":"1"}', b'{"type":"end","text":"bye"}',
                     b"\xff" * 70000):
        liar = front.knock()
        liar.reader.start()
        liar.sock.send(nonsense)
        wait_for(liar.over.is_set, 10)
        assert not liar.got
    assert silent.over.is_set(), "a newer one came"
    world.ssh(*mux.hub, "hub").ok()
    assert not first.over.is_set() and len(first.find("exec")) == 2
    one, two = front.knock(), front.knock()
    one.reader.start()
    wait_for(one.over.is_set, 10)
    with pytest.raises(OSError):
        one.send({"type": "adopt", "protocol": 1})
    front.hubs.append(two)
    two.send({"type": "adopt", "protocol": 1})
    two.reader.start()
    two.wait("resumed")
    wait_for(first.over.is_set, 10)
    world.ssh(*mux.hub, "hub").ok()
    assert two.find("exec")


def test_a_silent_one_is_let_go(world):
    mux = Mux(world)
    silent = mux.front.knock()
    silent.reader.start()
    began = time.monotonic()
    wait_for(silent.over.is_set, 30)
    assert time.monotonic() - began > 9
    world.ssh(*mux.hub, "hub").ok()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_somebody_else_is_no_hub(world):
    mux = Mux(world)
    os.chmod(mux.front.path, 0o777)
    for folder in mux.front.path.parents:
        if str(folder).startswith(str(world.bench.root)):
            os.chmod(folder, 0o755)
    script = ("import os,socket,sys\nos.setgid(65534)\nos.setuid(65534)\ns=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\ns.connect(sys.argv[1])\n"
              "try:\n    s.send(b'{\"type\":\"adopt\",\"protocol\":1}')\n    print(len(s.recv(9999)))\nexcept OSError:\n    print(0)\n")
    done = subprocess.run([sys.executable, "-c", script, str(mux.front.path)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0\n"
    assert "neither root nor this user" in mux.front.log()
    world.ssh(*mux.hub, "hub").ok()


def test_a_hub_sees_whose_socket_it_is(world):
    mux = Mux(world)
    hub = mux.front.knock()
    credentials = hub.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    assert int.from_bytes(credentials[:4], sys.byteorder) == mux.front.popen.pid


def test_a_listener_that_is_none(world):
    hub, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    user, accepted = socket.socketpair()
    hub.send(b'{"type":"start"}')
    front = subprocess.run([str(BUILD / "multissh-front"), "--host-key", str(world.host_key), "--connection-fd", str(accepted.fileno()), "--hub-fd",
                            str(theirs.fileno()), "--listen-fd", "0"], pass_fds=[theirs.fileno(), accepted.fileno()], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=60, check=False)
    assert front.returncode == 1 and "cannot wait for another hub on descriptor 0" in front.stderr
    for sock in (hub, theirs, user, accepted):
        sock.close()


# --- what the next hub may say ---

def test_the_next_hub_kills_and_ends(world):
    world.with_sshd()
    mux = Mux(world)
    one, two = mux.session("m1"), mux.session("m2")
    ids = [m["id"] for m in mux.front.find("open")]
    gone(mux.front)
    hub = mux.front.adopt()
    hub.wait("resumed")
    hub.send({"type": "kill", "id": ids[0], "text": "your key is no longer accepted"})
    hub.send({"type": "kill", "id": 4711, "text": "nobody"})
    assert one.wait(20) == 255
    assert hub.wait("close", id=ids[0])["reason"] == "your key is no longer accepted"
    assert b"your key is no longer accepted" in world.edges[0].communicate(timeout=20)[0]
    echo(two)
    hub.send({"type": "end", "text": "no longer welcome"})
    assert mux.master.wait(20) == 255 and b"no longer welcome" in mux.master.stderr.read()
    assert two.wait(20) == 255
    assert mux.front.ended(20) == 0


def test_nonsense_from_the_next_hub(world):
    """It speaks to its own front; still, nothing that it says may break one or leak."""
    world.with_sshd()
    mux = Mux(world)
    session = mux.session()
    ident = mux.front.find("open")[0]["id"]
    gone(mux.front)
    hub = mux.front.adopt(wait_ms=-5, keepalive_ms=1e300, channels=0, orphan_ms=0)
    hub.wait("resumed")
    fds = f"/proc/{mux.front.popen.pid}/fd"
    before = len(os.listdir(fds))
    stream, key = world.edges[0].stream, "00" * 32
    for message in ({"type": "opened", "id": ident, "stream": stream, "key": key, "window": 1 << 20, "patience_ms": 1000, "epoch": 9},
                    {"type": "opened", "id": 99, "ticket": "x" * 600}, {"type": "refused", "id": ident, "text": "no"}, {"type": "adopt", "protocol": 1},
                    {"type": "connection", "stream": stream, "epoch": 0}, {"type": "connection", "stream": stream, "epoch": 1 << 40},
                    {"type": "auth-result", "id": 1, "ok": True, "voucher": "x"}, {"type": "publish-result", "id": 1, "ok": False},
                    {"type": "output", "id": ident, "data": "x"}, {"type": "exit", "id": ident}, {"type": "start", "protocol": 1},
                    {"type": "resume"}, {"type": "reach", "id": -1}, {"type": "unfit"[:4]}, {"type": 5}, {}):
        fd = os.open("/dev/null", os.O_RDONLY)
        hub.send(message, fd)
        os.close(fd)
    echo(session)
    pause(0.5)
    assert len(os.listdir(fds)) <= before
    assert not hub.find("exec") and mux.front.popen.poll() is None
    hub.sock.send(b"[]")
    wait_for(hub.over.is_set, 10)
    echo(session)
    last = mux.front.adopt()
    assert last.wait("resume")["id"] == ident
    world.ssh(*mux.hub, "hub").ok()


def test_a_thousand_hubs(world):
    """Memory and descriptors stay as they are, and so does the session."""
    world.with_sshd()
    mux = Mux(world)
    session = mux.session()
    front = mux.front
    fds = f"/proc/{front.popen.pid}/fd"
    memory = count = 0
    for n in range(1000):
        hub = front.adopt(voucher="ignored")
        if n % 3 == 0:
            hub.wait("resumed", timeout=60)
        if n % 3 == 1:
            front.knock().hang_up()
        hub.hang_up()
        front.hubs = front.hubs[-1:]
        if n % 100 == 0:
            echo(session)
        if n == 200:
            memory, count = proc.memory_kib(front.popen.pid), len(os.listdir(fds))
    hub = front.adopt()
    hub.wait("resumed")
    echo(session)
    wait_for(lambda: len(os.listdir(fds)) <= count + 1, 20, lambda: os.listdir(fds))
    if SLOW == 1:
        assert proc.memory_kib(front.popen.pid) < memory + 1024
    session.stdin.close()
    assert session.wait(20) == 0
    assert len(hub.find("resume")) == 1


# --- who is dead, and who only does not read ---

def download(world, size=48 << 20):
    """A transfer to a client, begun. Returns the inner client, the pid of the outer one, and what is to arrive where."""
    source, target = world.bench.path("source"), world.bench.path("target")
    source.write_bytes(os.urandom(size))
    with open(target, "wb") as out:
        inner = world.popen("-o", f"ProxyCommand=ssh -F {world.config} -W %h:22 hub", "m1", f"cat {source}", stdout=out)
    wait_for(lambda: target.stat().st_size > 0, 30)
    outer = wait_for(lambda: [p for p in proc.children(inner.pid) if "-W" in proc.command_of(p)], 10)[0]
    return inner, outer, source, target


def test_a_client_stopped_with_a_full_window(world):
    """Its kernel answers the window probes, of which there are fewer and fewer: 0.2, 0.4 … s apart, two minutes in the end, far
    beyond the keepalive's patience of 3 times 400 ms. Nor does the stream, whose patience is 1 s, take the stuck sink for
    dead."""
    world.with_sshd()
    world.start = {"keepalive_ms": 400}
    world.patience_ms = 1000
    inner, outer, source, target = download(world)
    front = world.front()
    os.kill(outer, signal.SIGSTOP)
    pause(9)
    assert front.popen.poll() is None, front.find("log")
    assert not front.find("close") and not front.find("parked")
    os.kill(outer, signal.SIGCONT)
    assert inner.wait(60 * SLOW) == 0
    assert target.read_bytes() == source.read_bytes()


def far_away(world, *argv, **options):
    """A client in a network namespace of its own, and its front, outside. Returns the host, the client and the front."""
    why = kit_net.unavailable()
    if why:
        pytest.skip(why)
    host = kit_net.Net(world.bench).host("far")
    made = []

    def listen():
        with open(f"/run/netns/{host.full}", "rb") as namespace:
            assert ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000) == 0  # CLONE_NEWNET, of this thread
        made.append(socket.create_server(("127.0.0.1", world.port)))
    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    popen = subprocess.Popen(["ip", "netns", "exec", host.full, "ssh", "-F", str(world.config), *argv], env=world.bench.env(),
                             stdin=subprocess.DEVNULL, start_new_session=True, **options)
    world.pairs.append(popen)
    connection, _ = made[0].accept()
    front = Front(world, connection)
    world.fronts.append(front)
    connection.close()
    made[0].close()
    return host, popen, front


def has_not_answered(front, timeout=60):
    wait_for(lambda: [m for m in front.find("log") if "has not answered" in m["text"]], timeout * SLOW, lambda: front.got)


def test_who_is_gone(world):
    """Idle, until from some moment on nothing arrives any more."""
    world.start = {"keepalive_ms": 400}
    host, _, front = far_away(world, "-N", "hub")
    front.wait("auth", 2)
    pause(2)
    assert front.popen.poll() is None, "it answers, and is kept"
    host.down("lo")
    began = time.monotonic()
    has_not_answered(front)
    assert time.monotonic() - began > 0.8
    assert front.ended() == 0


@pytest.mark.parametrize("stopped", [False, True])
def test_who_is_gone_in_the_middle(world, stopped):
    """… of a transfer, or stopped with a full window: then it takes two window probes."""
    world.with_sshd()
    world.start = {"keepalive_ms": 400}
    source, target = world.bench.path("source"), world.bench.path("target")
    source.write_bytes(os.urandom(1 << 20) * 512)
    with open(target, "wb") as out:
        host, popen, front = far_away(world, "-o", f"ProxyCommand=ssh -F {world.config} -W %h:22 hub", "m1", f"cat {source}", stdout=out)
    wait_for(lambda: target.stat().st_size > 0, 30)
    if stopped:
        outer = wait_for(lambda: [p for p in proc.children(popen.pid) if "-W" in proc.command_of(p)], 10)[0]
        os.kill(outer, signal.SIGSTOP)
        pause(4)
        assert not front.find("log")
    assert front.popen.poll() is None and popen.poll() is None
    host.down("lo")
    has_not_answered(front)
    front.wait("close", timeout=30)
    assert front.ended(30) == 0


# --- what the user is told ---

def lose(world):
    """The machine's edge goes away without a word."""
    os.kill(world.edges[-1].pid, signal.SIGKILL)


def test_why_a_session_was_lost(world):
    """ssh -J: the reason is in the client's own output, and what had come is there."""
    world.with_sshd()
    world.patience_ms = 1000
    session = world.popen("-o", "LogLevel=ERROR", "-o", f"ProxyCommand=ssh -F {world.config} -W %h:22 hub", "m1", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    lose(world)
    assert session.wait(30) == 255
    err = session.stderr.read().decode()
    assert "m1: nothing was heard from the other end for 1 s" in err, err
    assert world.front().wait("close")["reason"].startswith("nothing was heard")
    assert world.front().ended(20) == 0


def test_why_a_session_was_killed(world):
    world.with_sshd()
    session = world.popen("-o", f"ProxyCommand=ssh -F {world.config} -W %h:22 hub", "m1", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    front = world.front()
    front.send({"type": "kill", "id": front.find("open")[0]["id"], "text": "ended by an administrator"})
    assert session.wait(30) == 255
    assert "m1: ended by an administrator" in session.stderr.read().decode()


def test_one_lost_session_of_many(world):
    """A connection that has other uses stays: the reason is there for those who ask with -v."""
    world.with_sshd()
    world.patience_ms = 1000
    port = free_port()
    local = world.popen("-v", "-N", "-L", f"{port}:m1:22", "hub")
    wait_for(lambda: listening(port), 10)
    through = ["-p", str(port), "-o", "HostKeyAlias=m1", "-o", "HostName=127.0.0.1"]
    for n in range(2):
        session = world.popen(*through, "m1", "echo up; cat")
        assert session.stdout.readline() == b"up\n"
        lose(world)
        assert session.wait(30) == 255
    again = world.popen(*through, "m1", "echo up; cat")
    assert again.stdout.readline() == b"up\n"
    echo(again)
    assert local.poll() is None
    local.terminate()
    assert local.communicate(timeout=20)[1].decode().count("Remote: m1: nothing was heard from the other end for 1 s") == 2


def test_an_ordinary_end_needs_no_words(world):
    world.with_sshd()
    for status in (0, 3):
        done = world.jump(f"exit {status}", machine="m1")
        assert (done.status, done.err) == (status, "")


# --- publishers ---

def reach(front, ident, **more):
    """Asks the publisher's front for a channel. Returns our end of the stream's socket."""
    ours, theirs = socket.socketpair()
    front.send({"type": "reach", "id": ident, "host": "alice-box", "port": 22, "user": "bob", "source": "127.0.0.9", "source_port": 99,
                "stream": f"{ident:032x}", "key": "cd" * 32, "window": 1 << 20, "patience_ms": 60000, "epoch": 0, **more}, theirs.fileno())
    theirs.close()
    return ours


def ended(sock):
    """The front has closed its end (behind a RESET, perhaps)."""
    sock.settimeout(20)
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass


def test_a_publisher_between_two_hubs(world):
    """Its sessions run on, the machine is published again, and what no hub asks for any more is not answered."""
    world.with_sshd()
    publisher = world.popen("-N", "-R", f"alice-box:22:127.0.0.1:{world.target_port}", "hub")
    front = world.front()
    asked = front.wait("publish")
    stream, key = os.urandom(16).hex(), os.urandom(32).hex()
    common = {"stream": stream, "key": key, "window": 1 << 20, "patience_ms": 60000, "epoch": 0}
    a, b = socket.socketpair()

    def to_publisher(user_front, m):
        front.send({"type": "reach", "id": 7, "host": "alice-box", "port": 22, "user": "bob", "source": "127.0.0.9", "source_port": 99, **common}, b.fileno())
        front.wait("reached", id=7)
        user_front.send({"type": "opened", "id": m["id"], "ticket": "t", **common}, a.fileno())
    world.answers["open"] = to_publisher
    session = world.popen("-o", f"ProxyCommand=ssh -F {world.config} -W %h:22 hub", "m1", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    a.close()
    b.close()
    user_front = world.front(2)
    gone(front)
    gone(user_front)
    echo(session)
    hub = front.adopt()
    hub.wait("resumed")
    assert types(hub) == ["adopted", "publish", "resumed"] and hub.find("publish")[0] == asked
    assert user_front.adopt().wait("resume")["host"] == "m1"
    echo(session)
    # The ids of reaches are the new hub's to choose.
    other = reach(front, 7)
    assert hub.wait("reached", id=7)
    session.stdin.close()
    assert session.wait(20) == 0
    other.close()
    pause(0.3)
    assert not hub.find("close") and publisher.poll() is None


def test_a_reach_that_no_hub_waits_for(world):
    """The hub ends before the publisher's client has answered: nobody else gets that answer, and nothing of it stays."""
    transport = paramiko_client(world)
    asked = []
    transport.request_port_forward("alice-box", 22, handler=lambda *words: asked.append(words))
    front = world.front()
    front.wait("publish")
    hold, take = threading.Event(), paramiko.Transport._parse_channel_open

    def late(which, m):
        hold.wait(60)
        take(which, m)
    transport._handler_table = {**transport._handler_table, 90: late}  # SSH_MSG_CHANNEL_OPEN
    ours = reach(front, 5)
    pause(0.5)
    assert not front.find("reached")
    gone(front)
    ended(ours)
    hub = front.adopt()
    hub.wait("resumed")
    hold.set()
    again = reach(front, 5)
    hub.wait("reached", id=5)
    assert len(hub.find("reached")) == 1
    again.close()
    transport.close()
    assert front.ended(20) == 0


def test_a_published_machine_whose_user_is_gone(world):
    """The socket from the user's front is closed without a word: there will be no other, so the channel is closed at once."""
    transport = paramiko_client(world)
    channels = []
    transport.request_port_forward("alice-box", 22, handler=lambda channel, *words: channels.append(channel))
    front = world.front()
    ours = reach(front, 5, patience_ms=600000)
    front.wait("reached", id=5)
    wait_for(lambda: channels, 10)
    ours.close()
    channels[0].settimeout(20)
    assert channels[0].recv(10) == b""
    wait_for(lambda: channels[0].closed, 20)
    transport.close()
    assert front.ended(20) == 0
