"""multissh-front by itself: real SSH clients on one side, a hub played by hand on the other, the machine's edge by
helpers/edge_b.c in front of a real sshd."""
import array
import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import paramiko
import pytest

from . import proc
from .bench import BUILD, Bench, sanitized
from .parts import ME, Sshd, keygen, public_key
from .wait import wait_for

SLOW = 3 if sanitized() else 1
PACKET_MAX = 131072


class Hub:
    """The hub's end of a front's socket: what came is in .got, .answers of the front decide what is said."""

    def __init__(self, front, sock):
        self.front, self.sock = front, sock
        self.got, self.lock = [], threading.Condition()
        self.over = threading.Event()  # the front has closed it
        self.reader = threading.Thread(target=self._read, daemon=True)

    def send(self, message, fd=None):
        data = json.dumps(message).encode()
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd is not None else []
        self.sock.sendmsg([data], control)

    def _read(self):
        while True:
            try:
                data = self.sock.recv(PACKET_MAX)
            except OSError:
                data = b""
            if not data:
                self.over.set()
                return
            message = json.loads(data)
            with self.lock:
                self.got.append(message)
                self.lock.notify_all()
            answer = self.front.answers.get(message["type"])
            if answer:
                try:
                    answer(self.front, message)
                except OSError:
                    pass

    def hang_up(self):
        """Closing alone would not: our thread is in recv."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def find(self, kind, **fields):
        with self.lock:
            return [m for m in self.got if m["type"] == kind and all(m.get(k) == v for k, v in fields.items())]

    def wait(self, kind, count=1, timeout=10, **fields):
        wait_for(lambda: len(self.find(kind, **fields)) >= count, timeout * SLOW,
                 lambda: f"{kind} {fields} among {self.got}; log: {self.front.log()}")
        return self.find(kind, **fields)[count - 1]


class Front:
    """One front process, and its hubs, one after the other."""

    def __init__(self, world, connection, **start):
        self.world = world
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.hubs = [Hub(self, ours)]
        self.answers = dict(world.answers)
        stderr = open(world.bench.path(f"front.{world.bench.number()}.log"), "wb")
        self.log_path = Path(stderr.name)
        self.path = world.bench.path(f"front.{world.bench.number()}.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(self.path))
        listener.listen(1)
        # Descriptors 3, 4 and 5, as the hub passes them.
        fds = [connection.fileno(), theirs.fileno(), listener.fileno()][:3 if world.listens else 2]

        def arrange():
            high = []
            for fd in fds:
                fd = os.dup(fd)
                while fd <= 5:
                    fd = os.dup(fd)
                high.append(fd)
            for n, fd in enumerate(high):
                os.dup2(fd, 3 + n)
                os.close(fd)
            os.closerange(3 + len(high), 256)
        argv = [str(BUILD / "multissh-front"), "--host-key", str(world.host_key), "--connection-fd", "3", "--hub-fd", "4"]
        argv += ["--listen-fd", "5"] if world.listens else []
        self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, preexec_fn=arrange, close_fds=False,
                                      start_new_session=True)
        stderr.close()
        theirs.close()
        listener.close()
        message = {"type": "start", "protocol": 1, "source": "127.0.0.1", "port": 1, "grace_ms": 60000, "tries": 6, "channels": 256,
                   "keepalive_ms": 30000, "orphan_ms": 3600000, "wait_ms": 5000}
        message.update(world.start)
        message.update(start)
        self.send(message)
        self.hub.reader.start()

    @property
    def hub(self):
        return self.hubs[-1]

    @property
    def sock(self):
        return self.hub.sock

    @property
    def got(self):
        return self.hub.got

    def send(self, *words):
        self.hub.send(*words)

    def find(self, kind, **fields):
        return self.hub.find(kind, **fields)

    def wait(self, kind, count=1, timeout=10, **fields):
        return self.hub.wait(kind, count, timeout, **fields)

    def hang_up(self):
        self.hub.hang_up()

    def knock(self):
        """A connection to the listener, that says nothing."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(str(self.path))
        return Hub(self, sock)

    def adopt(self, **fields):
        """The next hub."""
        hub = self.knock()
        message = {"type": "adopt", "protocol": 1, "orphan_ms": 3600000, "wait_ms": 5000, "channels": 256, "keepalive_ms": 30000}
        message.update(fields)
        self.hubs.append(hub)
        hub.send(message)
        hub.reader.start()
        return hub

    def log(self):
        return self.log_path.read_text(errors="replace")

    def ended(self, timeout=10):
        return self.popen.wait(timeout * SLOW)


