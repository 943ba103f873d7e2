"""Anything can arrive on the port. Each peer gets its connection closed with a reason in the log, holds bounded memory, and changes
nothing for the others."""
import json
import random
import re
import struct
import time

import pytest
from conftest import setup
from kit import proc
from kit.parts import SLOW, Agent, Hub, User
from kit.wait import wait_for
from kit.wire import (CONTROL, STREAM, Control, Stream, closed_within, connect, make_ticket, preamble, refusal, refused, send_quietly, tls,
                      unb64url)

# KiB; the sanitizer keeps up to 256 MiB of what was freed.
MEMORY_MAX = (48 if SLOW == 1 else 400) * 1024
HERE = r"127\.0\.0\.1"


class Witness:
    """A session that must live through whatever a test does to the hub."""

    def __init__(self, web01, alice, hub):
        self.alice, self.hub = alice, hub
        # The log is rate-limited (20 lines of a kind, then one in seconds): a fresh hub now and then, so that each test sees its own.
        hub.uses = getattr(hub, "uses", 0) + 1
        if hub.uses % 8 == 0:
            hub.restart()
            hub.wait_online("web01", 30)
        self.session = alice.jump_popen("web01", "echo up; cat")
        assert self.session.stdout.readline() == b"up\n"
        self.memory = proc.memory_kib(hub.process.pid)
        self.descriptors = proc.descriptors(hub.process.pid)
        self.mark = hub.mark()

    def check(self):
        self.session.stdin.write(b"unmoved\n")
        assert self.session.stdout.readline() == b"unmoved\n", self.session.stderr.read()
        assert self.hub.is_online("web01")
        assert self.alice.jump("web01", "echo fresh").ok().out == "fresh\n"
        assert proc.memory_kib(self.hub.process.pid) - self.memory < MEMORY_MAX
        wait_for(lambda: proc.descriptors(self.hub.process.pid) <= self.descriptors + 3, 10,
                 lambda: f"descriptors: {proc.descriptors(self.hub.process.pid)}, before {self.descriptors}")

    def logged(self, pattern=HERE):
        self.hub.wait_log(pattern, since=self.mark)


@pytest.fixture
def witness(web01, alice, hub):
    witness = Witness(web01, alice, hub)
    yield witness
    witness.check()


# A short grace, so that the tests need not wait a minute.
bench, hub, alice, admin, sshd, web01 = setup("module", "--login-grace", "3s", "--log-level", "debug")


def client_hello(alpn=CONTROL):
    """A real one, as OpenSSL writes it."""
    import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


