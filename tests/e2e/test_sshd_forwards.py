"""Forwarding through the built-in server: -L, -D, -W, -J, -R, -A, what is refused, and what one forwarded connection may not do to others."""
import contextlib
import hashlib
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from conftest import setup
from kit import builtin, proc
from kit.builtin import REAL, BuiltIn, RealSshd, RootWorld, Visitor
from kit.parts import SLOW, keygen
from kit.tcp import Service
from kit.wait import free_port, listening, wait_for

bench = setup("module")[0]
MANY = 100
BULK = 100 << 20


@pytest.fixture(scope="module")
def world(bench):
    why = builtin.unavailable_root()
    if why:
        pytest.skip(why)
    world = RootWorld(bench)
    # A name that does not exist is known at once not to.
    world.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
    return world


@pytest.fixture(scope="module")
def box(world):
    return builtin.server(world)


@pytest.fixture(scope="module")
def visitor(box):
    return Visitor(box)


def known_at(server, visitor):
    """The same person at another server of the world."""
    return Visitor(server, key=visitor.key)


def serve(world, *flags, real=()):
    """A server with options: ours by flags, OpenSSH's by lines."""
    return RealSshd(world, *real) if REAL else BuiltIn(world, *flags)


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


def receive_all(connection):
    parts = []
    while data := connection.recv(1 << 20):
        parts.append(data)
    return b"".join(parts)


def answer_after_eof(connection):
    """Says how much came, when no more comes: needs half-closes in both directions."""
    connection.sendall(b"%d bytes\n" % len(receive_all(connection)))


def dial(port, address="127.0.0.1", timeout=20):
    return socket.create_connection((address, port), timeout=timeout)


def exchange(sock, data):
    sock.sendall(data)
    got = b""
    while len(got) < len(data):
        piece = sock.recv(65536)
        assert piece, f"ended after {got!r}"
        got += piece
    assert got == data


class Tunnel:
    """ssh -N with forwards, until they are there."""

    def __init__(self, visitor, *options, ports=(), fail="yes"):
        self.process = visitor.start_ssh("-N", "-v", "-o", f"ExitOnForwardFailure={fail}", *options, "box")
        self.process.wait_log(r"Entering interactive session|pledge: ")
        for port in ports:
            wait_for(lambda port=port: listening(port), 10, lambda port=port: f"{port} listens:\n{self.process.log()}")

    def log(self):
        return self.process.log()

    def wait_log(self, pattern, timeout=10):
        return self.process.wait_log(pattern, timeout)


def local(visitor, target, host="127.0.0.1"):
    port = free_port()
    return Tunnel(visitor, "-L", f"{port}:{host}:{target}", ports=[port]), port


def remote(visitor, target, listen=""):
    """-R with a port that the server chooses."""
    tunnel = Tunnel(visitor, "-R", f"{listen}0:127.0.0.1:{target}")
    return tunnel, int(tunnel.wait_log(r"Allocated port (\d+) for remote forward").group(1))


def listening_addresses(port):
    """Where somebody listens on the port: numeric addresses."""
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with open(f"/proc/self/net/{table}", encoding="ascii") as lines:
            for line in lines:
                fields = line.split()
                if len(fields) > 3 and fields[3] == "0A" and fields[1].endswith(f":{port:04X}"):
                    words = bytes.fromhex(fields[1].partition(":")[0])
                    raw = b"".join(words[i:i + 4][::-1] for i in range(0, len(words), 4))
                    found.add(socket.inet_ntop(family, raw))
    return found


# --- what comes through ---

@pytest.fixture(scope="module")
def bulk():
    data = os.urandom(1 << 20) * (BULK >> 20)
    return data, hashlib.sha256(data).digest()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["local", "remote"])
