"""An edge of a stream that dials again whenever its connection ends, by the formats of src/stream: for tests in which the hub has to join two of
them, and in which each connection, epoch and moment is the test's own choice."""
import contextlib
import hmac
import os
import select
import socket
import struct
import threading
import time

from .bench import sanitized
from .wire import STREAM, Refused, connect, exact, preamble, refusal_of, tls

RESUME, PROOF, DATA, ACK, EOF, PING, PONG, RESET, DONE = range(1, 10)
CHUNK = 16384


class Edge:
    """role 'a' or 'b'. write() takes bytes, finish() says that there are no more; `received` is what came. `error` is the reason for which it is
    over, and '' when both sides have ended in order."""

    def __init__(self, hub, ticket, key, role, epoch=0, window=1 << 18, in_tls=False, pace=0.3, start=True, patience=60, source=None):
        self.hub, self.ticket, self.key, self.role = hub, ticket, key, role
        self.epoch, self.window, self.in_tls, self.pace = epoch, window, in_tls, pace
        self.patience, self.source = patience, source
        self.lock = threading.RLock()
        self.out, self.base, self.sent = bytearray(), 0, 0  # unacknowledged bytes; the first one's number; how far they were sent
        self.finished = self.eof_seen = self.told_done = self.peer_done = False
        self.received, self.acked_to = bytearray(), 0
        self.peer_window, self.error, self.over = 1 << 18, None, threading.Event()
        self.live = threading.Event()  # a connection is proven
        self.dials = self.lives = 0
        self.sock, self.lines, self.held = None, [], threading.Event()
        self.held.set()  # cleared: it does not dial
        self.thawed = threading.Event()
        self.thawed.set()  # cleared: it neither reads nor writes
        self.wake_r, self.wake_w = os.pipe()
        self.changed = threading.Condition(self.lock)
        self.thread = threading.Thread(target=self._run, daemon=True)
        if start:
            self.thread.start()

    # --- the test's side ---

    def write(self, data):
        with self.lock:
            self.out += data
        self._wake()

    def finish(self):
        with self.lock:
            self.finished = True
        self._wake()

    def wait_live(self, seconds=20):
        assert self.live.wait(seconds), f"edge {self.role} has no live connection after {seconds} s ({self.error})"
        return self

    def wait_over(self, seconds=30):
        assert self.over.wait(seconds), f"edge {self.role} is not over after {seconds} s"
        return self.error

    def wait_received(self, count, seconds=30):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.received) >= count or self.over.is_set(), seconds), \
                f"edge {self.role} has {len(self.received)} of {count} bytes after {seconds} s"
            assert len(self.received) >= count, f"edge {self.role} has {len(self.received)} of {count} bytes, and is over: {self.error}"
            return bytes(self.received)

    def cut(self, reset=False):
        """Its connection ends, as far as the network is concerned: in order, or by a reset."""
        with self.lock:
            sock, self.sock = self.sock, None
            self.live.clear()
            with contextlib.suppress(OSError):  # it may have ended by itself
                if sock is not None and reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif sock is not None:
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self._wake()

    def swallow(self):
        """Its connection stays, and nothing passes any more, as in a network that has died without a word; it does not notice until thaw."""
        self.thawed.clear()
        self._wake()

    def thaw(self):
        self.thawed.set()

    def next_epoch(self):
        """For a connection that the test makes in its place."""
        with self.lock:
            epoch = self.epoch
            self.epoch += 1
        return epoch

    def hold(self):
        """It does not dial until let_go."""
        self.held.clear()

    def let_go(self):
        self.held.set()
        self._wake()

    def close(self):
        self._end("closed by the test")
        self.thaw()
        self.cut()
        self.let_go()

    # --- inside ---

    def _wake(self):
        os.write(self.wake_w, b"x")

    def _end(self, error):
        with self.changed:
            if not self.over.is_set():
                self.error = error
                self.over.set()
            self.changed.notify_all()

    def _run(self):
        since = time.monotonic()
        while not self.over.is_set():
            began = time.monotonic()
            try:
                self.held.wait()
                if self.over.is_set():
                    break
                self._connection()
            except Refused as refused:
                self.lines.append(refused)
                if refused.final:
                    self._end(refused.text)
            except OSError as error:
                self.last = error
            except Exception as error:
                self._end(f"the edge itself failed: {error!r}")  # whoever waits for it need not wait on
                raise
            if self.live.is_set():
                since = time.monotonic()
            self.live.clear()
            if self.lives and time.monotonic() - since > self.patience:
                self._end("patience")
            if not self.over.is_set():
                time.sleep(max(0.0, self.pace - (time.monotonic() - began)))

    def _connection(self):
        epoch = self.next_epoch()
        sock = tls(self.hub, STREAM) if self.in_tls else connect(self.hub, source=self.source)
        with self.lock:
            self.sock = sock
        try:
            sock.sendall(preamble(self.ticket, self.key, self.role, epoch))
            self.dials += 1  # what is sent from here on, by whomever, comes behind it
            self._handshake(sock, epoch)
            sock.settimeout(20)
            self.lives += 1
            self.live.set()
            self._pump(sock)
        finally:
            sock.close()

    def _frame(self, sock, kind, payload=b""):
        sock.sendall(bytes([kind]) + struct.pack(">I", len(payload)) + payload)

    def _next(self, sock, epoch=None):
        first = exact(sock, 1)
        if first == b"M" and epoch is not None:
            raise refusal_of(sock, first, self.key, self.role, epoch)
        (length,) = struct.unpack(">I", exact(sock, 4))
        return first[0], exact(sock, length)

    def _handshake(self, sock, epoch):
        with self.lock:
            own = os.urandom(32) + struct.pack(">IQI", epoch, len(self.received) + self.eof_seen, self.window)
        self._frame(sock, RESUME, own)
        # It dials again then. The hub starts a process to join two connections, and one that always comes too late starts the next.
        sock.settimeout(6 if sanitized() else 2)
        kind, theirs = self._next(sock, epoch)
        if kind != RESUME:
            raise ConnectionError(f"frame {kind} first")
        label = b"multissh proof v1\0"
        other = b"b" if self.role == "a" else b"a"
        self._frame(sock, PROOF, hmac.digest(self.key, label + self.role.encode() + own + theirs, "sha256"))
        kind, proof = self._next(sock, epoch)
        if kind == RESET:
            self._end(proof[2:].decode())
            raise ConnectionError("reset")
        if kind != PROOF or proof != hmac.digest(self.key, label + other + theirs + own, "sha256"):
            raise ConnectionError("no proof")
        _, received, self.peer_window = struct.unpack(">IQI", theirs[32:])
        with self.lock:
            self._acknowledged(received)
            self.sent, self.told_done = self.base, False

    def _acknowledged(self, upto):
        gone = min(max(0, upto - self.base), len(self.out))
        if upto > self.base + len(self.out):
            self.eof_acked = True
        del self.out[:gone]
        self.base += gone
        self.sent = max(self.sent, self.base)

    eof_acked = False

    def _outgoing(self):
        """The next frame, or None."""
        with self.lock:
            end = self.base + len(self.out)
            room = self.base + min(self.peer_window, self.window) - self.sent
            if self.sent < end and room > 0:
                data = bytes(self.out[self.sent - self.base:][:min(CHUNK, room)])
                at, self.sent = self.sent, self.sent + len(data)
                return DATA, struct.pack(">Q", at) + data
            if self.finished and self.sent == end and not self.eof_acked:
                self.sent += 1
                return EOF, struct.pack(">Q", end)
            delivered = len(self.received) + self.eof_seen
            if delivered > self.acked_to:
                self.acked_to = delivered
                return ACK, struct.pack(">Q", delivered)
            if self.eof_seen and self.eof_acked and not self.told_done:
                self.told_done = True
                return DONE, b""
        return None

    def _pump(self, sock):
        self.acked_to = 0
        while True:
            self.thawed.wait()
            frame = self._outgoing()
            if frame is not None:
                self._frame(sock, *frame)
            if self.told_done and self.peer_done:
                self._end("")
                sock.shutdown(socket.SHUT_WR)
                return
            if self.over.is_set() or self.sock is not sock:
                return
            pending = self.in_tls and sock.pending()
            ready = [sock] if pending else select.select([sock, self.wake_r], [], [], 0 if frame is not None else 1)[0]
            if self.wake_r in ready:
                os.read(self.wake_r, 65536)
            if sock in ready:
                self._take(sock)

    def _take(self, sock):
        kind, payload = self._next(sock)
        with self.changed:
            if kind == DATA:
                (at,) = struct.unpack(">Q", payload[:8])
                if at > len(self.received):
                    raise AssertionError("a gap")
                self.received += payload[8 + len(self.received) - at:] if len(payload) - 8 > len(self.received) - at else b""
            elif kind == ACK:
                self._acknowledged(struct.unpack(">Q", payload)[0])
            elif kind == EOF:
                self.eof_seen = True
            elif kind == PING:
                self._frame(sock, PONG, payload)
            elif kind == RESET:
                self._end(payload[2:].decode())
            elif kind == DONE:
                self.peer_done = True
            self.changed.notify_all()
