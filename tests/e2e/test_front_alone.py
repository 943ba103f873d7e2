"""multissh-front by itself (kit/front.py): logins, commands, jumps and publishing. Who must hurt nobody: test_front_hurt.py."""
import contextlib
import hashlib
import hmac
import os
import re
import socket
import struct
import threading
import time
from pathlib import Path

import paramiko
import pytest
from kit.bench import BUILD
from kit.edge import DATA, PROOF, RESET, RESUME
from kit.front import SLOW, paramiko_client, world  # noqa: F401
from kit.message import send
from kit.parts import ME, keygen
from kit.wait import wait_for


# --- the program ---

def test_command_line(world):
    run = world.bench.run
    front = BUILD / "multissh-front"
    assert "--make-host-key" in run(front, "--help").ok().out
    assert re.match(r"multissh-front \d+\.\d+", run(front, "--version").ok().out)
    run(front).failed(2).says("usage")
    run(front, "--frob").failed(2).says("unknown argument '--frob'")
    run(front, "--host-key").failed(2).says("wants a value")
    run(front, "--make-host-key", world.host_key).failed(1).says("is there already and is left as it is")
    assert os.stat(world.host_key).st_mode & 0o777 == 0o600
    assert world.host_line in Path(f"{world.host_key}.pub").read_text()
    assert world.host_line in run("ssh-keygen", "-y", "-f", world.host_key).ok().out
    os.chmod(world.host_key, 0o644)
    run(front, "--host-key", world.host_key, "--connection-fd", "0", "--hub-fd", "1").failed(1).says("can be read by others")
    os.chmod(world.host_key, 0o600)


# --- login ---

def test_login_and_a_command(world):
    done = world.ssh("hub").ok()
    assert done.out == "hello\nweb01\n"
    front = world.front()
    assert front.wait("ready")["pid"] == front.popen.pid
    auths = front.find("auth")
    assert [a["verified"] for a in auths] == [False, True]
    assert auths[0]["login"] == ME
    assert front.find("exec")[0]["tty"] is False
    assert front.ended() == 0


def test_the_first_answer_names_the_methods(world):
    assert "(publickey)" in world.ssh("-o", "PubkeyAuthentication=no", "hub").failed(255).err


def test_an_unknown_key_is_refused_and_tries_are_counted(world):
    world.start = {"tries": 3}
    keys = []
    for n in range(5):
        path = keygen(world.bench.path(f"other{n}"))
        keys += ["-i", str(path)]
    done = world.ssh("-o", "IdentityFile=none", *keys, "hub").failed(255)
    assert "too many keys were refused" in done.err
    front = world.front()
    assert len(front.find("auth")) == 3
    assert "too many" in front.wait("login-failed")["reason"]
    assert front.ended() == 0