def test_a_hundred_megabytes_each_way(bench, visitor, bulk, way):
    """Up and down at the same time."""
    data, digest = bulk
    sums = []

    def both(connection):
        sender = threading.Thread(target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)), daemon=True)
        sender.start()
        got = receive_all(connection)
        sender.join()
        sums.append(hashlib.sha256(got).digest())
    target = Service(bench, both)
    _, port = (local if way == "local" else remote)(visitor, target.port)
    with dial(port, timeout=60 * SLOW) as sock:
        sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)), daemon=True)
        sender.start()
        assert hashlib.sha256(receive_all(sock)).digest() == digest
        sender.join()
        wait_for(lambda: sums, 60 * SLOW)
    assert sums == [digest]


@pytest.mark.parametrize("way", ["local", "remote"])
def test_many_at_once(bench, box, visitor, way):
    target = Service(bench, echo)
    _, port = (local if way == "local" else remote)(visitor, target.port)
    socks = [dial(port) for _ in range(MANY)]
    try:
        for turn in range(3):
            for number, sock in enumerate(socks):
                sock.sendall(b"%d.%d\n" % (turn, number))
            for number, sock in reversed(list(enumerate(socks))):
                assert sock.recv(100) == b"%d.%d\n" % (turn, number)
        assert target.accepted == MANY
    finally:
        for sock in socks:
            sock.close()


@pytest.mark.parametrize("way", ["local", "remote"])
def test_half_closes(bench, visitor, way):
    _, port = (local if way == "local" else remote)(visitor, Service(bench, answer_after_eof).port)
    with dial(port) as sock:
        sock.sendall(b"x" * 300000)
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b"300000 bytes\n"

    got = []

    def ends_first(connection):
        connection.sendall(b"that is all from here\n")
        connection.shutdown(socket.SHUT_WR)
        got.append(receive_all(connection))
    _, port = (local if way == "local" else remote)(visitor, Service(bench, ends_first).port)
    with dial(port) as sock:
        assert receive_all(sock) == b"that is all from here\n"
        sock.sendall(b"y" * 300000)
        sock.shutdown(socket.SHUT_WR)
        wait_for(lambda: got, 10)
    assert got == [b"y" * 300000]


def test_two_hundred_one_after_the_other_leave_nothing(bench, box, visitor):
    """Descriptors and processes of the server are as before."""
    target = Service(bench, echo)
    _, port = local(visitor, target.port)
    wait_for(lambda: len(proc.tree(box.latest().pid)) == 2, 10 * SLOW, "who helped with the login has ended")
    pids = proc.tree(box.latest().pid)
    before = [proc.descriptors(pid) for pid in pids]
    for number in range(200):
        with dial(port) as sock:
            exchange(sock, b"%d" % number)
    wait_for(lambda: proc.tree(box.latest().pid) == pids and [proc.descriptors(pid) for pid in pids] == before, 10,
             lambda: f"{before} -> {[proc.descriptors(pid) for pid in proc.tree(box.latest().pid)]}")


def socks5(port, kind, host, target):
    sock = dial(port)
    sock.sendall(b"\x05\x01\x00")
    assert sock.recv(2) == b"\x05\x00"
    if kind == "name":
        address = b"\x03" + bytes([len(host)]) + host.encode()
    else:
        address = (b"\x01" if kind == "v4" else b"\x04") + socket.inet_pton(socket.AF_INET if kind == "v4" else socket.AF_INET6, host)
    sock.sendall(b"\x05\x01\x00" + address + struct.pack(">H", target))
    answer = sock.recv(10)
    return sock, answer


@pytest.mark.parametrize("kind,host", [("v4", "127.0.0.1"), ("name", "localhost"), ("v6", "::1"), ("name", "::1")])
def test_socks(bench, visitor, kind, host):
    target = Service(bench, echo, "::1" if ":" in host else "127.0.0.1")
    port = free_port()
    Tunnel(visitor, "-D", str(port), ports=[port])
    sock, answer = socks5(port, kind, host, target.port)
    with sock:
        assert answer[:2] == b"\x05\x00"
        exchange(sock, b"by socks")


def test_socks_from_the_far_side(bench, visitor):
    """-R PORT alone: the client is the proxy of those who are on the machine."""
    target = Service(bench, echo)
    port = free_port()
    Tunnel(visitor, "-R", str(port), ports=[port])
    sock, answer = socks5(port, "v4", "127.0.0.1", target.port)
    with sock:
        assert answer[:2] == b"\x05\x00"
        exchange(sock, b"backwards")


