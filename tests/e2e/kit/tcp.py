"""TCP servers in threads, for what stands in front of, behind or beside multiSSH's programs."""
import contextlib
import socket
import threading


class Service:
    """handle(socket) in a thread for each connection, which ends with it."""

    def __init__(self, bench, handle, address="127.0.0.1", port=0):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.create_server((address, port), family=family, backlog=300)
        self.port = self.listener.getsockname()[1]
        self.at = f"{address}:{self.port}"
        self.accepted = 0
        self.handle = handle
        bench.closers.append(self.close)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with connection, contextlib.suppress(OSError):
            self.handle(connection)

    def close(self):
        # Whoever waits in accept would keep a socket that is only closed.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def pump(one, other, change=lambda data: data):
    """All that comes from one goes to the other, until either ends; then both do."""
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(change(data))
    cut(one, other)


def relay(one, other):
    """In both directions."""
    threading.Thread(target=pump, args=(other, one), daemon=True).start()
    pump(one, other)


def cut(*socks):
    for sock in socks:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
