"""A hub that lies. Whatever it says, the agent stays alive, closes that connection or answers `failed`, keeps its memory bounded, connects only
where its own settings lead, and works again as soon as the hub tells the truth."""
import base64
import datetime
import hashlib
import hmac
import json
import os
import re
import select
import socket
import ssl
import struct
import threading
import time

import pytest
from conftest import setup
from kit import proc
from kit.bench import sanitized
from kit.parts import SLOW, Agent
from kit.wait import free_port, wait_for
from kit.wire import CONTROL, STREAM, Control, b64url, closed_within, exact, make_ticket, send_quietly
from kit.wire import Stream as EdgeB

bench, _, _, _, sshd, _ = setup("module")

# How much more memory the agent may ever have had than at its start. (A sanitizer keeps what is freed for a while.)
GROWTH_KIB = 24 * 1024 * (12 if sanitized() else 1)
ALIKE = ["ticket", "key", "user"]


def authority(folder, name):
    """A CA, and a leaf of it for 127.0.0.1: the file for the server, and the pin of the CA's key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def certificate(key, cn, issuer_key, issuer, extensions):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)])
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(datetime.datetime(2020, 1, 1))
                   .not_valid_after(datetime.datetime(2090, 1, 1)))
        for extension in extensions:
            builder = builder.add_extension(extension, True)
        return builder.sign(issuer_key, None)

    ca_key, leaf_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    signs = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
    ca = certificate(ca_key, "a CA", ca_key, None, [x509.BasicConstraints(True, 0), signs])
    leaf = certificate(leaf_key, "127.0.0.1", ca_key, ca.subject,
                       [x509.BasicConstraints(False, None), x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])])
    path = folder / f"{name}.pem"
    path.write_bytes(leaf_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
                     + leaf.public_bytes(serialization.Encoding.PEM) + ca.public_bytes(serialization.Encoding.PEM))
    spki = ca_key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return path, hashlib.sha256(spki).digest()


class Link(Control):
    """The hub's end of a control connection."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def welcome(self, **fields):
        hello = self.receive("hello")
        assert hello is not None, "the agent has gone before its hello"
        self.send({"type": "welcome", "name": hello["name"], "ping_ms": 15000, "public": "hub.test:2244", "domain": "machines.test", **fields})
        return self

    def dial(self, **fields):
        """Asks for a stream by a true ticket; what is given as None is left out. Returns the ticket's key."""
        ticket, key = make_ticket(b"s" * 32, "web01", "alice", int(time.time()) + 60)
        message = {"type": "dial", "id": 1, "ticket": ticket, "key": key.hex(), "user": "alice", "source": "192.0.2.7", "window": 1 << 20,
                   "patience_ms": 60000, **fields}
        self.send({name: value for name, value in message.items() if value is not None})
        return key

    def alive(self):
        """The agent still listens on this connection, and answers."""
        self.send({"type": "ping", "n": 4711})
        while True:
            message = self.receive("pong", "failed")
            assert message is not None, "the agent has closed the connection"
            if message["type"] == "pong":
                assert message["n"] == 4711, message
                return


class EdgeA(EdgeB):
    """The hub's end of a stream's connection, with or without the key."""

    def __init__(self, sock, preamble):
        self.sock, self.window, self.sent, self.nonce = sock, 1 << 20, 0, os.urandom(32)
        match = re.fullmatch(rb"MULTISSH/1 ticket=(\S+) edge=b epoch=(\d+) mac=[\w-]{43}\n", preamble)
        assert match, preamble
        self.ticket, self.epoch = match.group(1).decode(), int(match.group(2))

    def prove(self, key, received=0):
        own = self.nonce + struct.pack(">IQI", self.epoch, received, self.window)
        self.frame(self.RESUME, own)
        kind, theirs = self.next()
        assert kind == self.RESUME, kind
        self.frame(self.PROOF, hmac.digest(key, b"multissh proof v1\0a" + own + theirs, "sha256"))
        kind, proof = self.next()
        assert kind == self.PROOF and proof == hmac.digest(key, b"multissh proof v1\0b" + theirs + own, "sha256")
        return self

    def until(self, wanted, kind=EdgeB.DATA):
        """Reads until the data (of such frames) holds that."""
        seen = b""
        while wanted not in seen:
            got, payload = self.next()
            if got == kind:
                seen += payload[8:] if kind == self.DATA else payload
        return seen

    def end(self):
        """As the hub ends a stream: with a word, and closed."""
        self.frame(self.RESET, struct.pack(">H", 4) + b"enough")
        self.sock.close()

    def leaks(self):
        """What came but the handshake, until the agent closed the connection."""
        kinds = []
        try:
            while True:
                kinds.append(self.next()[0])
        except OSError:
            return [kind for kind in kinds if kind not in (self.RESUME, self.PROOF)]


