"""Peers that misbehave: raw bytes on the hub's port, a control connection spoken by hand, streams and tickets by the formats of
PROTOCOL.md and src/stream."""
import base64
import contextlib
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

from . import tcp

CONTROL, STREAM = "multissh-control/1", "multissh-stream/1"


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def connect(hub, timeout=10, source=None):
    sock = socket.create_connection((hub.address, hub.port), timeout, (source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def closed_within(sock, seconds):
    """Does the other side end the connection in that time? What it sends meanwhile is read and dropped."""
    end = time.monotonic() + seconds
    while True:
        left = end - time.monotonic()
        if left <= 0:
            return False
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            ready = True
        else:
            ready = select.select([sock], [], [], left)[0]
        if not ready:
            return False
        try:
            if not sock.recv(65536):
                return True
        except ssl.SSLWantReadError:
            continue
        except (ConnectionError, ssl.SSLError, OSError):
            return True


def send_quietly(sock, data):
    """Sends what the other side still takes."""
    with contextlib.suppress(OSError):
        sock.sendall(data)


def identity(folder, name="agent", key=None):
    """An Ed25519 key (a new one, or the given one) and a self-signed certificate: the file, and the fingerprint as the hub writes it."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.x509.oid import NameOID

    key = key or Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent")])
    cert = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(datetime.datetime(2020, 1, 1))
            .not_valid_after(datetime.datetime(2090, 1, 1)).sign(key, None))
    path = folder / f"{name}.pem"
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
                     + cert.public_bytes(serialization.Encoding.PEM))
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return path, "SHA256:" + base64.b64encode(hashlib.sha256(spki).digest()).rstrip(b"=").decode()


def certificate_of(agent):
    """The same for the key of a real agent: what somebody has who copied its state."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key((agent.state / "agent.key").read_bytes(), None)
    return identity(agent.bench.root, f"copied{agent.bench.number()}", key)


def tls(hub, alpn, cert=None, timeout=10):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([alpn])
    if cert:
        context.load_cert_chain(cert)
    return context.wrap_socket(connect(hub, timeout))


class Control:
    """An agent's control connection, word by word."""

    def __init__(self, bench, hub, name="raw01", code=None, cert=None):
        self.hub, self.name = hub, name
        self.cert, self.fingerprint = cert or identity(bench.root, f"id{bench.number()}")
        self.token = b64url(unb64url(code.rpartition("/")[2])[:16]) if code else None
        self.start_id = os.urandom(8).hex()
        self.buffer = b""
        self.connect()
        bench.closers.append(self.close)  # a hub that ends waits for it

    def connect(self):
        self.sock = tls(self.hub, CONTROL, self.cert)
        self.buffer = b""
        return self

    def hello(self, **fields):
        message = {
            "type": "hello", "protocol": 1, "version": "0.0.0", "name": self.name, "os": "linux", "arch": "x86_64",
            "machine_id": hashlib.sha256(self.name.encode()).hexdigest(), "boot_id": "b" * 32, "start_id": self.start_id, "ssh": "openssh",
            "ssh_state": "ok", "ssh_target": "127.0.0.1:22", "host_keys": [], "host_keys_from": "none", "labels": {},
        }
        if self.token:
            message["token"] = self.token
        message.update(fields)
        self.send(message)
        return self

    def welcomed(self, **fields):
        self.hello(**fields)
        message = self.receive()
        assert message["type"] == "welcome", message
        return self

    def send(self, message):
        self.sock.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def raw(self, data):
        send_quietly(self.sock, data)

    def receive(self, *types, timeout=10):
        """The next message (of these types; without any, all but the ticket for the next connection). None: the hub has ended the connection."""
        end = time.monotonic() + timeout
        while True:
            line, newline, rest = self.buffer.partition(b"\n")
            if newline:
                self.buffer = rest
                message = json.loads(line)
                if message["type"] in types or (not types and message["type"] != "resume"):
                    return message
                continue
            self.sock.settimeout(max(0.01, end - time.monotonic()))
            try:
                data = self.sock.recv(65536)
            except (socket.timeout, TimeoutError):
                raise AssertionError(f"no {types or 'message'} from the hub within {timeout} s") from None
            except OSError:
                return None
            if not data:
                return None
            self.buffer += data

    def closed(self, seconds=10):
        self.sock.settimeout(None)
        return closed_within(self.sock, seconds)

    def close(self):
        self.sock.close()


# --- tickets and streams ---

def stream_id(joined=False):
    """A new stream's id; its first bit says that edge a is a connection of its own."""
    first, *rest = os.urandom(16)
    return bytes([first & 0x7f | (0x80 if joined else 0), *rest])


def make_ticket(secret, machine, user, expiry, stream=None, joined=None):
    """joined: the line of the public key by which the user asked for it."""
    stream = stream or stream_id(joined is not None)
    payload = bytes([1]) + stream + struct.pack(">Q", expiry)
    for text in (machine, user):
        payload += bytes([len(text)]) + text.encode()
    if joined is not None:
        payload += hashlib.sha256(" ".join(joined.split()[:2]).encode()).digest()[:8]
    mac = hmac.digest(secret, b"multissh ticket v1\0" + payload, "sha256")
    key = hmac.digest(secret, b"multissh stream key v1\0" + payload, "sha256")
    return f"{b64url(payload)}.{b64url(mac)}", key


def preamble(ticket, key, edge="b", epoch=0):
    """The line that begins a stream connection, signed with the stream's key."""
    mac = hmac.digest(key, b"multissh preamble v1\0" + edge.encode() + struct.pack(">I", epoch) + ticket.encode(), "sha256")
    return f"MULTISSH/1 ticket={ticket} edge={edge} epoch={epoch} mac={b64url(mac)}\n".encode()


class Refused(Exception):
    """The hub's word on a connection that it does not take."""

    def __init__(self, final, text):
        super().__init__(text)
        self.final, self.text = final, text


def refusal_of(sock, data, key, edge, epoch):
    """The whole of it, of which data has come; nothing may follow. Its signature holds."""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(65536):
            data += piece
    match = re.fullmatch(rb"MULTISSH/1 refused final=(yes|no) mac=([\w-]{43}) text=([^\n]{1,200})\n", data)
    assert match, data
    final, mac, text = match.groups()
    covered = b"multissh refused v1\0" + edge.encode() + struct.pack(">I", epoch) + final[:1] + text
    assert b64url(hmac.digest(key, covered, "sha256")).encode() == mac, data
    return Refused(final == b"yes", text.decode())


def refusal(sock, key, edge="b", epoch=0, seconds=10):
    """(final, text); None when it was closed without a word."""
    sock.settimeout(seconds)
    try:
        data = sock.recv(65536)
    except ConnectionError:
        data = b""
    if not data:
        return None
    refused = refusal_of(sock, data, key, edge, epoch)
    return refused.final, refused.text


def refused(hub, ticket, key, edge="b", epoch=0):
    """How the hub refuses such a connection."""
    with connect(hub) as sock:
        sock.sendall(preamble(ticket, key, edge, epoch))
        return refusal(sock, key, edge, epoch)


def exact(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionError("ended")
        data += piece
    return data


class Stream:
    """An edge of a stream, on one connection, by hand."""

    RESUME, PROOF, DATA, ACK, EOF, PING, PONG, RESET = range(1, 9)

    def __init__(self, hub, ticket, key, epoch=0, window=1 << 20, edge="b"):
        self.sock = connect(hub)
        self.key, self.epoch, self.window, self.edge = key, epoch, window, edge
        self.sock.sendall(preamble(ticket, key, edge, epoch))
        self.nonce, self.sent = os.urandom(32), 0

    def frame(self, kind, payload=b""):
        self.sock.sendall(bytes([kind]) + struct.pack(">I", len(payload)) + payload)

    def next(self):
        kind, length = struct.unpack(">BI", exact(self.sock, 5))
        return kind, exact(self.sock, length)

    def data(self, data):
        self.frame(self.DATA, struct.pack(">Q", self.sent) + data)
        self.sent += len(data)

    def prove(self, received=0, spoil=False):
        own = self.nonce + struct.pack(">IQI", self.epoch, received, self.window)
        self.frame(self.RESUME, own)
        kind, theirs = self.next()
        assert kind == self.RESUME, kind
        proof = hmac.digest(self.key, b"multissh proof v1\0" + self.edge.encode() + own + theirs, "sha256")
        if spoil:
            proof = bytes([proof[0] ^ 1]) + proof[1:]
        self.frame(self.PROOF, proof)
        return self


class Spoiler:
    """Between client and server: from a moment on, one bit of what the client sends is another."""

    def __init__(self, bench, server):
        self.server, self.flip = server, threading.Event()
        self.address, self.port = "127.0.0.1", tcp.Service(bench, self._one).port

    def _one(self, client):
        server = connect(self.server)
        threading.Thread(target=tcp.pump, args=(server, client), daemon=True).start()
        tcp.pump(client, server, self._spoil)

    def _spoil(self, data):
        if not self.flip.is_set():
            return data
        at = min(20, len(data) - 1)  # in the first packet, for several may come at once
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


class Tap:
    """A relay on the way to the hub that notes what each connection begins with; and, as a firewall that lets only TLS through, drops the others."""

    def __init__(self, bench, hub, only_tls=False):
        self.hub, self.only_tls, self.firsts = hub, only_tls, []
        self.port = tcp.Service(bench, self._one).port

    def _one(self, client):
        first = client.recv(65536)
        self.firsts.append(first)
        if self.only_tls and first[:1] != b"\x16":
            client.recv(1)  # until it goes: swallowed, as such a firewall does
            return
        server = socket.create_connection((self.hub.address, self.hub.port))
        server.sendall(first)
        tcp.relay(client, server)