def test_stdio(bench, visitor):
    target = Service(bench, answer_after_eof)
    done = visitor.ssh("-W", f"127.0.0.1:{target.port}", "box", input=b"z" * 100000).ok()
    assert done.out == "100000 bytes\n"


@pytest.mark.parametrize("far", ["ours", "openssh"])
def test_a_jump_to_another_server(bench, world, visitor, far):
    other = serve(world) if far == "ours" else RealSshd(world)
    with open(visitor.config, "a", encoding="ascii") as config:
        config.write(f"Host {far}\n  ProxyJump box\n  HostName {other.address}\n  Port {other.port}\n  User {visitor.login}\n"
                     + "".join(line + "\n" for line in visitor.config.read_text().splitlines() if re.search("Identity|Known|Strict|Batch|Update|Kex", line)))
    try:
        done = visitor.ssh(far, "echo $SSH_CONNECTION; exit 7")
        assert done.status == 7 and done.out.endswith(f"127.0.0.1 {other.port}\n"), done
    finally:
        visitor.write_config()


# --- targets that are none ---

@pytest.mark.parametrize("host,reason", [("127.0.0.1", "refused"), ("nosuch.invalid", "resolv|known|name"), ("a b", "resolv|known|name"),
                                         ("x" * 300, "no host and port")],
                         ids=["refused", "unknown", "no-name", "long-name"])
def test_targets_that_cannot_be_reached(bench, box, visitor, host, reason):
    mark = box.mark()
    port = free_port()
    tunnel = Tunnel(visitor, "-L", f"{port}:[{host}]:{free_port()}", ports=[port])
    with dial(port) as sock:
        assert receive_all(sock) == b""
    tunnel.wait_log(r"open failed: connect failed|open failed: ")
    if not REAL:
        box.wait_log(f"(?:{re.escape(host[:60])}).*(?:{reason})|(?:{reason}).*(?:{re.escape(host[:60])})", since=mark)
    assert tunnel.process.running()
    assert visitor.run("echo", "lives").ok().out == "lives\n"


def test_stdio_to_nowhere(visitor):
    visitor.ssh("-W", f"127.0.0.1:{free_port()}", "box").failed(255).says("open failed|stdio forwarding failed")


def test_a_port_that_is_none(bench, visitor):
    """The stock client refuses it itself; what comes by SOCKS it hands on."""
    port = free_port()
    tunnel = Tunnel(visitor, "-D", str(port), ports=[port])
    sock, _ = socks5(port, "v4", "127.0.0.1", 0)
    with sock:
        assert receive_all(sock) == b""
    tunnel.wait_log("open failed: ")
    assert visitor.run("echo lives").ok().out == "lives\n"


class BlackHole:
    """A listener whose queue is full: connections to it neither succeed nor fail."""

    def __init__(self, bench):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.waiting = []
        bench.closers.append(self.close)
        for _ in range(50):
            sock = socket.socket()
            sock.settimeout(0.3)
            self.waiting.append(sock)
            try:
                sock.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return
        pytest.skip("a listener's queue cannot be filled here")

    def close(self):
        for sock in [self.listener, *self.waiting]:
            sock.close()


def test_a_target_that_does_not_answer_stops_nobody(bench, box, visitor):
    hole, target = BlackHole(bench), Service(bench, echo)
    ports = [free_port(), free_port()]
    tunnel = Tunnel(visitor, "-L", f"{ports[0]}:127.0.0.1:{hole.port}", "-L", f"{ports[1]}:127.0.0.1:{target.port}", ports=ports)
    server = box.latest()
    stuck = [dial(ports[0]) for _ in range(5)]
    tunnel.wait_log(r"(?s)(?:new \[?direct-tcpip\]?.*){5}|Connection to port")
    began = time.monotonic()
    with dial(ports[1]) as sock:
        exchange(sock, b"not behind the stuck ones")
    assert time.monotonic() - began < 3 * SLOW
    for sock in stuck[:2]:
        sock.close()
    with dial(ports[1]) as sock:
        exchange(sock, b"nor when these give up")
    tunnel.process.kill()
    for sock in stuck:
        sock.close()
    wait_for(lambda: server.poll() is not None, 15, "the server ends although connections were pending")