class World:
    """A listener that starts a front for each connection, a user with a key, and perhaps a machine."""

    def __init__(self):
        self.bench = Bench()
        self.edge = BUILD / "tests/edge_b"
        self.host_key = self.bench.path("host_key")
        done = subprocess.run([str(BUILD / "multissh-front"), "--make-host-key", str(self.host_key)], capture_output=True, text=True, check=True)
        self.host_line = done.stdout.strip()
        self.key = keygen(self.bench.path("id"), comment="alice")
        self.start, self.fronts, self.edges, self.pairs = {}, [], [], []
        self.answers = {"auth": self.on_auth, "exec": self.on_exec, "open": self.on_open, "publish": self.on_publish}
        self.target_port = None
        self.listens = True  # the fronts have a listener for the next hub
        self.patience_ms = 60000
        self.window = 4 << 20
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        self.known = self.bench.path("known_hosts")
        self.known.write_text(f"[127.0.0.1]:{self.port} {self.host_line}\n")
        self.config = self.bench.path("config")
        self.config.write_text(f"""Host m*
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
Host *
  User {ME}
  IdentityFile {self.key}
  IdentitiesOnly yes
  UserKnownHostsFile {self.known}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
Host hub
  HostName 127.0.0.1
  Port {self.port}
""")

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.fronts.append(Front(self, connection))
            connection.close()

    def front(self, count=1):
        wait_for(lambda: len(self.fronts) >= count, 10)
        return self.fronts[count - 1]

    # What a hub would say.
    def on_auth(self, front, m):
        ok = m["key"] == " ".join(public_key(self.key).split()[:2])
        front.send({"type": "auth-result", "id": m["id"], "ok": ok, "user": "alice"})

    def on_exec(self, front, m):
        word = m["command"].split(" ")[0]
        if word == "":
            front.send({"type": "output", "id": m["id"], "data": "hello\nweb01\n", "error": False, "last": True})
            front.send({"type": "exit", "id": m["id"], "status": 0})
        elif word == "long":
            # 40 parts of 16 KiB, each asked for.
            parts = [f"{n:04d}" * 4096 for n in range(40)]

            def more(f, ask, parts=parts):
                if ask["id"] != m["id"]:
                    return
                part = parts.pop(0)
                f.send({"type": "output", "id": m["id"], "data": part, "error": False, "last": not parts})
                if not parts:
                    f.send({"type": "exit", "id": m["id"], "status": 0})
            front.answers["more"] = more
            more(front, m)
        elif word == "hang":
            pass
        else:
            front.send({"type": "output", "id": m["id"], "data": f"no such command: {word}\n", "error": True, "last": True})
            front.send({"type": "exit", "id": m["id"], "status": 2})

    def on_open(self, front, m):
        if m["host"].startswith("no"):
            front.send({"type": "refused", "id": m["id"], "text": f"{m['host']} is offline, last seen 14 min ago (keepalive lost)"})
            return
        self.open_stream(front, m["id"])

    def open_stream(self, front, ident):
        stream, key = os.urandom(16).hex(), os.urandom(32).hex()
        a, b = tcp_pair()
        edge = self.start_edge(key, b)
        edge.stream, edge.key, edge.front = stream, key, front
        front.send({"type": "opened", "id": ident, "stream": stream, "key": key, "window": self.window, "patience_ms": self.patience_ms, "epoch": 0,
                    "ticket": f"ticket-of-{stream}"}, a.fileno())
        a.close()
        return edge

    def start_edge(self, key, sock):
        edge = subprocess.Popen([str(self.edge), key, str(self.target_port), str(sock.fileno()), str(self.window)], pass_fds=[sock.fileno()],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        sock.close()
        self.edges.append(edge)
        return edge

    def on_publish(self, front, m):
        ok = m["host"].startswith("alice-")
        front.send({"type": "publish-result", "id": m["id"], "ok": ok, "text": "published" if ok else f"you may not publish {m['host']}"})

    # Clients.
    def ssh(self, *words, input=None, timeout=60, stdout=None):
        return self.bench.run("ssh", "-F", str(self.config), *words, input=input, timeout=timeout * SLOW, stdout=stdout)

    def popen(self, *words, **options):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        popen = subprocess.Popen(["ssh", "-F", str(self.config), *words], env=self.bench.env(), cwd=self.bench.root, start_new_session=True, **options)
        self.pairs.append(popen)
        return popen

    def with_sshd(self):
        sshd = Sshd(self.bench)
        with open(sshd.authorized, "a", encoding="ascii") as keys:
            keys.write(public_key(self.key) + "\n")
        self.target_port = sshd.port
        return sshd

    def jump(self, *words, machine="m1", **options):
        # -J passes no -F on.
        return self.ssh("-o", f"ProxyCommand=ssh -F {self.config} -W %h:22 hub", machine, *words, **options)

    def close(self):
        self.listener.close()
        for popen in self.pairs + self.edges:
            if popen in self.edges:  # ends by itself, with its stream; without it the front would wait for it
                end = time.monotonic() + 2
                while popen.poll() is None and time.monotonic() < end:
                    time.sleep(0.01)
            try:
                os.killpg(popen.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            popen.wait()
        complaints = self.bench.close()  # with what clients have left behind, a proxy command for one
        for front in self.fronts:
            front.hang_up()
            try:
                status = front.popen.wait(20 * SLOW)
            except subprocess.TimeoutExpired:
                front.popen.kill()
                front.popen.wait()
                complaints.append("a front did not end with its hub and its user")
                continue
            if proc.FAULTS.search(front.log()) or -status in proc.CRASHES:
                complaints.append(f"front: {status}: {front.log()[-4000:]}")
        self.bench.remove()
        return complaints


def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    return one, other


@pytest.fixture
def world():
    for name in ("multissh-front", "tests/edge_b"):
        if not (BUILD / name).exists():
            pytest.fail(f"not built in {BUILD}: {name}; build with -DMULTISSH_TESTS=ON")
    world = World()
    yield world
    complaints = world.close()
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


def paramiko_client(world):
    transport = paramiko.Transport(socket.create_connection(("127.0.0.1", world.port)))
    transport.start_client(timeout=20)
    transport.auth_publickey(ME, paramiko.Ed25519Key.from_private_key_file(str(world.key)))
    return transport