MAC = " mac=" + "A" * 43
BAD_PREAMBLES = {
    "almost-multissh": "MULTISSX/1 ticket=a.b edge=b epoch=0" + MAC, "no-such-version": "MULTISSH/9 ticket=a.b edge=b epoch=0" + MAC,
    "no-ticket": "MULTISSH/1 edge=b epoch=0" + MAC, "two-tickets": "MULTISSH/1 ticket=a ticket=b edge=b epoch=0" + MAC,
    "bad-edge": "MULTISSH/1 ticket=a.b edge=c epoch=0" + MAC, "bad-epoch": "MULTISSH/1 ticket=a.b edge=b epoch=-1" + MAC,
    "huge-epoch": "MULTISSH/1 ticket=a.b edge=b epoch=99999999999999999999" + MAC, "bad-base64": "MULTISSH/1 ticket=***.*** edge=b epoch=0" + MAC,
    "no-mac": "MULTISSH/1 ticket=a.b edge=b epoch=0", "short-mac": "MULTISSH/1 ticket=a.b edge=b epoch=0 mac=AAAA",
    "two-macs": "MULTISSH/1 ticket=a.b edge=b epoch=0" + MAC + MAC, "endless-preamble": "MULTISSH/1 " + "x" * 5000,
}
STRANGERS = {
    "garbage": bytes(b if b not in b"\x16SM" else 0x78 for b in random.Random(1).randbytes(4000)),
    "http": b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n", "zeroes": bytes(10000), "newlines": b"\n" * 5000, "almost-ssh": b"SSJ-2.0-x\r\n",
    "tls-garbage": b"\x16\x03\x01\x00\x20" + b"z" * 4000,
    "tls-no-hello": b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "tls-endless": b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + b"z" * 30000,
    "tls-no-alpn": None, **{name: line.encode() + b"\n" for name, line in BAD_PREAMBLES.items()},
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_strangers_are_closed_with_a_reason(hub, witness, kind):
    data = STRANGERS[kind] or client_hello("http/1.1")
    with connect(hub) as sock:
        send_quietly(sock, data)
        assert closed_within(sock, 8), "the connection is still open"
    witness.logged()


@pytest.mark.parametrize("size", [1, 5, 43, 100])
def test_half_a_client_hello(hub, witness, size):
    """It waits for the rest only until the grace is over, without spinning."""
    hello = client_hello()
    with connect(hub) as sock:
        sock.sendall(hello[:size])
        before = proc.cpu_seconds(hub.process.pid)
        assert closed_within(sock, 10)
        assert proc.cpu_seconds(hub.process.pid) - before < 0.5, "it spins"
    witness.logged()


@pytest.mark.parametrize("beginning", [b"\x16", b"M", b"MULTISSH/", b"S", b"SSH"])
def test_a_beginning_and_no_more(hub, witness, beginning):
    with connect(hub) as sock:
        sock.sendall(beginning)
        before = proc.cpu_seconds(hub.process.pid)
        assert closed_within(sock, 12)
        assert proc.cpu_seconds(hub.process.pid) - before < 0.5, "it spins"


@pytest.mark.parametrize("data", [client_hello(), b"MULTISSH/1 ticket=" + b"A" * 80 + b"." + b"A" * 43 + b" edge=b epoch=0" + MAC.encode() + b"\n",
                                  b"SSH-2.0-slow\r\n" + bytes(200)], ids=["tls", "preamble", "ssh"])
def test_one_byte_a_second(hub, witness, data):
    """The grace is for the whole, not anew for each byte."""
    with connect(hub) as sock:
        began = time.monotonic()
        sock.setblocking(False)
        sent = 0

        def one_more():
            nonlocal sent
            if time.monotonic() - began >= sent * 0.5:
                try:
                    sock.send(data[sent:sent + 1])
                    sent += 1
                except BlockingIOError:
                    pass
                except OSError:
                    return True
            try:
                return sock.recv(4096) == b"" and sent > 0
            except BlockingIOError:
                return False
            except OSError:
                return True
        wait_for(one_more, 15, "closed, however slowly it goes on")


def test_silence(bench):
    """Nothing for 3 s is a user (ssh-keyscan waits), and then the login grace runs."""
    hub = Hub(bench, "--login-grace", "5s")
    with connect(hub) as sock:
        sock.settimeout(8)
        assert sock.recv(4) == b"SSH-"
        assert closed_within(sock, 12)


# --- the control connection ---

def test_json_of_16_kib(bench, hub, witness):
    raw = Control(bench, hub)
    line = json.dumps({"type": "hello", "x": "y" * 20000}).encode()
    raw.raw((line[:16384] + b"\n"))
    assert raw.closed(5)
    witness.logged()


def test_json_of_exactly_16_kib_is_fine(bench, hub, witness):
    raw = Control(bench, hub, "big01", hub.invite("big01"))
    message = {"type": "hello", "protocol": 1, "version": "0", "name": "big01", "token": raw.token, "os": "linux", "arch": "x", "machine_id": "00" * 16,
               "boot_id": "b", "start_id": raw.start_id, "ssh": "none", "ssh_state": "refused", "ssh_target": "127.0.0.1:22", "host_keys": [],
               "host_keys_from": "none", "labels": {}, "filler": ""}
    message["filler"] = "f" * (16384 - 1 - len(json.dumps(message)))
    line = json.dumps(message).encode() + b"\n"
    assert len(line) == 16384
    raw.raw(line)
    assert raw.receive()["type"] == "welcome"


BAD_LINES = {
    "deep-arrays": b"[" * 1000 + b"]" * 1000, "deep-objects": b'{"type":' * 1000 + b"1" + b"}" * 1000,
    "deep-in-hello": b'{"type":"hello","labels":' + b"[" * 1000 + b"]" * 1000 + b"}", "not-json": b"hello", "empty": b"", "array": b"[]", "number": b"7",
    "no-type": b"{}", "type-not-a-string": b'{"type":7}', "two-values": b'{"type":"hello"}{"type":"hello"}', "nul": b'{"type":"he\0llo"}',
    "escaped-nul": b'{"type":"hello\\u0000"}', "bad-utf8": b'{"type":"\xff\xfe"}', "lone-surrogate": b'{"type":"\\ud800"}',
    "huge-number": b'{"type":"hello","protocol":1e999}', "before-hello": b'{"type":"ping","n":1}', "dialled-before-hello": b'{"type":"dialled","id":1}',
}


@pytest.mark.parametrize("kind", BAD_LINES)
def test_bad_first_messages(bench, hub, witness, kind):
    raw = Control(bench, hub)
    raw.raw(BAD_LINES[kind] + b"\n")
    assert raw.closed(6)
    witness.logged()


BAD_HELLOS = {
    "name-control": {"name": "web\x07\x1b[31m"}, "name-long": {"name": "a" * 64}, "name-empty": {"name": ""}, "name-number": {"name": 7},
    "name-newline": {"name": "a\nb"}, "name-null": {"name": None}, "protocol-0": {"protocol": 0}, "protocol-string": {"protocol": "1"},
    "os-control": {"os": "li\x00nux"}, "os-long": {"os": "x" * 5000}, "start-id-number": {"start_id": 5}, "start-id-long": {"start_id": "a" * 1000},
    "keys-not-a-list": {"host_keys": "ssh-ed25519 AAAA"}, "keys-too-many": {"host_keys": ["ssh-ed25519 AAAA"] * 9},
    "key-control": {"host_keys": ["ssh-ed25519 AAAA\nevil ssh-rsa AAAA"]}, "labels-list": {"labels": []}, "labels-number": {"labels": {"a": 7}},
    "token-rubbish": {"token": "*" * 40}, "token-long": {"token": "A" * 5000},
}


@pytest.mark.parametrize("kind", BAD_HELLOS)
def test_bad_hellos(bench, hub, witness, kind):
    raw = Control(bench, hub, "bad01", hub.invite("bad01"))
    raw.hello(**BAD_HELLOS[kind])
    answer = raw.receive()
    assert answer is None or (answer["type"] == "refused" and answer["code"] in ("bad-hello", "bad-token")), answer
    assert raw.closed(5)
    witness.logged()
    assert "bad01" not in hub.machines()
    assert "\x07" not in hub.log() and "\x1b" not in hub.log()


def test_two_hellos(bench, hub, witness):
    raw = Control(bench, hub, "raw01", hub.invite("raw01")).welcomed()
    raw.hello()
    assert raw.closed(5)
    witness.logged("raw01|127.0.0.1")
    wait_for(lambda: not hub.is_online("raw01"), 5)


@pytest.mark.parametrize("message", [
    {"type": "dialled", "id": 12345}, {"type": "failed", "id": 99, "code": "other", "reason": "x"}, {"type": "dialled"}, {"type": "dialled", "id": -1},
    {"type": "dialled", "id": "x"}, {"type": "dialled", "id": 1.5}], ids=str)
def test_a_dial_answer_nobody_asked_for(bench, hub, witness, message):
    raw = Control(bench, hub, "raw01", hub.invite("raw01")).welcomed()
    raw.send(message)
    assert raw.closed(5)
    witness.logged("raw01")


def test_an_answer_to_somebody_elses_dial(bench, hub, alice, witness):
    """The ids of one machine's dials are nothing to another's."""
    one = Control(bench, hub, "raw01", hub.invite("raw01")).welcomed()
    two = Control(bench, hub, "raw02", hub.invite("raw02")).welcomed()
    session = alice.jump_popen("raw01", "true")
    dial = one.receive("dial")
    two.send({"type": "failed", "id": dial["id"], "code": "other", "reason": "meddling"})
    assert two.closed(5)
    one.send({"type": "failed", "id": dial["id"], "code": "other", "reason": "my own"})
    _, err = session.communicate(timeout=20)
    assert b"my own" in err and b"meddling" not in err


def test_unknown_types_and_fields_are_ignored(bench, hub, witness):
    raw = Control(bench, hub, "raw01", hub.invite("raw01")).welcomed(colour="green")
    raw.send({"type": "from-the-future", "x": [1, {"y": None}]})
    raw.send({"type": "ping", "n": 7})
    assert raw.receive("pong")["n"] == 7


def test_an_agent_that_floods_messages(bench, hub, witness):
    raw = Control(bench, hub, "raw01", hub.invite("raw01")).welcomed()
    state = json.dumps({"type": "state", "ssh": "openssh", "ssh_state": "ok", "host_keys": [], "host_keys_from": "none", "ssh_target": "x:1"}).encode() + b"\n"
    raw.raw(state * 5000)
    raw.send({"type": "ping", "n": 1})
    answer = None
    try:
        answer = raw.receive("pong", timeout=15)
    except AssertionError:
        pass
    assert answer is None or answer["n"] == 1


def test_a_control_connection_without_a_certificate(hub, witness):
    try:
        sock = tls(hub, CONTROL)
        send_quietly(sock, b'{"type":"hello"}\n')
        assert closed_within(sock, 6)
        sock.close()
    except OSError:
        pass
    witness.logged()


def test_an_agent_in_mid_line(bench, hub, witness):
    """Goes away in the middle of a message, and leaves nothing."""
    raw = Control(bench, hub, "gone01", hub.invite("gone01"))
    raw.raw(b'{"type":"hello","name":"gone')
    raw.close()
    witness.logged()
    assert "gone01" not in hub.machines()


# --- streams and tickets ---

def secret_of(hub):
    data = (hub.state / "secret").read_bytes()
    if len(data) != 32:
        data = bytes.fromhex(data.decode().strip())
    return data


@pytest.fixture
def dialled(bench, hub, alice):
    """A jump whose machine is played by hand: gives the machine's control connection and the hub's dial."""
    raw = Control(bench, hub, "raw01", hub.invite("raw01")).welcomed()
    session = alice.jump_popen("raw01", "true")
    yield raw, raw.receive("dial"), session
    session.kill()  # what it holds in the hub is not for the witness to count
    session.wait()
    raw.close()


def closed_without_a_word(hub, data, seconds=8):
    with connect(hub) as sock:
        sock.sendall(data)
        return closed_within(sock, seconds)


def test_a_true_ticket_opens_the_stream(hub, dialled):
    """What the others spoil does work."""
    raw, dial, session = dialled
    raw.send({"type": "dialled", "id": dial["id"]})
    stream = Stream(hub, dial["ticket"], bytes.fromhex(dial["key"])).prove()
    kind, payload = stream.next()
    assert kind == Stream.PROOF and len(payload) == 32
    stream.data(b"SSH-2.0-by-hand\r\n")
    kind, payload = stream.next()
    while kind != Stream.DATA:
        kind, payload = stream.next()
    assert payload[8:].startswith(b"SSH-2.0-OpenSSH"), "the user's own ssh speaks at the other end"
    stream.frame(Stream.RESET, struct.pack(">H", 1) + b"the machine is on fire")
    _, err = session.communicate(timeout=20)
    assert session.returncode == 255, err


@pytest.mark.parametrize("spoil", ["flip-mac", "flip-payload", "truncated", "no-mac", "other-secret", "empty", "long"])
def test_forged_tickets(hub, witness, dialled, spoil):
    _, dial, _ = dialled
    payload, _, mac = dial["ticket"].partition(".")

    def flip(text):
        return text[:5] + ("A" if text[5] != "A" else "B") + text[6:]
    ticket = {
        "flip-mac": f"{payload}.{flip(mac)}", "flip-payload": f"{flip(payload)}.{mac}", "truncated": f"{payload}.{mac[:-4]}", "no-mac": payload,
        "other-secret": make_ticket(b"x" * 32, "raw01", "alice", int(time.time()) + 60)[0], "empty": ".", "long": "A" * 300 + "." + mac}[spoil]
    assert closed_without_a_word(hub, preamble(ticket, bytes.fromhex(dial["key"])))
    witness.logged("ticket|preamble")


def test_an_expired_ticket(hub, witness, dialled):
    """Of a stream that is being opened at this moment."""
    _, dial, _ = dialled
    stream = unb64url(dial["ticket"].partition(".")[0])[1:17]
    ticket, key = make_ticket(secret_of(hub), "raw01", "alice", int(time.time()) - 5, stream)
    final, text = refused(hub, ticket, key)
    assert final and "expired" in text
    witness.logged("expired")


def test_a_good_ticket_of_a_stream_nobody_asked_for(hub, witness, web01):
    ticket, key = make_ticket(secret_of(hub), "web01", "alice", int(time.time()) + 60)
    for edge in "ab":
        assert "not of this hub" in refused(hub, ticket, key, edge)[1]


@pytest.mark.parametrize("spoil", ["other-key", "other-edge", "other-epoch", "other-ticket"])
def test_a_ticket_whose_key_is_not_known(hub, witness, dialled, spoil):
    """Whoever saw a line on the wire has nothing to sign another one with. The hub does not answer them."""
    raw, dial, session = dialled
    ticket, key = dial["ticket"], bytes.fromhex(dial["key"])
    seen = preamble(ticket, key)
    line = {"other-key": preamble(ticket, bytes(32)), "other-edge": seen.replace(b"edge=b", b"edge=a"),
            "other-epoch": seen.replace(b"epoch=0", b"epoch=1"),
            "other-ticket": seen.replace(ticket.encode(), make_ticket(secret_of(hub), "raw01", "alice", int(time.time()) + 60)[0].encode())}[spoil]
    assert line != seen
    with connect(hub) as sock:
        sock.sendall(line)
        assert refusal(sock, key) is None
    witness.logged("without its key")
    raw.send({"type": "dialled", "id": dial["id"]})
    assert Stream(hub, ticket, key).prove().next()[0] == Stream.PROOF
    assert session.poll() is None


def test_a_replayed_ticket(hub, witness, dialled):
    """The second connection with the same ticket and epoch opens nothing, and does not disturb the first."""
    raw, dial, session = dialled
    raw.send({"type": "dialled", "id": dial["id"]})
    key = bytes.fromhex(dial["key"])
    stream = Stream(hub, dial["ticket"], key).prove()
    assert stream.next()[0] == Stream.PROOF
    stream.data(b"SSH-2.0-by-hand\r\n")
    assert refused(hub, dial["ticket"], key)[0] is False
    # The next connection, of whoever signs with the key; and again, and an older one.
    Stream(hub, dial["ticket"], key, epoch=3).sock.close()
    for epoch in (3, 2, 0):
        assert refused(hub, dial["ticket"], key, epoch=epoch)[0] is False
    seen = b""
    while b"SSH-2.0-OpenSSH" not in seen:
        kind, payload = stream.next()
        if kind == Stream.DATA:
            seen += payload
    stream.frame(Stream.PING, bytes(8))
    while stream.next()[0] != Stream.PONG:
        pass
    assert session.poll() is None, "the user's connection lives on"


def test_an_edge_that_is_the_users(hub, witness, dialled):
    _, dial, _ = dialled
    assert refused(hub, dial["ticket"], bytes.fromhex(dial["key"]), "a")[0] is True


def frame(kind, payload):
    return bytes([kind]) + struct.pack(">I", len(payload)) + payload


BAD_FRAMES = {
    "huge-unknown": frame(0x63, b"x" * 5000), "huge-data": b"\x03\xff\xff\xff\xff", "empty-data": frame(3, b""), "data-without-bytes": frame(3, bytes(8)),
    "data-from-the-future": frame(3, struct.pack(">Q", 1 << 40) + b"x"), "short-ack": frame(4, b"x"), "ack-of-the-future": frame(4, b"\x7f" * 8),
    "eof-from-the-future": frame(5, b"\x7f" * 8), "second-resume": frame(1, bytes(48)), "second-proof": frame(2, bytes(32)),
    "reset-of-control-bytes": frame(8, b"\x00\x01\x1b[31m\x07"), "reset-of-broken-utf8": frame(8, b"\x00\x01\xff\xfe"), "long-reset": frame(8, b"\x00\x01" + b"x" * 300),
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
def test_frames_of_a_proven_machine_that_break_the_rules(hub, witness, dialled, kind):
    raw, dial, session = dialled
    raw.send({"type": "dialled", "id": dial["id"]})
    stream = Stream(hub, dial["ticket"], bytes.fromhex(dial["key"])).prove()
    assert stream.next()[0] == Stream.PROOF
    stream.data(b"SSH-2.0-by-hand\r\n")
    send_quietly(stream.sock, BAD_FRAMES[kind])
    out, err = session.communicate(timeout=30)
    assert session.returncode == 255 and b"\x1b" not in out + err, err


def test_data_before_the_proof(hub, witness, dialled):
    raw, dial, _ = dialled
    raw.send({"type": "dialled", "id": dial["id"]})
    stream = Stream(hub, dial["ticket"], bytes.fromhex(dial["key"]))
    stream.frame(Stream.RESUME, stream.nonce + struct.pack(">IQI", 0, 0, 65536))
    stream.data(b"SSH-2.0-unproven\r\n")
    assert closed_within(stream.sock, 15)


def test_tls_streams_are_checked_alike(hub, witness):
    sock = tls(hub, STREAM)
    sock.sendall(preamble(*make_ticket(b"x" * 32, "web01", "alice", int(time.time()) + 60)))
    assert closed_within(sock, 10)
    sock = tls(hub, STREAM)
    sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert closed_within(sock, 10)
    sock = tls(hub, STREAM)
    assert closed_within(sock, 15), "says nothing"
    witness.logged("ticket|preamble|stream|127.0.0.1")


# --- the log does not drown ---

def test_the_log_is_rate_limited(bench):
    hub = Hub(bench, "--unauthenticated-per-source", "50")
    mark = hub.mark()
    for _ in range(400):
        with connect(hub) as sock:
            send_quietly(sock, b"GET / HTTP/1.0\r\n\r\n")
            closed_within(sock, 5)
    assert len(hub.log(mark).splitlines()) < 200
    assert re.search(HERE, hub.log(mark))


# --- the limits, each an option ---

def open_many(hub, count, first=b"\x16"):
    socks = []
    for _ in range(count):
        sock = connect(hub)
        sock.sendall(first)
        socks.append(sock)
    return socks


def still_open(socks):
    return sum(not closed_within(sock, 0.02) for sock in socks)


@pytest.mark.parametrize("option", ["unauthenticated-max", "unauthenticated-per-source"])
def test_unauthenticated_connections(bench, option):
    hub = Hub(bench, "--login-grace", "30s", f"--{option}", "5")
    user = User(bench).knows(hub)
    hub.add_user(user)
    mark = hub.mark()
    socks = open_many(hub, 9)
    wait_for(lambda: still_open(socks) == 5, 10, lambda: f"{still_open(socks)} are open")
    hub.wait_log(f"unauthenticated|too many|{option}|limit", since=mark)
    for sock in socks:
        sock.close()
    wait_for(lambda: user.hub_says("whoami").status == 0, 10, "room again")


def test_unauthenticated_fronts_count_too(bench):
    hub = Hub(bench, "--login-grace", "30s", "--unauthenticated-per-source", "4")
    socks = open_many(hub, 8, b"SSH-2.0-idle\r\n")
    wait_for(lambda: still_open(socks) == 4, 10, lambda: f"{still_open(socks)} are open")
    assert len(hub.fronts()) <= 4
    for sock in socks:
        sock.close()


def test_sessions_that_logged_in_do_not_count(bench, sshd):
    hub = Hub(bench, "--unauthenticated-per-source", "3")
    user = User(bench).knows(hub)
    hub.add_user(user)
    sshd.allow(user)
    Agent(bench, hub, "web01", ssh=sshd)
    sessions = []
    for n in range(6):
        session = user.jump_popen("web01", f"echo {n}; cat")
        assert session.stdout.readline() == f"{n}\n".encode()
        sessions.append(session)


@pytest.mark.parametrize("kind", ["ssh", "control"])
def test_login_grace(bench, kind):
    hub = Hub(bench, "--login-grace", "2s")
    began = time.monotonic()
    if kind == "ssh":
        sock = connect(hub)
        sock.sendall(b"SSH-2.0-idle\r\n")
    else:
        sock = Control(bench, hub).sock
    assert closed_within(sock, 10)
    assert 1.0 < time.monotonic() - began < 8
    hub.wait_log("grace|time|hello")


def test_fronts_max(bench):
    hub = Hub(bench, "--fronts-max", "2")
    user = User(bench).knows(hub)
    hub.add_user(user)
    Control(bench, hub, "raw01", hub.invite("raw01")).welcomed()
    waiting = [user.popen("-N", "hub") for _ in range(2)]
    wait_for(lambda: len(hub.fronts()) == 2, 10)
    mark = hub.mark()
    user.hub_says("whoami").failed(255)
    hub.wait_log("fronts-max|too many|limit|front", since=mark)
    waiting[0].kill()
    wait_for(lambda: user.hub_says("whoami").status == 0, 10)


def test_fronts_per_second_per_source(bench):
    hub = Hub(bench, "--fronts-per-second-per-source", "3")
    socks = open_many(hub, 12, b"SSH-2.0-idle\r\n")
    assert wait_for(lambda: 1 <= still_open(socks) <= 6, 5)
    assert len(hub.fronts()) <= 6
    for sock in socks:
        sock.close()


def test_wrong_descriptor_limit_is_survived(bench):
    """Out of descriptors: refused and logged, not ended; and it works again afterwards."""
    import resource
    hub = Hub(bench, "--login-grace", "20s")
    user = User(bench).knows(hub)
    hub.add_user(user)
    used = proc.descriptors(hub.process.pid)
    resource.prlimit(hub.process.pid, resource.RLIMIT_NOFILE, (used + 8, used + 8))
    socks = []
    try:
        for _ in range(30):
            socks.append(connect(hub, 3))
            send_quietly(socks[-1], b"\x16")
    except OSError:
        pass
    before = proc.cpu_seconds(hub.process.pid)
    end = time.monotonic() + 1
    wait_for(lambda: time.monotonic() > end, 3)
    assert hub.process.running()
    assert proc.cpu_seconds(hub.process.pid) - before < 0.8, "it spins on accept"
    for sock in socks:
        sock.close()
    wait_for(lambda: user.hub_says("whoami").status == 0, 15, "it recovers")