def test_a_reader_that_does_not_read_stops_nobody(bench, visitor):
    """64 MiB wait for it on one channel."""
    data = b"s" * (64 << 20)
    source, target = Service(bench, lambda connection: connection.sendall(data)), Service(bench, echo)
    ports = [free_port(), free_port()]
    Tunnel(visitor, "-L", f"{ports[0]}:127.0.0.1:{source.port}", "-L", f"{ports[1]}:127.0.0.1:{target.port}", ports=ports)
    with dial(ports[0]) as slow, dial(ports[1]) as quick:
        assert slow.recv(1) == b"s"
        for number in range(50):
            began = time.monotonic()
            exchange(quick, b"%d" % number)
            assert time.monotonic() - began < 2 * SLOW
        assert len(receive_all(slow)) == len(data) - 1


def test_a_reset_ends_its_channel_alone(bench, visitor):
    def resets(connection):
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    bad, good = Service(bench, resets), Service(bench, echo)
    ports = [free_port(), free_port()]
    Tunnel(visitor, "-L", f"{ports[0]}:127.0.0.1:{bad.port}", "-L", f"{ports[1]}:127.0.0.1:{good.port}", ports=ports)
    with dial(ports[1]) as sock:
        for _ in range(20):
            with dial(ports[0]) as doomed:
                doomed.sendall(b"x")
                assert doomed.recv(10) == b""
            exchange(sock, b"still here")
        # And resets from the other side.
        for _ in range(20):
            doomed = dial(ports[1])
            exchange(doomed, b"a")
            doomed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            doomed.close()
        exchange(sock, b"still here")


# --- listening on the machine ---

def test_a_fixed_port(bench, visitor):
    target, port = Service(bench, echo), free_port()
    Tunnel(visitor, "-R", f"{port}:127.0.0.1:{target.port}", ports=[port])
    with dial(port) as sock:
        exchange(sock, b"hello")


def test_whoever_listens_is_the_account(bench, box, visitor):
    """A port below 1024 is not for it; one that is taken is not for two."""
    tunnel = Tunnel(visitor, "-R", "127.0.0.1:733:127.0.0.1:9", fail="no")
    tunnel.wait_log(r"remote port forwarding failed for listen port 733")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        tunnel = Tunnel(visitor, "-R", f"127.0.0.1:{port}:127.0.0.1:9", fail="no")
        tunnel.wait_log(rf"remote port forwarding failed for listen port {port}")
        assert tunnel.process.running()
        done = visitor.ssh("-N", "-o", "ExitOnForwardFailure=yes", "-R", f"127.0.0.1:{port}:127.0.0.1:9", "box")
        assert done.status == 255, done


def test_where_it_listens(bench, world, visitor):
    """gateway-ports = no: loopback, whatever was asked; yes: what was asked."""
    def addresses(server, listen):
        person = known_at(server, visitor)
        tunnel = Tunnel(person, "-R", f"{listen}0:127.0.0.1:9")
        found = listening_addresses(int(tunnel.wait_log(r"Allocated port (\d+)").group(1)))
        tunnel.process.stop()
        return found
    def loopback(found):
        return found and all(address.startswith("127.") or address == "::1" for address in found)
    closed = serve(world, real=["GatewayPorts no"])
    for listen in ("", "0.0.0.0:", "*:", "localhost:", "[::]:", "127.0.0.5:"):
        found = addresses(closed, listen)
        assert loopback(found) and ("127.0.0.1" in found or listen == "127.0.0.5:"), (listen, found)
    free = serve(world, "--gateway-ports", "yes", real=["GatewayPorts clientspecified"])
    assert addresses(free, "0.0.0.0:") == {"0.0.0.0"}
    assert addresses(free, "127.0.0.5:") == {"127.0.0.5"}
    assert addresses(free, "*:") & {"0.0.0.0", "::"}
    found = addresses(free, "localhost:")
    assert "127.0.0.1" in found and loopback(found)