class LyingHub:
    """Listens, and leaves to the test what becomes of each connection."""

    def __init__(self, bench, ca=None, alpn=(CONTROL, STREAM), address="127.0.0.1"):
        self.bench = bench
        self.pem, self.pin = ca or authority(bench.root, f"ca{bench.number()}")
        self.port = free_port()
        self.public = f"127.0.0.1:{self.port}"
        self.listener = socket.create_server((address, self.port))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.load_cert_chain(self.pem)
        self.context.set_alpn_protocols(list(alpn))
        self.open, self.streams = [], []
        bench.closers.append(self.close)

    def close(self):
        self.listener.close()
        for sock in self.open:
            sock.close()

    @property
    def code(self):
        return f"{self.public}/{b64url(b't' * 16 + self.pin)}"

    def agent(self, ssh, *flags):
        self.process = Agent(self.bench, self, "web01", ssh=ssh, target=self.code, wait=False, flags=["--log-level", "debug", *flags])
        return self.process

    def accept(self, timeout=10):
        self.listener.settimeout(timeout)
        try:
            sock, _ = self.listener.accept()
        except TimeoutError:
            raise AssertionError(f"the agent did not connect within {timeout} s:\n{self.process.log()}") from None
        sock.settimeout(10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.open.append(sock)
        return sock

    def greet(self, sock):
        """Finds out what the connection is: a Link or an EdgeA."""
        first = sock.recv(1, socket.MSG_PEEK)
        assert first, "the agent connected, and closed without a word"
        if first == b"\x16":
            sock = self.context.wrap_socket(sock, server_side=True)
            self.open.append(sock)
            if sock.selected_alpn_protocol() == CONTROL:
                return Link(sock)
        line = b""
        while not line.endswith(b"\n"):
            line += exact(sock, 1)
        return EdgeA(sock, line)

    def link(self, timeout=10):
        while True:
            peer = self.greet(self.accept(timeout))
            if isinstance(peer, Link):
                return peer
            self.streams.append(peer)

    def stream(self, timeout=10):
        if self.streams:
            return self.streams.pop(0)
        peer = self.greet(self.accept(timeout))
        assert isinstance(peer, EdgeA), "a stream is awaited, and the agent opened a control connection"
        return peer


def good_exchange(hub, link, number=900):
    """A jump as it should be: to the machine's SSH server and back."""
    key = link.dial(id=number)
    stream = hub.stream().prove(key)
    assert stream.until(b"\r\n").startswith(b"SSH-2.0-OpenSSH")
    stream.data(b"SSH-2.0-by-hand\r\n")
    assert b"curve25519" in stream.until(b"curve25519")
    answer = link.receive("dialled", "failed")
    while answer and answer["type"] == "dialled" and answer["id"] != number:
        answer = link.receive("dialled", "failed")
    assert answer == {"type": "dialled", "id": number}, answer
    stream.end()
    closed = link.receive("closed")
    while closed and closed["stream"] != stream_of(stream.ticket):
        closed = link.receive("closed")
    assert closed and "enough" in closed["reason"], closed


class World:
    """A lying hub and an agent that it has welcomed once, truly."""

    def __init__(self, bench, sshd, *flags, ssh=None, ping_ms=15000, meet=True):
        self.hub = LyingHub(bench)
        self.agent = self.hub.agent(ssh or sshd, *flags)
        self.pid = self.agent.process.pid
        self.ping_ms, self.exchange, self.sound = ping_ms, ssh is None, True
        if meet:
            self.meet()

    def meet(self, welcome=True):
        self.link = self.hub.link()
        if welcome:
            self.link.welcome(ping_ms=self.ping_ms).alive()
        else:
            self.link.receive("hello")
        self.before = high_water(self.pid)
        self.descriptors = proc.descriptors(self.pid)

    def recovers(self, closed=True):
        """The agent has lived through it."""
        if closed:
            assert self.link.closed(10), "the agent keeps the connection on which it was lied to"
            self.link = self.hub.link().welcome()
        self.check()
        if self.exchange:
            good_exchange(self.hub, self.link)
        self.link.alive()
        wait_for(lambda: proc.descriptors(self.pid) <= self.descriptors + 1, 15,
                 lambda: f"descriptors: {os.listdir(f'/proc/{self.pid}/fd')}, before {self.descriptors}")
        self.sound = True

    def check(self):
        assert self.agent.process.running(), self.agent.log()
        grown = high_water(self.pid) - self.before
        assert grown < GROWTH_KIB, f"the agent's memory grew by {grown} KiB"
        assert "\x1b" not in self.agent.log() and "\x07" not in self.agent.log()


class Standing:
    """One world for the tests after which the agent's connection stands as before; after one that failed, a new one."""

    def __init__(self):
        self.world = None

    def get(self, bench, sshd):
        if self.world is None or not self.world.sound or not self.world.agent.process.running():
            self.world = World(bench, sshd, ping_ms=600000)
        self.world.sound = False
        self.world.before = high_water(self.world.pid)
        return self.world


def high_water(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


@pytest.fixture
def world(bench, sshd):
    return World(bench, sshd)


@pytest.fixture(scope="module")
def first(bench, sshd):
    """Made before the tests, for what is made in a test ends with it."""
    standing = Standing()
    standing.get(bench, sshd).sound = True
    return standing


@pytest.fixture
def standing(first, bench, sshd):
    return first.get(bench, sshd)


def padded(message, size):
    """That message as a line of exactly so many bytes."""
    return json.dumps({**message, "x": "y" * (size - len(json.dumps({**message, "x": ""})) - 1)}).encode() + b"\n"


def test_the_truth(standing):
    """What the others spoil does work."""
    standing.recovers(closed=False)


def some_at_once(lies, count=8):
    """For parametrize: an agent waits a second or two before it comes back, and several can wait together."""
    kinds = list(lies)
    return [kinds[at:at + count] for at in range(0, len(kinds), count)]


def lie_to_many(bench, sshd, kinds, lie, welcome=True):
    """To each agent a lie of its own; each closes that connection, comes back, and works."""
    worlds = {kind: World(bench, sshd, meet=False) for kind in kinds}
    for world in worlds.values():
        world.meet(welcome)
    for kind, world in worlds.items():
        lie(world, kind)
    for kind, world in worlds.items():
        try:
            world.recovers()
            conf = (world.agent.state / "agent.conf").read_text()
            assert re.search(r"^name = web01$", conf, re.M) and "evil" not in conf, conf
        except (AssertionError, OSError) as error:
            raise AssertionError(f"{kind}: {error}") from error


# --- lines ---

BAD_LINES = {
    "over-16-kib": padded({"type": "ping", "n": 1}, 16385), "endless": b"x" * 400000, "endless-string": b'{"type":"' + b"a" * 400000,
    "deep-arrays": b'{"type":"ping","n":' + b"[" * 1000 + b"]" * 1000 + b"}\n", "deep-objects": b'{"type":' * 1000 + b"1" + b"}" * 1000 + b"\n",
    "many-values": b'{"type":"ping","n":[' + b"1," * 7000 + b"1]}\n", "garbage": bytes(range(255, 10, -1)) * 20 + b"\n", "zeroes": bytes(3000) + b"\n",
    "empty": b"\n", "array": b"[]\n", "number": b"7\n", "no-type": b"{}\n", "type-number": b'{"type":7}\n', "type-null": b'{"type":null}\n',
    "two-values": b'{"type":"ping"}{"type":"ping"}\n', "nul": b'{"type":"pi\0ng"}\n', "escaped-nul": b'{"type":"ping","x":"\\u0000"}\n',
    "bad-utf8": b'{"type":"ping","x":"\xff\xfe"}\n', "lone-surrogate": b'{"type":"ping","x":"\\ud800"}\n', "type-twice": b'{"type":"ping","type":"bye"}\n',
    "http": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("kinds", some_at_once(BAD_LINES))
def test_lines_that_are_no_messages(bench, sshd, kinds):
    lie_to_many(bench, sshd, kinds, lambda world, kind: world.link.raw(BAD_LINES[kind]))


def test_a_line_of_exactly_16_kib_is_fine(standing):
    line = padded({"type": "ping", "n": 5}, 16384)
    assert len(line) == 16384
    standing.link.raw(line * 20)
    for _ in range(20):
        assert standing.link.receive("pong")["n"] == 5
    standing.recovers(closed=False)


def test_unknown_types_and_fields_are_ignored(standing):
    standing.link.send({"type": "from-the-future", "dial": {"id": 1}})
    standing.link.send({"type": "ping", "n": 2, "colour": [{}]})
    assert standing.link.receive("pong")["n"] == 2
    standing.recovers(closed=False)


# --- messages out of their place or bounds ---

A_DIAL = {"type": "dial", "id": 3, "ticket": make_ticket(b"s" * 32, "web01", "alice", 1 << 40)[0], "key": "ab" * 32, "user": "alice", "source": "192.0.2.7"}
TOO_EARLY = {
    "dial": A_DIAL, "hangup": {"type": "hangup", "stream": "ab" * 16, "reason": "x"}, "renamed": {"type": "renamed", "name": "web02"},
    "welcome-without-name": {"type": "welcome"}, "welcome-name-number": {"type": "welcome", "name": 7}, "welcome-name-empty": {"type": "welcome", "name": ""},
    "welcome-name-long": {"type": "welcome", "name": "a" * 64}, "welcome-name-path": {"type": "welcome", "name": "../../etc/passwd"},
    "welcome-name-control": {"type": "welcome", "name": "web\x1b[31m"}, "welcome-name-newline": {"type": "welcome", "name": "web01\npin = x"},
}


@pytest.mark.parametrize("kinds", some_at_once(TOO_EARLY))
def test_instead_of_welcome(bench, sshd, kinds):
    lie_to_many(bench, sshd, kinds, lambda world, kind: world.link.send(TOO_EARLY[kind]), welcome=False)


OUT_OF_PLACE = {
    "welcome-twice": {"type": "welcome", "name": "web01", "ping_ms": 15000}, "held": {"type": "held", "reason": "x", "fingerprint": "SHA256:x"},
    "refused": {"type": "refused", "reason": "x", "code": "busy", "retry_ms": 0}, "renamed-bad": {"type": "renamed", "name": "no good"},
    "renamed-long": {"type": "renamed", "name": "a" * 64}, "renamed-empty": {"type": "renamed", "name": ""}, "renamed-nothing": {"type": "renamed"},
    "renamed-newline": {"type": "renamed", "name": "web\nhub = evil.test:22"}, "dial-without-anything": {"type": "dial"},
    "dial-id-0": {**A_DIAL, "id": 0}, "dial-id-negative": {**A_DIAL, "id": -1}, "dial-id-text": {**A_DIAL, "id": "1"},
    "dial-id-broken": {**A_DIAL, "id": 1.5}, "dial-id-huge": {**A_DIAL, "id": 1 << 62}, "hangup-of-nothing": {"type": "hangup"},
    "hangup-long": {"type": "hangup", "stream": "a" * 3000},
}


@pytest.mark.parametrize("kinds", some_at_once(OUT_OF_PLACE))
def test_messages_out_of_place_or_bounds(bench, sshd, kinds):
    lie_to_many(bench, sshd, kinds, lambda world, kind: world.link.send(OUT_OF_PLACE[kind]))


def test_renamed_and_welcomed_by_another_name(world):
    """The truth beside the lies above: both are remembered."""
    world.link.send({"type": "renamed", "name": "web02"})
    world.link.alive()
    assert "name = web02\n" in (world.agent.state / "agent.conf").read_text()
    world.link.close()
    world.link = world.hub.link().welcome(name="web03")
    world.link.alive()
    assert "name = web03\n" in (world.agent.state / "agent.conf").read_text()


def test_words_for_the_log(world):
    """A reason is words of a stranger: no control bytes in the log, no forged line, and bounded."""
    evil = "\x1b[31mred\x07\r\n2026-01-01T00:00:00.000Z multissh-agent info all is well"
    world.link.send({"type": "hangup", "stream": "ab" * 16, "reason": evil})
    world.link.send({"type": "bye", "reason": evil, "code": "\x1b]0;x\x07", "retry_ms": 0})
    assert world.link.closed()
    world.link = world.hub.link()
    world.link.receive("hello")
    world.link.send({"type": "held", "reason": evil, "fingerprint": evil})
    world.link.send({"type": "refused", "reason": "y" * 15000, "code": "z" * 900, "retry_ms": 0})
    world.recovers()
    assert not re.search(r"^\S+ multissh-agent info all is well", world.agent.log(), re.M)
    assert "yyyyyyyy" not in world.agent.log(), "a reason out of its bounds is none"


def test_a_hub_that_says_come_back_at_once(world):
    """It does not make the agent hammer, and does not send it away for ever."""
    began = time.monotonic()
    for _ in range(5):
        world.link.send({"type": "bye", "reason": "x", "code": "replaced", "retry_ms": 0})
        assert world.link.closed()
        world.link = world.hub.link()
        world.link.receive("hello")
    assert time.monotonic() - began > 5 * 0.2, "it hammers"
    world.link.send({"type": "refused", "reason": "go away", "code": "full", "retry_ms": 24 * 3600 * 1000})
    seconds = int(world.agent.wait_log(r"go away.*trying again in (\d+) s").group(1))
    assert seconds <= 5000, "a hub cannot send a machine away for a day"


def test_no_retry_ms_is_a_minute(world):
    world.link.send({"type": "bye", "reason": "so long", "code": "revoked", "retry_ms": -5})
    seconds = int(world.agent.wait_log(r"so long.*trying again in (\d+) s").group(1))
    assert 55 <= seconds <= 90


def test_a_ping_interval_that_is_none(bench, sshd):
    """The agent's own takes its place: it neither floods nor takes the hub for dead at once."""
    worlds = [World(bench, sshd, ping_ms=ping_ms, meet=False) for ping_ms in (0, -1, 1, "x", 1e300, None)]
    for world in worlds:
        world.meet()
    cpu = sum(proc.cpu_seconds(world.pid) for world in worlds)
    with pytest.raises(AssertionError, match="no .*ping.* from the hub"):
        worlds[0].link.receive("ping", timeout=2)
    for world in worlds[1:]:
        assert b"ping" not in world.link.buffer and not select.select([world.link.sock], [], [], 0)[0], f"ping_ms {world.ping_ms!r}"
        world.recovers(closed=False)
    assert sum(proc.cpu_seconds(world.pid) for world in worlds) - cpu < 1, "they spin"


# --- dial ---

TRUE_TICKET = make_ticket(b"s" * 32, "web01", "alice", 1 << 40)[0]
PAYLOAD, _, MAC = TRUE_TICKET.partition(".")
BAD_DIALS = {
    "no-ticket": {"ticket": None}, "ticket-number": {"ticket": 7}, "ticket-empty": {"ticket": ""}, "ticket-long": {"ticket": "A" * 2000 + "." + MAC},
    "ticket-a-little-long": {"ticket": PAYLOAD + "A" * 500 + "." + MAC}, "ticket-without-dot": {"ticket": PAYLOAD},
    "ticket-short": {"ticket": "AAAA.AAAA"}, "ticket-other-version": {"ticket": "Bg" + PAYLOAD[2:] + "." + MAC},
    "ticket-space": {"ticket": PAYLOAD + "." + MAC[:-3] + " a=b"}, "ticket-newline": {"ticket": PAYLOAD + "." + MAC[:-3] + "\nMU"},
    "no-key": {"key": None}, "key-number": {"key": 7}, "key-short": {"key": "ab" * 31}, "key-long": {"key": "ab" * 33}, "key-not-hex": {"key": "xy" * 32},
    "key-empty": {"key": ""}, "no-user": {"user": None}, "user-number": {"user": 1}, "user-empty": {"user": ""}, "user-long": {"user": "a" * 5000},
    "user-control": {"user": "ali\x1b[31mce"}, "user-newline": {"user": "alice\nroot"}, "nothing-but-the-id": dict.fromkeys(ALIKE),
}


@pytest.mark.parametrize("kind", BAD_DIALS)
def test_dials_that_cannot_be_followed(standing, kind):
    """The machine's SSH server hears nothing of them, and the user gets the reason."""
    standing.link.dial(id=77, **BAD_DIALS[kind])
    answer = standing.link.receive("dialled", "failed")
    assert answer and answer["type"] == "failed" and answer["id"] == 77 and answer["code"] == "other" and answer["reason"], answer
    assert not select.select([standing.hub.listener], [], [], 0.1)[0], "the agent opens a stream for it"
    standing.recovers(closed=False)


@pytest.mark.parametrize("fields", [{"source": None}, {"source": 7}, {"source": "x" * 3000}, {"source": "\x1b[31m"}, {"window": -1}, {"window": 1 << 60},
                                    {"window": "x"}, {"patience_ms": 0}, {"patience_ms": 1e300}], ids=str)
def test_fields_without_which_a_dial_is_still_one(standing, fields):
    key = standing.link.dial(id=78, **fields)
    stream = standing.hub.stream().prove(key)
    assert stream.until(b"\r\n").startswith(b"SSH-2.0-OpenSSH")
    assert standing.link.receive("dialled", "failed")["type"] == "dialled"
    stream.end()
    standing.recovers(closed=False)


def elsewhere(kind, port, hub):
    return {"other-port": f"127.0.0.1:{port}", "other-name": f"localhost:{port}", "own-name-other-spelling": f"127.0.0.01:{port}", "no-port": "127.0.0.1",
            "no-host": f":{port}", "number": port, "list": [hub.public], "object": {}, "empty": "", "long": "a" * 3000 + f":{port}",
            "own-and-other": f"{hub.public},127.0.0.1:{port}", "own-and-newline": f"{hub.public}\n127.0.0.1:{port}", "with-user": f"x@127.0.0.1:{port}",
            "v6": f"[::1]:{port}", "v4-in-v6": f"[::ffff:127.0.0.1]:{port}"}[kind]


@pytest.mark.parametrize("kind", ["other-port", "other-name", "own-name-other-spelling", "no-port", "no-host", "number", "list", "object", "empty", "long",
                                  "own-and-other", "own-and-newline", "with-user", "v6", "v4-in-v6"])
def test_a_hub_cannot_make_the_agent_connect_elsewhere(standing, kind):
    """A hub that has been broken into must not scan the machine's network."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as elsewhere_listens:
        port = elsewhere_listens.getsockname()[1]
        standing.link.dial(id=5, to=elsewhere(kind, port, standing.hub))
        answer = standing.link.receive("dialled", "failed")
        assert answer and answer["type"] == "failed" and answer["id"] == 5 and "list" in answer["reason"], answer
        assert not select.select([elsewhere_listens, standing.hub.listener], [], [], 0.15)[0], "the agent connects there"
        standing.recovers(closed=False)
        assert not select.select([elsewhere_listens], [], [], 0)[0], "the agent connected there"


def test_the_machines_own_hub_may_be_named(world):
    key = world.link.dial(id=6, to=world.hub.public)
    world.hub.stream().prove(key).until(b"SSH-2.0-OpenSSH")


def test_the_same_id_twice(world):
    """While the first is unanswered nobody could tell whose answer it is."""
    other = make_ticket(b"s" * 32, "web01", "alice", 1 << 40)[0]
    lines = [json.dumps({**A_DIAL, "id": 9, "ticket": ticket}) + "\n" for ticket in (TRUE_TICKET, other)]
    world.link.raw("".join(lines).encode())
    assert world.link.closed(), "the agent goes on"
    world.hub.streams.clear()
    world.link = world.hub.link().welcome()
    world.hub.streams.clear()
    world.recovers(closed=False)


def test_the_same_stream_twice(standing):
    """The same ticket is the same question, which may be asked again; another one is not."""
    payload, _, mac = TRUE_TICKET.partition(".")
    standing.link.dial(id=9, ticket=TRUE_TICKET)
    standing.hub.stream()
    assert standing.link.receive("dialled", "failed")["type"] == "dialled"
    standing.link.dial(id=10, ticket=TRUE_TICKET)
    assert standing.link.receive("dialled", "failed") == {"type": "dialled", "id": 10}
    standing.link.dial(id=11, ticket=f"{payload}.{mac[::-1]}")
    answer = standing.link.receive("dialled", "failed")
    assert answer["type"] == "failed" and answer["id"] == 11 and "open already" in answer["reason"], answer
    standing.link.send({"type": "hangup", "stream": stream_of(TRUE_TICKET), "reason": "enough"})
    standing.link.receive("closed")
    standing.hub.streams.clear()
    standing.recovers(closed=False)


def stream_of(ticket):
    payload = ticket.partition(".")[0]
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))[1:17].hex()


def test_a_flood_over_sessions_max(bench, sshd):
    """So many are taken, and the others are told why not. When they have ended, there is room again."""
    world = World(bench, sshd, "--sessions-max", "6")
    tickets = [make_ticket(b"s" * 32, "web01", "alice", 1 << 40)[0] for _ in range(400)]
    world.link.raw(b"".join(json.dumps({**A_DIAL, "id": n + 1, "ticket": ticket}).encode() + b"\n" for n, ticket in enumerate(tickets)))
    answers = [world.link.receive("dialled", "failed", timeout=20) for _ in tickets]
    taken = [answer for answer in answers if answer["type"] == "dialled"]
    others = [answer for answer in answers if answer["type"] == "failed"]
    assert len(taken) == 6, taken
    assert all(answer["code"] == "busy" and "sessions-max" in answer["reason"] for answer in others)
    for _ in range(6):
        world.hub.stream()
    for ticket in tickets[:6]:
        world.link.send({"type": "hangup", "stream": stream_of(ticket), "reason": "enough"})
    for _ in range(6):
        world.link.receive("closed")
    world.hub.streams.clear()
    world.recovers(closed=False)


def test_hangups_of_unknown_streams(standing):
    for stream in ("ab" * 16, "", "zz", "AB" * 16, "\x1b[31m", "..", "a" * 32):
        standing.link.send({"type": "hangup", "stream": stream, "reason": "x"})
    standing.link.raw(b"".join(json.dumps({"type": "hangup", "stream": os.urandom(16).hex(), "reason": "y"}).encode() + b"\n" for _ in range(5000)))
    standing.recovers(closed=False)


def test_a_hangup_ends_that_stream_and_no_other(standing):
    keys, streams, tickets = {}, {}, {}
    for number in (21, 22):
        ticket, key = make_ticket(b"s" * 32, "web01", "alice", 1 << 40)
        standing.link.dial(id=number, ticket=ticket, key=key.hex())
        streams[number] = standing.hub.stream().prove(key)
        tickets[number], keys[number] = ticket, key
        streams[number].until(b"SSH-2.0-OpenSSH")
    standing.link.send({"type": "hangup", "stream": stream_of(tickets[21]), "reason": "killed by an admin"})
    assert b"killed by an admin" in streams[21].until(b"killed by an admin", EdgeA.RESET)
    assert standing.link.receive("closed")["stream"] == stream_of(tickets[21])
    streams[22].data(b"SSH-2.0-by-hand\r\n")
    streams[22].until(b"curve25519")
    streams[22].end()
    standing.recovers(closed=False)


# --- a hub that does not read, or does not speak ---

def test_pings_without_reading_the_pongs(world):
    # Long: a write to a TLS connection that was given up half-way cannot be followed by another one.
    world.link.sock.settimeout(30)
    for _ in range(3000):
        if "does not read" in world.agent.log():
            break
        try:
            world.link.sock.sendall(b'{"type":"ping","n":1}\n' * 700)
        except OSError:
            break
    world.agent.wait_log("does not read what it is sent")
    world.link.close()
    world.link = world.hub.link().welcome()
    world.recovers(closed=False)


def test_a_flood_of_pings_that_are_read(standing):
    """As many as one likes; each gets its pong."""
    for _ in range(20):
        standing.link.raw(b'{"type":"ping","n":3}\n' * 500)
        for _ in range(500):
            assert standing.link.receive("pong")["n"] == 3
    standing.recovers(closed=False)


@pytest.mark.slow
def test_silence_at_every_stage(bench, sshd):
    """No TLS answer, no answer to the hello, no word after the welcome: each is noticed and tried anew."""
    stages = {"handshake": LyingHub(bench), "hello": LyingHub(bench), "welcome": LyingHub(bench)}
    for hub in stages.values():
        hub.agent(sshd)
    began = time.monotonic()
    silent = stages["handshake"].accept()
    mute = stages["hello"].link()
    mute.receive("hello")
    quiet = stages["welcome"].link().welcome(ping_ms=1000)
    assert quiet.closed(12), "a dead hub is taken for alive"
    assert 4 < time.monotonic() - began < 12
    good_exchange(stages["welcome"], stages["welcome"].link().welcome())
    assert closed_within(silent, 15), "it waits for a TLS answer for ever"
    good_exchange(stages["handshake"], stages["handshake"].link().welcome())
    assert mute.closed(25), "it waits for an answer to its hello for ever"
    assert time.monotonic() - began < 35
    good_exchange(stages["hello"], stages["hello"].link().welcome())


def test_what_was_asked_by_a_hub_that_is_gone(bench):
    """The next one asks again, for it does not know whether there was an answer: that one gets it, and nothing is opened twice."""
    with socket.create_server(("127.0.0.1", 0)) as slow:
        world = World(bench, None, ssh=f"127.0.0.1:{slow.getsockname()[1]}")
        slow.settimeout(20)
        world.link.dial(id=8, ticket=TRUE_TICKET)
        server, (address, _) = slow.accept()
        while address == "127.0.0.1":  # the agent looks at it, too; a user has an address of their own
            server, (address, _) = slow.accept()
        world.link.close()
        world.link = world.hub.link().welcome()
        world.link.dial(id=3, ticket=TRUE_TICKET)
        server.sendall(b"SSH-2.0-slow\r\n")
        answer = world.link.receive("dialled", "failed")
        assert answer == {"type": "dialled", "id": 3}, answer
        world.link.send({"type": "hangup", "stream": stream_of(TRUE_TICKET), "reason": "enough"})
        assert world.link.receive("closed")["stream"] == stream_of(TRUE_TICKET)
        server.close()
        world.link.alive()
        world.check()


# --- TLS ---

TLS_LIES = {
    "garbage": b"x" * 5000, "alert": b"\x15\x03\x03\x00\x02\x02\x28", "huge-record": b"\x16\x03\x03\xff\xff" + b"z" * 70000,
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n", "nothing": b"",
}


@pytest.mark.parametrize("kind", TLS_LIES)
def test_what_is_no_tls(bench, sshd, kind):
    hub = LyingHub(bench)
    agent = hub.agent(sshd)
    sock = hub.accept()
    sock.recv(1)
    send_quietly(sock, TLS_LIES[kind])
    if kind == "nothing":
        sock.close()
    else:
        assert closed_within(sock, 10)
    link = hub.link().welcome()
    good_exchange(hub, link)
    assert agent.process.running()


@pytest.mark.parametrize("kind", ["other-ca", "no-alpn", "other-alpn"])
def test_what_is_not_this_hub(bench, sshd, kind):
    """Without the pinned key, or the protocol's name, it gets no hello, and so neither the token nor anything else."""
    true = LyingHub(bench)
    false = LyingHub(bench, ca=None if kind == "other-ca" else (true.pem, true.pin), alpn=[] if kind == "no-alpn" else ["http/1.1", CONTROL])
    if kind == "other-alpn":
        false.context.set_alpn_protocols(["h2"])
    agent = true.agent(sshd)
    link = true.link().welcome()
    link.close()
    # The next connection is to somebody else in the same place.
    sock = true.accept()
    got = b""
    try:
        with false.context.wrap_socket(sock, server_side=True) as tls:
            tls.settimeout(5)
            got = tls.recv(100)
    except OSError:
        pass
    assert got == b"", "the agent speaks to it"
    agent.wait_log("wanted SHA256:.*met SHA256:" if kind == "other-ca" else "multiSSH|ALPN|protocol")
    good_exchange(true, true.link().welcome())


# --- streams ---

UNFIT = {
    "garbage": os.urandom(3000), "http": b"HTTP/1.1 400 Bad Request\r\n\r\n", "data-first": b"\x03" + struct.pack(">IQ", 18, 0) + b"x" * 10,
    "huge-frame": b"\x01\xff\xff\xff\xff" + b"z" * 9000, "resume-short": b"\x01" + struct.pack(">I", 4) + b"abcd",
    "proof-first": b"\x02" + struct.pack(">I", 32) + bytes(32),
    "reset-first": b"\x08" + struct.pack(">I", 7) + b"\0\x04enoug", "unknown-frame": b"\x63" + struct.pack(">I", 3) + b"abc",
    "resume-twice": (b"\x01" + struct.pack(">I", 48) + b"n" * 32 + struct.pack(">IQI", 0, 0, 65536)) * 2,
    "epoch-of-the-far-future": b"\x01" + struct.pack(">I", 48) + b"n" * 32 + struct.pack(">IQI", 0xFFFFFFFF, 0, 65536),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_streams_answered_with_what_is_no_handshake(standing, kind):
    """That connection is closed with nothing told on it, and the next one serves."""
    key = standing.link.dial(id=31)
    first = standing.hub.stream()
    assert first.epoch == 0
    send_quietly(first.sock, UNFIT[kind])
    assert first.leaks() == []
    second = standing.hub.stream()
    assert second.epoch > 0 and second.ticket == first.ticket
    second.prove(key)
    assert second.until(b"\r\n").startswith(b"SSH-2.0-OpenSSH")
    second.end()
    standing.link.receive("closed")
    standing.recovers(closed=False)


@pytest.mark.parametrize("kind", ["other-key", "zeroes", "reflected", "other-role"])
def test_streams_with_a_wrong_proof(standing, kind):
    """A hub's stranger, who has the ticket and not the key, gets none of the session's bytes."""
    key = standing.link.dial(id=32)
    first = standing.hub.stream()
    if kind == "reflected":
        resume, theirs = first.next()
        first.frame(first.RESUME, theirs)
        assert resume == first.RESUME
        proof = first.next()
        first.frame(first.PROOF, proof[1])
    else:
        own = first.nonce + struct.pack(">IQI", 0, 0, 65536)
        first.frame(first.RESUME, own)
        theirs = first.next()[1]
        secret, role = (key, b"b") if kind == "other-role" else (b"k" * 32, b"a")
        first.frame(first.PROOF, bytes(32) if kind == "zeroes" else hmac.digest(secret, b"multissh proof v1\0" + role + own + theirs, "sha256"))
    assert first.leaks() == []
    second = standing.hub.stream().prove(key)
    assert second.until(b"\r\n").startswith(b"SSH-2.0-OpenSSH")
    second.end()
    standing.link.receive("closed")
    standing.recovers(closed=False)


def test_streams_that_are_never_answered(standing):
    """A connection without an answer is given up for another one, and not for many."""
    key = standing.link.dial(id=33)
    first = standing.hub.stream()
    began = time.monotonic()
    second = standing.hub.stream(20)
    assert time.monotonic() - began > 1.5, "it hammers"
    second.prove(key)
    assert second.until(b"\r\n").startswith(b"SSH-2.0-OpenSSH")
    assert first.leaks() == []
    second.end()
    standing.recovers(closed=False)


def test_streams_that_nobody_ever_proves(world):
    """The agent asks again, in measure, until the session's patience is over; then it lets go of the machine's SSH server."""
    world.link.dial(id=34, patience_ms=5000)
    began, tries = time.monotonic(), 0
    world.hub.listener.settimeout(0.1)
    while not world.link.buffer.count(b"closed") and time.monotonic() - began < 25:
        try:
            sock, _ = world.hub.listener.accept()
            sock.settimeout(5)
            tries += 1
            with sock:
                if sock.recv(1, socket.MSG_PEEK) == b"\x16":
                    sock = world.hub.context.wrap_socket(sock, server_side=True)
                send_quietly(sock, b"not what you wait for")
                closed_within(sock, 3)
                sock.close()
        except OSError:
            pass
        if select.select([world.link.sock], [], [], 0)[0]:
            world.link.buffer += world.link.sock.recv(65536)
    assert b"closed" in world.link.buffer, "it never gives up"
    assert 1 < tries < 10, tries
    assert time.monotonic() - began > 4
    world.link.receive("closed")
    world.recovers(closed=False)


def test_tls_streams_go_to_the_pinned_hub_only(bench, sshd):
    """The ticket is not shown to anybody who stands between."""
    world = World(bench, sshd, "--streams", "tls")
    false = LyingHub(bench)
    world.link.dial(id=35)
    got = b""
    try:
        with false.context.wrap_socket(world.hub.accept(), server_side=True) as tls:
            tls.settimeout(5)
            got = tls.recv(100)
    except OSError:
        pass
    assert got == b"", "the agent shows its ticket to another hub"
    answer = world.link.receive("dialled", "failed")
    assert answer["type"] == "failed" and answer["code"] == "hub-unreachable", answer
    world.recovers(closed=False)


def frame(kind, payload):
    return bytes([kind]) + struct.pack(">I", len(payload)) + payload


BAD_FRAMES = {
    "huge-unknown": frame(0x63, b"x" * 5000), "huge-data": b"\x03\xff\xff\xff\xff", "empty-data": frame(3, b""), "data-without-bytes": frame(3, bytes(8)),
    "data-from-the-future": frame(3, struct.pack(">Q", 1 << 40) + b"x"), "data-at-the-end-of-numbers": frame(3, b"\xff" * 8 + b"xy"),
    "short-ack": frame(4, b"x"),
    "ack-of-the-future": frame(4, b"\x7f" * 8), "eof-from-the-future": frame(5, b"\x7f" * 8), "second-resume": frame(1, bytes(48)),
    "second-proof": frame(2, bytes(32)), "done-too-early": frame(9, b""), "reset-of-control-bytes": frame(8, b"\x00\x01\x1b[31m\x07\n"),
    "reset-of-broken-utf8": frame(8, b"\x00\x01\xff\xfe"), "long-reset": frame(8, b"\x00\x01" + b"x" * 300),
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
def test_a_proven_stream_that_breaks_the_rules(standing, kind):
    """It ends, is reported as ended, and the machine's SSH server is let go."""
    key = standing.link.dial(id=36)
    stream = standing.hub.stream().prove(key)
    stream.until(b"SSH-2.0-OpenSSH")
    send_quietly(stream.sock, BAD_FRAMES[kind])
    assert standing.link.receive("closed")["reason"]
    standing.recovers(closed=False)


def test_data_beyond_the_window(standing):
    """A window is the agent's own: no more is kept, however much is sent."""
    key = standing.link.dial(id=37, window=65536)
    stream = standing.hub.stream().prove(key)
    stream.until(b"SSH-2.0-OpenSSH")
    stream.sock.settimeout(3)
    try:
        stream.data(b"SSH-2.0-by-hand\r\n")
        for _ in range(600):
            stream.data(b"x" * 65536)
    except OSError:
        pass
    assert standing.link.receive("closed", timeout=20)["reason"]
    standing.recovers(closed=False)


def test_a_window_that_is_kept_with_a_server_that_does_not_read(bench):
    """The largest window that a hub can ask for is the option's; the rest is refused, not kept."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def serve():
            try:
                while True:
                    kept.append(server.accept()[0])
                    kept[-1].sendall(b"SSH-2.0-reads-nothing\r\n")
            except OSError:
                pass
        threading.Thread(target=serve, daemon=True).start()
        world = World(bench, None, "--window", "1M", ssh=f"127.0.0.1:{server.getsockname()[1]}")
        key = world.link.dial(id=38, window=64 << 20)
        stream = world.hub.stream()
        stream.window = 64 << 20
        stream.prove(key)
        stream.until(b"SSH-2.0-reads-nothing")
        stream.sock.settimeout(3 * SLOW)
        try:
            for _ in range(900):
                stream.data(b"x" * 65536)
        except OSError:
            pass
        answer = world.link.receive("closed", timeout=20)
        assert "window" in answer["reason"], answer
        world.check()
        world.link.alive()
        server.shutdown(socket.SHUT_RDWR)
        for sock in kept:
            sock.close()