@pytest.mark.parametrize("kind,bits", [("rsa", 2048), ("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521)])
def test_kinds_of_keys(world, kind, bits):
    world.key = keygen(world.bench.path("other"), kind=kind, bits=bits)
    assert world.ssh("-o", "IdentityFile=none", "-i", str(world.key), "hub").ok().out == "hello\nweb01\n"


def test_a_certificate_is_refused_without_asking(world):
    ca = keygen(world.bench.path("ca"))
    world.bench.run("ssh-keygen", "-q", "-s", ca, "-I", "alice", "-n", ME, f"{world.key}.pub").ok()
    world.ssh("-o", f"CertificateFile={world.key}-cert.pub", "hub").ok()
    front = world.front()
    assert "certificate" in front.wait("login-failed")["reason"]
    assert not [a for a in front.find("auth") if "cert" in a["key"]]


def test_grace(world):
    world.start = {"grace_ms": 700}
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", world.port)) as sock:
        sock.sendall(b"SSH-2.0-slow\r\n")
        data = b""
        while True:
            more = sock.recv(4096)
            if not more:
                break
            data += more
    assert b"no login within the time allowed" in data
    assert 0.6 < time.monotonic() - began < 3 * SLOW
    assert "time allowed" in world.front().wait("login-failed")["reason"]
    assert world.front().ended() == 0


def test_a_key_that_cannot_be_read_does_not_wait_for_ever(world):
    transport = paramiko.Transport(socket.create_connection(("127.0.0.1", world.port)))
    transport.start_client(timeout=10)
    with pytest.raises(paramiko.BadAuthenticationType):
        transport.auth_none("alice")
    began = time.monotonic()
    send(transport, 50, "alice", "ssh-connection", "publickey", False, "ssh-ed25519", b"\0\0\0\x0bssh-ed25519" + b"\0\0\0\5xxxxx")
    wait_for(lambda: not transport.is_active(), 12 * SLOW)
    assert 4 < time.monotonic() - began < 9 * SLOW
    assert "cannot be read" in world.front().wait("login-failed")["reason"]
    transport.close()
    assert world.front().ended() == 0


# --- commands ---

def test_terminal_and_status(world):
    done = world.ssh("-tt", "hub").ok()
    assert done.out.startswith("hello\r\nweb01\r\n")
    assert world.front().find("exec")[0]["tty"] is True
    done = world.ssh("hub", "frob", "x").failed(2)
    assert (done.out, done.err) == ("", "no such command: frob\n")


def test_long_output_is_asked_for_part_by_part(world):
    done = world.ssh("hub", "long").ok()
    assert done.out == "".join(f"{n:04d}" * 4096 for n in range(40))
    assert len(world.front().find("more")) == 39


def test_subsystems_are_refused_with_a_sentence(world):
    world.bench.run("sftp", "-F", world.config, "-b", "-", "hub", input="ls\n").failed().says("the hub has no files")
    world.ssh("-s", "hub", "netconf").failed(2).says("no subsystem 'netconf'")


def test_a_user_who_closes_a_command(world):
    popen = world.popen("hub", "hang")
    front = world.front()
    asked = front.wait("exec")
    popen.kill()
    assert front.wait("exec-close")["id"] == asked["id"]
    assert front.ended() == 0


def test_ctrl_c_ends_a_command(world):
    popen = world.popen("-tt", "hub", "hang")
    front = world.front()
    front.wait("exec")
    popen.stdin.write(b"\x03")
    popen.stdin.flush()
    front.wait("exec-close")
    assert popen.wait(10 * SLOW) == 130


def test_odd_commands(world):
    transport = paramiko_client(world)
    session = transport.open_session(timeout=10)
    send(transport, 98, session.remote_chanid, "exec", True, b"frob \xff")
    assert b"not UTF-8" in session.makefile_stderr("rb").read()
    assert session.recv_exit_status() == 2
    transport.close()
    world.ssh("hub", "x" * 20000).failed(2).says("too long")


# --- jumps ---

def test_a_jump(world):
    world.with_sshd()
    assert world.jump("echo", "from-the-machine").ok().out == "from-the-machine\n"
    front = world.front()
    opened = front.find("open")[0]
    assert (opened["host"], opened["port"]) == ("m1", 22)
    closed = front.wait("close", id=opened["id"])
    assert closed["sent"] > 1000 and closed["received"] > 1000
    assert closed["reason"] == "finished", closed
    assert front.ended(20) == 0
    assert world.edges[0].wait(20) == 0


def test_the_streams_handshake_takes_one_round_trip(world):
    """The machine's RESUME lies in the connection when the front gets it: our RESUME and PROOF go together, and its PROOF may bring the first bytes."""
    def opened(front, message):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # what is sent together comes together
        resume = os.urandom(32) + struct.pack(">IQI", 0, 0, 65536)
        theirs.sendall(bytes([RESUME]) + struct.pack(">I", len(resume)) + resume)
        machine.update(sock=theirs, resume=resume)
        front.send({"type": "opened", "id": message["id"], "stream": os.urandom(16).hex(), "key": key.hex(), "window": 65536, "patience_ms": 60000,
                    "epoch": 0, "ticket": "ticket"}, ours.fileno())
        ours.close()
    key, machine = os.urandom(32), {}
    label = b"multissh proof v1\0"
    world.answers["open"] = opened
    transport = paramiko_client(world)
    channel = transport.open_channel("direct-tcpip", ("m1", 22), ("127.0.0.1", 0))
    sock, theirs = machine["sock"], machine["resume"]
    sock.settimeout(20 * SLOW)
    first = sock.recv(4096)
    assert first[:5] == bytes([RESUME]) + struct.pack(">I", 48)
    ours = first[5:53]
    assert first[53:] == bytes([PROOF]) + struct.pack(">I", 32) + hmac.digest(key, label + b"a" + ours + theirs, "sha256"), \
        f"{len(first)} bytes came first, and not RESUME and PROOF"
    banner = b"SSH-2.0-first\r\n"
    sock.sendall(bytes([PROOF]) + struct.pack(">I", 32) + hmac.digest(key, label + b"b" + theirs + ours, "sha256")
                 + bytes([DATA]) + struct.pack(">IQ", 8 + len(banner), 0) + banner)
    channel.settimeout(20 * SLOW)
    assert channel.recv(100) == banner
    transport.close()
    sock.sendall(bytes([RESET]) + struct.pack(">IH", 2, 1))  # or the front would wait for the machine's next connection
    with contextlib.suppress(ConnectionResetError):
        while sock.recv(4096):
            pass
    sock.close()
    assert world.front().ended(10) == 0


def test_a_refusal_is_read_in_the_clients_own_output(world):
    done = world.ssh("-o", "LogLevel=INFO", "-o", f"ProxyCommand=ssh -F {world.config} -W %h:22 hub", "nosuch", "true").failed(255)
    assert "nosuch is offline, last seen 14 min ago (keepalive lost)" in done.err
    assert world.front().ended() == 0


def test_a_refusal_leaves_other_sessions_of_the_connection(world):
    """Multiplexed: one connection to the hub, a session through it, and a refused one beside it."""
    world.with_sshd()
    control = world.bench.path("mux")
    mux = ["-o", f"ControlPath={control}"]
    master = world.popen("-M", "-N", *mux, "hub")
    wait_for(control.exists, 10)
    through = ["-o", "LogLevel=INFO", "-o", f"ProxyCommand=ssh -F {world.config} -o ControlPath={control} -W %h:22 hub"]
    session = world.popen(*through, "m1", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    for n in range(3):
        world.ssh(*through, f"no{n}", "true").failed(255).says(f"no{n} is offline")
        session.stdin.write(b"still\n")
        session.stdin.flush()
        assert session.stdout.readline() == b"still\n"
    assert len(world.fronts) == 1
    session.stdin.close()
    assert session.wait(20) == 0
    master.kill()


def test_plink_reads_the_refusal_and_jumps(world):
    ppk = world.bench.path("id.ppk")
    world.bench.run("puttygen", world.key, "-o", ppk).ok()
    fingerprint = world.bench.run("ssh-keygen", "-lf", f"{world.host_key}.pub").ok().out.split()[1]
    inner = f"plink -batch -hostkey {fingerprint} -i {ppk} -P {world.port} -nc %host:22 {ME}@127.0.0.1"
    done = world.bench.run("plink", "-batch", "-i", ppk, "-proxycmd", inner, f"{ME}@nosuch", "true").failed()
    assert "nosuch is offline" in done.err
    sshd = world.with_sshd()
    machine = world.bench.run("ssh-keygen", "-lf", f"{sshd.host_key}.pub").ok().out.split()[1]
    done = world.bench.run("plink", "-batch", "-hostkey", machine, "-i", ppk, "-proxycmd", inner, f"{ME}@m1", "echo by-plink").ok()
    assert done.out == "by-plink\n"


def test_dropbear(world):
    world.with_sshd()
    key = world.bench.path("id_dropbear")
    world.bench.run("dropbearconvert", "openssh", "dropbear", world.key, key).ok()
    inner = f"dbclient -y -y -i {key} -p {world.port} -B m1:22 {ME}@127.0.0.1"
    done = world.bench.run("dbclient", "-y", "-y", "-i", key, "-J", inner, f"{ME}@m1", "echo by-dropbear").ok()
    assert done.out == "by-dropbear\n"


def test_paramiko(world):
    world.with_sshd()
    outer = paramiko_client(world)
    channel = outer.open_channel("direct-tcpip", ("m1", 22), ("127.0.0.1", 0))
    inner = paramiko.Transport(channel)
    inner.start_client(timeout=20)
    inner.auth_publickey(ME, paramiko.Ed25519Key.from_private_key_file(str(world.key)))
    session = inner.open_session()
    session.exec_command("echo by-paramiko")
    assert session.makefile("rb").read() == b"by-paramiko\n"
    inner.close()
    outer.close()


@pytest.mark.parametrize("rekey", ["default", "1M"])
def test_64_mib_each_way(world, rekey):
    world.with_sshd()
    if rekey != "default":
        world.config.write_text(f"RekeyLimit {rekey}\n" + world.config.read_text())
    data = os.urandom(64 << 20)
    source, target = world.bench.path("source"), world.bench.path("target")
    source.write_bytes(data)
    world.jump(f"cat >{target}", input=data, timeout=120).ok()
    assert target.read_bytes() == data
    with open(world.bench.path("down"), "wb") as out:
        world.jump(f"cat {source}", timeout=120, stdout=out).ok()
    assert world.bench.path("down").read_bytes() == data


def test_both_ways_at_once_with_rekeying(world):
    world.with_sshd()
    world.config.write_text("RekeyLimit 1M\n" + world.config.read_text())
    data = os.urandom(48 << 20)
    done = world.jump("cat", input=data, timeout=180).ok()
    assert hashlib.sha256(done.raw).digest() == hashlib.sha256(data).digest()


def test_little_behind_much(world):
    """Whoever sends much is read seldom. The rest of it, and what comes one by one behind it, is not waited for by anybody: nothing more comes, and no end."""
    server = socket.create_server(("127.0.0.1", 0))
    world.target_port = server.getsockname()[1]
    user, theirs = socket.socketpair()
    with theirs:
        client = world.popen("-W", "m1:22", "hub", stdin=theirs, stdout=theirs)
    machine, _ = server.accept()
    ends = (user, machine)
    for end in ends:
        end.settimeout(60 * SLOW)

    def pass_on(sender, receiver, data):
        thread = threading.Thread(target=sender.sendall, args=(data,), daemon=True)
        thread.start()
        got = bytearray()
        while len(got) < len(data):
            more = receiver.recv(65536)
            assert more, f"ended after {len(got)} of {len(data)} bytes"
            got += more
        assert got == data
        thread.join()

    for size in ((3 << 20) + 17, (1 << 20) - 1, (6 << 20) + 100_001):
        for way in (ends, ends[::-1]):
            pass_on(*way, os.urandom(size))
            for byte in b"typed":
                pass_on(user, machine, bytes([byte]))
                pass_on(machine, user, bytes([byte]))
    user.shutdown(socket.SHUT_WR)
    assert machine.recv(1) == b""
    machine.close()
    assert client.wait(20 * SLOW) == 0
    user.close()
    server.close()


def test_half_close(world):
    """EOF from the user is passed on, and the answer still comes: then EOF the other way, and the channel closes."""
    server = socket.create_server(("127.0.0.1", 0))
    world.target_port = server.getsockname()[1]

    def serve():
        client, _ = server.accept()
        got = b""
        while True:
            more = client.recv(65536)
            if not more:
                break
            got += more
        client.sendall(hashlib.sha256(got).hexdigest().encode())
        client.close()
    threading.Thread(target=serve, daemon=True).start()
    data = os.urandom(3 << 20)
    done = world.ssh("-W", "m1:22", "hub", input=data).ok()
    assert done.out == hashlib.sha256(data).hexdigest()
    front = world.front()
    assert front.wait("close")["sent"] == len(data)
    assert world.edges[0].communicate(timeout=20)[0].startswith(b"done sent=64 ")
    server.close()


def test_the_machine_resets(world):
    """The stream is reset while the session runs: the channel closes, the connection and others on it live on."""
    world.with_sshd()
    transport = paramiko_client(world)
    channel = transport.open_channel("direct-tcpip", ("m1", 22), ("127.0.0.1", 0))
    assert channel.recv(8) == b"SSH-2.0-"
    front = world.front()
    jump = front.find("open")[0]
    front.send({"type": "kill", "id": jump["id"], "text": "ended by an administrator"})
    channel.settimeout(10)
    while channel.recv(4096):
        pass
    assert front.wait("close", id=jump["id"])["reason"] == "ended by an administrator"
    assert b"ended by an administrator" in world.edges[0].communicate(timeout=20)[0]
    session = transport.open_session()
    session.exec_command("")
    assert session.makefile("rb").read() == b"hello\nweb01\n"
    transport.close()


def test_a_stream_that_loses_its_connection_goes_on(world):
    world.with_sshd()
    data = os.urandom(64 << 20)
    source = world.bench.path("source")
    source.write_bytes(data)
    target = world.bench.path("target")
    with open(target, "wb") as out:
        popen = world.popen("-o", f"ProxyCommand=ssh -F {world.config} -W %h:22 hub", "m1", f"cat {source}", stdout=out)
        for epoch in range(1, 6):
            wait_for(lambda: target.stat().st_size > epoch * (6 << 20), 60 * SLOW)
            edge = world.edges[0]
            edge.stdin.write(b"drop\n")
            edge.stdin.flush()
            with socket.create_server(("127.0.0.1", 0)) as listener:
                edge.stdin.write(f"connect {listener.getsockname()[1]} {epoch}\n".encode())
                edge.stdin.flush()
                sock, _ = listener.accept()
            edge.front.send({"type": "connection", "stream": edge.stream, "epoch": epoch}, sock.fileno())
            sock.close()
        assert popen.wait(60 * SLOW) == 0
    assert target.read_bytes() == data
    assert b"resumes=5" in world.edges[0].communicate(timeout=20)[0]


def test_the_hub_goes_away_and_no_other_can_come(world):
    world.listens = False
    world.with_sshd()
    control = world.bench.path("mux")
    world.popen("-M", "-N", "-o", f"ControlPath={control}", "hub")
    wait_for(control.exists, 10)
    through = ["-o", "LogLevel=INFO", "-o", f"ProxyCommand=ssh -F {world.config} -o ControlPath={control} -W %h:22 hub"]
    session = world.popen(*through, "m1", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    front = world.front()
    front.hang_up()
    world.ssh(*through, "m2", "true").failed(255).says("the hub is restarting")
    done = world.ssh("-o", f"ControlPath={control}", "hub", "list").failed(1)
    assert "the hub is restarting" in done.err
    session.stdin.write(b"still\n")
    session.stdin.flush()
    assert session.stdout.readline() == b"still\n"
    session.stdin.close()
    assert session.wait(20) == 0
    # The last session is over: nothing holds this front any more.
    assert front.ended(20) == 0


def test_end(world):
    popen = world.popen("-N", "-v", "hub")
    front = world.front()
    front.wait("auth", 2)
    wait_for(lambda: True, 1)
    front.send({"type": "end", "text": "the hub is shutting down"})
    assert popen.wait(10 * SLOW) == 255
    assert b"the hub is shutting down" in popen.stderr.read()
    assert front.ended() == 0


# --- publishing ---

def test_publish_and_reach(world):
    world.with_sshd()
    publisher = world.popen("-N", "-R", f"alice-box:22:127.0.0.1:{world.target_port}", "hub")
    front = world.front()
    assert front.wait("publish")["port"] == 22
    # A user's front as edge a, the publisher's as edge b, joined by a socket pair.
    stream, key = os.urandom(16).hex(), os.urandom(32).hex()
    common = {"stream": stream, "key": key, "window": 1 << 20, "patience_ms": 60000, "epoch": 0}

    def to_publisher(user_front, m):
        a, b = socket.socketpair()
        front.send({"type": "reach", "id": 7, "host": "alice-box", "port": 22, "user": "bob", "source": "127.0.0.9", "source_port": 99, **common}, b.fileno())
        front.wait("reached", id=7)
        user_front.send({"type": "opened", "id": m["id"], **common}, a.fileno())
        a.close()
        b.close()
    world.answers["open"] = to_publisher
    assert world.jump("echo", "published").ok().out == "published\n"
    assert world.front(2).wait("close")["received"] > 1000
    assert not front.find("close"), "the user's front has told the hub"
    assert publisher.poll() is None
    publisher.terminate()
    assert front.ended(20) == 0


def test_publish_refused_and_cancelled(world):
    done = world.ssh("-v", "-N", "-o", "ExitOnForwardFailure=yes", "-R", "bob-box:22:127.0.0.1:1", "hub").failed(255)
    assert "remote port forwarding failed" in done.err
    assert "you may not publish bob-box" in done.err
    control = world.bench.path("mux")
    world.popen("-M", "-N", "-o", f"ControlPath={control}", "hub")
    wait_for(control.exists, 10)
    world.ssh("-o", f"ControlPath={control}", "-O", "forward", "-R", "alice-box:22:127.0.0.1:1", "hub").ok()
    front = world.front(2)
    front.wait("publish", host="alice-box")
    # Nothing listens behind it: the client refuses the channel.
    a, b = socket.socketpair()
    front.send({"type": "reach", "id": 9, "host": "alice-box", "port": 22, "user": "bob", "source": "127.0.0.9", "source_port": 99, "stream": "ab" * 16,
                "key": "cd" * 32, "window": 1 << 20, "patience_ms": 60000, "epoch": 0}, b.fileno())
    assert "refused" in front.wait("reach-failed", id=9)["reason"].lower() or front.find("reach-failed", id=9)
    a.close()
    b.close()
    world.ssh("-o", f"ControlPath={control}", "-O", "cancel", "-R", "alice-box:22:127.0.0.1:1", "hub").ok()
    assert front.wait("unpublish")["host"] == "alice-box"