def test_an_address_that_is_not_here(bench, world, visitor):
    server = serve(world, "--gateway-ports", "yes", real=["GatewayPorts clientspecified"])
    tunnel = Tunnel(known_at(server, visitor), "-R", f"192.0.2.1:{free_port()}:127.0.0.1:9", fail="no")
    tunnel.wait_log("remote port forwarding failed")


def test_forward_and_cancel_on_a_living_connection(bench, box, visitor):
    target, port, control = Service(bench, echo), free_port(), visitor.folder / "control"
    master = visitor.start_ssh("-N", "-M", "-S", control, "box")
    wait_for(control.exists, 10)

    def tell(*words):
        return visitor.ssh("-S", control, "-O", *words, "box").ok()
    for _ in range(3):
        tell("forward", "-R", f"{port}:127.0.0.1:{target.port}")
        wait_for(lambda: listening(port), 5)
        with dial(port) as sock:
            exchange(sock, b"once more")
            tell("cancel", "-R", f"{port}:127.0.0.1:{target.port}")
            wait_for(lambda: not listening(port), 5, "nobody listens after -O cancel")
            exchange(sock, b"what is open stays open")
    assert visitor.ssh("-S", control, "box", "echo still").ok().out == "still\n"
    assert master.running()


def test_many_listeners(bench, visitor):
    target = Service(bench, echo)
    ports = [free_port() for _ in range(20)]
    Tunnel(visitor, *[word for port in ports for word in ("-R", f"{port}:127.0.0.1:{target.port}")], ports=ports)
    socks = [dial(port) for port in ports]
    for number, sock in enumerate(socks):
        with sock:
            exchange(sock, b"%d" % number)


def test_a_client_whose_target_is_gone(bench, visitor):
    """The client refuses the forwarded channel: whoever came is told by the end, and the next may try."""
    closed = free_port()
    tunnel, port = remote(visitor, closed)
    for _ in range(20):
        with dial(port) as sock:
            assert sock.recv(10) == b""
    assert tunnel.process.running()
    with socket.create_server(("127.0.0.1", closed)) as target, dial(port):
        target.settimeout(10)
        target.accept()[0].close()


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_the_listener_of_a_dead_connection_is_gone(bench, box, visitor, how):
    tunnel, port = remote(visitor, Service(bench, echo).port)
    pids = proc.tree(box.latest().pid)
    with dial(port) as sock:
        exchange(sock, b"there")
        tunnel.process.send({"killed": signal.SIGKILL, "ended": signal.SIGTERM}[how])
        wait_for(lambda: not listening(port), 10, "nobody listens any more")
        assert sock.recv(10) == b""
    wait_for(lambda: not any(proc.command_of(pid) for pid in pids), 15)


def listener_in(host, address):
    """A socket that listens in a network namespace, here."""
    ours, theirs = socket.socketpair()
    code = (f"import socket\ns = socket.create_server(({address!r}, 0))\n"
            f"socket.send_fds(socket.socket(fileno={theirs.fileno()}), [b'x'], [s.fileno()])")
    with ours, theirs:
        subprocess.run(["ip", "netns", "exec", host.full, "/usr/bin/python3", "-c", code], pass_fds=[theirs.fileno()], check=True)
        return socket.socket(fileno=socket.recv_fds(ours, 1, 1)[1][0])


@pytest.mark.slow
def test_the_listener_of_a_client_whose_network_went(bench, world, visitor, net):
    """No word from it, nor from its kernel."""
    far, near = net.host("far"), net.host("near")
    net.link(far, "eth0", "10.99.0.2/24", near, "eth0", "10.99.0.1/24")
    server = serve(world, "--keepalive", "1s", real=["ClientAliveInterval 1"])
    with listener_in(near, "10.99.0.1") as listener:
        server.address, server.port = listener.getsockname()
        threading.Thread(target=lambda: server._start(listener.accept()[0]), daemon=True).start()
        person = Visitor(server, key=visitor.key, netns=far)
        _, port = remote(person, 9)
    process = server.latest()
    assert listening(port)
    far.down("eth0")
    wait_for(lambda: not listening(port) and process.poll() is not None, 20, "nobody listens any more, and the server has ended")


# --- the user's agent ---

class SshAgent:
    """A real ssh-agent with one key."""

    def __init__(self, bench, name="agent"):
        self.socket = bench.path(f"{name}.{bench.number()}.sock")
        self.process = bench.start("ssh-agent", "ssh-agent", "-D", "-a", self.socket)
        wait_for(self.socket.exists, 5)
        self.key = keygen(bench.path(f"{name}.{bench.number()}.key"), comment="from-afar")
        bench.run("ssh-add", "-q", self.key, env=self.env).ok()

    @property
    def env(self):
        return {"SSH_AUTH_SOCK": str(self.socket)}

    @property
    def options(self):
        return ["-A", "-o", f"IdentityAgent={self.socket}"]


def test_the_agent_comes_along(bench, world, box, visitor):
    agent = SshAgent(bench)
    done = visitor.run("ssh-add -l && echo $SSH_AUTH_SOCK && stat -c '%U %a' $(dirname $SSH_AUTH_SOCK) && stat -c '%U %F' $SSH_AUTH_SOCK",
                       options=agent.options).ok()
    lines = done.out.splitlines()
    assert "from-afar" in lines[0] and lines[2:] == [f"{visitor.login} 700", f"{visitor.login} socket"], lines
    path = lines[1]
    assert path.startswith("/")
    wait_for(lambda: not world.path(path).exists() and not world.path(os.path.dirname(path)).exists(), 10, f"{path} and its folder are gone")


def test_a_nested_ssh_uses_it(bench, world, box, visitor):
    """From the machine to another account, whose key only the agent has."""
    agent = SshAgent(bench)
    world.authorize("bob", " ".join(agent.key.with_suffix(".key.pub").read_text().split()[:2]))
    nested = (f"ssh -p {box.port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o KexAlgorithms=curve25519-sha256 "
              "bob@127.0.0.1 'echo I am $(id -un)'")
    assert visitor.run(nested, options=agent.options).ok().out == "I am bob\n"
    visitor.run(nested).failed(255).says("Permission denied")


def test_the_agent_many_times(bench, visitor):
    """Several sessions of one connection, several askers at once."""
    agent, control = SshAgent(bench), visitor.folder / "control-agent"
    visitor.start_ssh("-N", "-M", "-S", control, *agent.options, "box")
    wait_for(control.exists, 10)
    running = [visitor.popen("-S", control, *agent.options, "box", "for i in 1 2 3 4 5; do ssh-add -l & done; wait") for _ in range(4)]
    for popen in running:
        out, err = popen.communicate(timeout=30)
        assert out.count(b"from-afar") == 5, (out, err)


def test_others_do_not_reach_the_agent(bench, world, visitor):
    agent = SshAgent(bench)
    session = visitor.talk("echo $SSH_AUTH_SOCK; cat", options=agent.options)
    path = session.stdout.readline().decode().strip()
    own = world.run("ssh-add", "-l", user=visitor.login, env={"SSH_AUTH_SOCK": path}).ok()
    assert "from-afar" in own.out
    done = world.run("ssh-add", "-l", user="bob", env={"SSH_AUTH_SOCK": path})
    assert done.status == 2 and "from-afar" not in done.out, done
    session.stdin.close()
    assert session.wait(10) == 0


def test_without_it_there_is_no_socket(visitor):
    assert visitor.run("echo \"[$SSH_AUTH_SOCK]\"", options=["-a"]).ok().out == "[]\n"


def test_the_socket_is_gone_when_the_client_is_killed(bench, world, box, visitor):
    agent = SshAgent(bench)
    session = visitor.talk("echo $SSH_AUTH_SOCK; cat", options=agent.options)
    path = session.stdout.readline().decode().strip()
    assert world.path(path).exists()
    session.kill()
    wait_for(lambda: not world.path(path).exists() and not world.path(os.path.dirname(path)).exists(), 15, f"{path} and its folder are gone")


# --- switched off ---

def test_local_forwarding_off(bench, world, visitor):
    server = serve(world, "--local-forwarding", "no", real=["AllowTcpForwarding remote"])
    person, target = known_at(server, visitor), Service(bench, echo)
    tunnel, port = local(person, target.port)
    with dial(port) as sock:
        assert sock.recv(10) == b""
    tunnel.wait_log(r"open failed: administratively prohibited")
    person.ssh("-W", f"127.0.0.1:{target.port}", "box").failed(255).says("administratively prohibited")
    assert target.accepted == 0
    _, port = remote(person, target.port)
    with dial(port) as sock:
        exchange(sock, b"the other way goes")
    assert person.run("echo lives").ok().out == "lives\n"


def test_remote_forwarding_off(bench, world, visitor):
    server = serve(world, "--remote-forwarding", "no", real=["AllowTcpForwarding local"])
    person, target, port = known_at(server, visitor), Service(bench, echo), free_port()
    tunnel = Tunnel(person, "-R", f"{port}:127.0.0.1:{target.port}", fail="no")
    tunnel.wait_log(r"remote port forwarding failed for listen port")
    assert not listening(port)
    _, port = local(person, target.port)
    with dial(port) as sock:
        exchange(sock, b"the other way goes")


def test_agent_forwarding_off(bench, world, visitor):
    server = serve(world, "--agent-forwarding", "no", real=["AllowAgentForwarding no"])
    person, agent = known_at(server, visitor), SshAgent(bench)
    done = person.run("echo \"[$SSH_AUTH_SOCK]\"; ssh-add -l", options=agent.options)
    assert done.out.startswith("[]\n") and "from-afar" not in done.out, done


@pytest.mark.skipif(REAL, reason="OpenSSH's has them")
@pytest.mark.parametrize("words", [["-L", "{port}:/tmp/sock"], ["-R", "/tmp/sock-{port}:127.0.0.1:9"]], ids=["local", "remote"])
def test_unix_sockets_are_refused_in_words(bench, box, visitor, words):
    port = free_port()
    tunnel = Tunnel(visitor, *[word.format(port=port) for word in words], fail="no")
    if words[0] == "-L":
        with dial(port) as sock:
            assert sock.recv(10) == b""
        tunnel.wait_log("open failed")
    else:
        tunnel.wait_log("remote port forwarding failed for listen path")
    assert visitor.run("echo lives").ok().out == "lives\n"


def test_more_channels_than_there_may_be(bench, world, visitor):
    """The one too many is refused, and when others are closed there is room again."""
    if REAL:
        pytest.skip("OpenSSH's has no such bound")
    server = serve(world, "--channels-max", "10", "--sessions-max", "5")
    person, target = known_at(server, visitor), Service(bench, echo)
    tunnel, port = local(person, target.port)
    socks = [dial(port) for _ in range(10)]
    for number, sock in enumerate(socks):
        exchange(sock, b"%d" % number)
    with dial(port) as sock:
        assert sock.recv(10) == b""
    tunnel.wait_log("open failed")
    socks.pop().close()

    def again():
        with dial(port) as sock, contextlib.suppress(ConnectionError):
            sock.sendall(b"room")
            return sock.recv(10) == b"room"
    wait_for(again, 5)
    for sock in socks:
        exchange(sock, b"the others")
        sock.close()


def test_forwards_of_a_server_without_privileges(bench):
    why = builtin.unavailable()
    if why:
        pytest.skip(why)
    world = builtin.UserWorld(bench)
    person, target, agent = Visitor(builtin.server(world)), Service(bench, echo), SshAgent(bench)
    for way in (local, remote):
        _, port = way(person, target.port)
        with dial(port) as sock:
            exchange(sock, b"hello")
    assert "from-afar" in person.run("ssh-add -l", options=agent.options).ok().out
