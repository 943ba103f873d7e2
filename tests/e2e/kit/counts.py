"""What programs do, counted: instructions (callgrind), system calls (strace), allocations and copies (helpers/counts.c). A count does not
depend on how busy or how fast the machine is; a time does."""
import collections
import contextlib
import os
import select
import shlex
import shutil
import signal
import statistics
import struct
import subprocess
import threading
import time

from . import proc, tcp, wire
from .bench import BUILD, ROOT, program
from .parts import Agent, Hub, User
from .wait import listening, wait_for

MIB = 1 << 20
PATIENCE = 120  # callgrind takes fifty times as long
NEEDED = ["valgrind", "strace"]  # by the names of their programs
PLAIN_BUILD = {
    "MULTISSH_SANITIZE:BOOL": ["OFF"],
    "CMAKE_C_COMPILER:FILEPATH": ["/usr/bin/cc", "/usr/bin/gcc"],
    "CMAKE_C_FLAGS:STRING": [""],
    "CMAKE_BUILD_TYPE:STRING": ["", "RelWithDebInfo"],
}


def unavailable():
    """Why nothing can be counted here, or None."""
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        return f"{' and '.join(missing)} not installed (make check does it)"
    release = dict(line.rstrip().split("=", 1) for line in open("/etc/os-release", encoding="utf-8") if "=" in line)
    here = release.get("ID"), release.get("VERSION_ID", "").strip('"'), os.uname().machine
    if here != ("debian", "12", "x86_64"):
        return f"the bounds are those of Debian 12 on x86_64, and this is {' '.join(map(str, here))}"
    cache = dict(line.split("=", 1) for line in (BUILD / "CMakeCache.txt").read_text().splitlines() if "=" in line)
    for name, plain in PLAIN_BUILD.items():
        if cache.get(name) not in plain:
            return f"the bounds are those of the plain build by gcc, and in {BUILD} {name} is {cache.get(name)!r}"
    traced = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], stderr=subprocess.PIPE, text=True)
    return None if traced.returncode == 0 else f"strace may not trace here: {traced.stderr.strip()}"


READS = {b"read", b"readv", b"recvfrom", b"recvmsg"}  # into a program's memory


# --- the instruments: each wraps the words of a command, and tells of a process afterwards ---

class Plain:
    """Allocations and copies, by helpers/counts.c."""
    children = True  # so is what the process starts of ours

    def __init__(self, bench, *flags):
        self.folder, self.traces, library = bench.folder("counts"), bench.folder("traces"), bench.path(f"counts.{bench.number()}.so")
        subprocess.run([os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-std=c17", "-O2", "-fno-builtin", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared",
                        *flags, str(ROOT / "tests/e2e/helpers/counts.c"), "-o", str(library)], check=True)
        self.env = {"LD_PRELOAD": str(library), "COUNTS_FOLDER": str(self.folder)}

    def argv(self, words):
        return ["env", *[f"{key}={value}" for key, value in self.env.items()], *map(str, words)]

    def counters(self, pid):
        """(allocations so far, bytes allocated now, bytes copied so far)"""
        return struct.unpack("=QqQ", (self.folder / str(pid)).read_bytes())

    def take(self, pid):
        """What the process has done so far, by the name of what is counted."""
        allocations, live, copied = self.counters(pid)
        return {"allocations": allocations, "bytes allocated": live, "bytes copied": copied}


class Calls(Plain):
    """And system calls: strace, for the process and all that it starts. It notes each call in the process's own file."""

    def argv(self, words):
        # -D: the process is the one that we start, and strace stands beside it.
        return ["strace", "-D", "-ff", "-qq", "-o", f"{self.traces}/strace", *super().argv(words)]

    def take(self, pid):
        made, came = collections.Counter(), 0
        with open(f"{self.traces}/strace.{pid}", "rb") as calls:
            for line in calls:
                name, bracket, rest = line.partition(b"(")
                if line[:1].isalpha() and bracket:
                    made[name.decode()] += 1
                    result = rest.rpartition(b" = ")[2].strip()
                    came += int(result) if name in READS and result.isdigit() else 0
        return {**super().take(pid), "bytes read": came, "system calls": sum(made.values()),
                **{f"system calls of {name}": count for name, count in made.items()}}


class Instructions(Plain):
    """callgrind, for the process and what it starts of ours."""

    # Not counted: what chooses its code by the processor (the C library's copies and comparisons, cryptography), and our own counters.
    APART = ("libc.so", "libcrypto.so", "counts.", "???")
    LOADER = "ld-linux"

    def __init__(self, bench, children=True):
        super().__init__(bench, "-DCOUNTS_VALGRIND")
        self.children = children
        self.part = collections.Counter()

    def argv(self, words):
        return super().argv(["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={self.traces}/callgrind.%p", "--compress-strings=no",
                             "--compress-pos=no", f"--trace-children={'yes' if self.children else 'no'}", "--trace-children-skip=*/ssh,*/sh", *map(str, words)])

    def take(self, pid):
        """All that the process has done so far."""
        if os.path.exists(f"/proc/{pid}"):
            self.part[pid] += 1
            path = self.traces / f"callgrind.{pid}.{self.part[pid]}"
            os.kill(pid, signal.SIGUSR2)
            wait_for(lambda: path.exists() and b"\ntotals: " in path.read_bytes()[-200:], PATIENCE,
                     lambda: f"{path.name} in {os.listdir(self.traces)}")
        total = collections.Counter()
        for path in (*self.traces.glob(f"callgrind.{pid}"), *self.traces.glob(f"callgrind.{pid}.*")):
            total += profile(path.read_text())
        counted = {name: cost for name, cost in total.items() if not name.startswith(self.APART)}
        loading = {name: cost for name, cost in counted.items() if name.startswith(self.LOADER)}
        return {"instructions": sum(counted.values()) - sum(loading.values()), "loader's instructions": sum(loading.values()),
                **{f"{'loader' + chr(39) + 's ' if name in loading else ''}instructions of {name}": cost for name, cost in counted.items()}}


def profile(text):
    """Instructions by "OBJECT FUNCTION" (an object is a program or a library), each without what it calls."""
    costs = collections.Counter()
    where, name, inclusive = "", "", False
    for line in text.splitlines():
        if line.startswith("ob="):
            where = os.path.basename(line[3:])
        elif line.startswith("fn="):
            name = line[3:]
        elif line.startswith("calls="):
            inclusive = True
        elif line[:1].isdigit():
            if not inclusive:
                costs[f"{where} {name}"] += int(line.split()[1])
            inclusive = False
    return costs


def difference(after, before):
    return {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}


def each(total, count):
    return {name: value / count for name, value in total.items()}


def median(many):
    return {name: statistics.median(one.get(name, 0) for one in many) for name in set().union(*many)}


def lower(one, other):
    return {name: min(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


# --- what is counted ---

class Target(tcp.Service):
    """In the place of the machine's SSH server: sends and takes as many bytes as the line says that comes first."""

    def __init__(self, bench):
        super().__init__(bench, self._serve_lines)

    @staticmethod
    def _serve_lines(sock):
        with sock.makefile("rb") as lines:
            sock.sendall(b"SSH-2.0-counts\r\n")
            while line := lines.readline().split():
                if line[0] == b"down":
                    sock.sendall(bytes(int(line[1])))
                elif line[0] == b"up":
                    left = int(line[1])
                    while left > 0 and (data := lines.read1(min(left, MIB))):
                        left -= len(data)
                    sock.sendall(b"all\n")


class Session:
    """A command whose standard input and output end at a Target."""

    def __init__(self, bench, argv):
        with open(bench.path(f"session.{bench.number()}.log"), "wb") as errors:
            self.popen = subprocess.Popen([str(word) for word in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=bench.env(),
                                          cwd=bench.root, start_new_session=True)
        bench.closers.append(self.kill)
        line = self.popen.stdout.readline()
        assert line == b"SSH-2.0-counts\r\n", f"{line}: {open(errors.name, encoding='utf-8').read()}"

    def down(self, size):
        self.popen.stdin.write(b"down %d\n" % size)
        self.popen.stdin.flush()
        while size:
            data = self.popen.stdout.read1(min(size, MIB))
            assert data, f"the session ended {size} bytes too early"
            size -= len(data)

    def up(self, size):
        self.popen.stdin.write(b"up %d\n" % size + bytes(size))
        self.popen.stdin.flush()
        assert self.popen.stdout.readline() == b"all\n"

    def finish(self):
        self.popen.stdin.close()
        self.popen.stdout.read()
        assert self.popen.wait(PATIENCE) == 0

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            pipe.close()


class CountedHub(Hub):
    def __init__(self, bench, instrument=None, front=None):
        alone = Hub(bench)  # makes its keys, which needs no instrument
        alone.process.stop()
        super().__init__(bench, port=alone.port, state=alone.state, start=False)
        self.instrument = instrument
        self.path = programs(bench, front) if front else program("multissh-hub")
        self.start()

    def argv(self):
        words = [self.path, *super().argv()[1:]]
        return self.instrument.argv(words) if self.instrument else words

    def wait_listening(self, port=None):
        wait_for(lambda: listening(self.port), PATIENCE, "the hub listens")

    def take(self):
        return self.instrument.take(self.process.pid) if self.instrument else {}

    def moment(self):
        return {"seconds": time.monotonic(), **self.take()}

    def since(self, moment):
        return difference(self.moment(), moment)


class CountedAgent(Agent):
    def __init__(self, bench, hub, instrument, target):
        super().__init__(bench, hub, "web01", ssh=target.at, start=False)
        self.instrument = instrument
        self.join()
        hub.wait_online("web01", PATIENCE)

    def argv_join(self, *more):
        words = super().argv_join(*more)
        return self.instrument.argv(words) if self.instrument else words


class World:
    """Hub, agent and a Target, each program under an instrument or none."""

    def __init__(self, bench, *, hub=None, front=None, agent=None, client=None):
        self.bench, self.by_hub, self.by_agent, self.by_client = bench, hub, agent, client
        self.by_front = front or (hub if hub and hub.children else None)
        self.hub = CountedHub(bench, hub, front)
        self.user = User(bench).knows(self.hub, extra_hub=["Ciphers aes128-gcm@openssh.com"])
        self.hub.add_user(self.user)
        self.target = Target(bench)
        self.agent = CountedAgent(bench, self.hub, agent, self.target)

    def helpers(self, word):
        return {pid for pid in proc.children(self.hub.process.pid) if word in proc.command_of(pid)}

    def front_of(self, begin):
        """A session, and its front."""
        before = self.helpers("multissh-front")  # the nursery; a front begins with what that has counted since it was last asked
        for nursery in before if self.by_front else ():
            self.by_front.take(nursery)
        session = begin()
        return session, self._only(self.helpers("multissh-front") - before)

    def keeper(self):
        return self._only(self.agent.keepers())

    @staticmethod
    def _only(found):
        assert len(found) == 1, found
        return next(iter(found))

    def stock(self):
        return Session(self.bench, ["ssh", *self.user.options(), "-W", "web01:22", "hub"])

    def jumps(self, count):
        """So many sessions by stock ssh, one after the other, of which each ends at once. What one costs: rows as of transfers."""
        self._jump()  # what is done only once is done
        mark, fronts = self.hub.moment(), []
        for _ in range(count):
            fronts.append(self._jump())
        busy = self.hub.since(mark)
        mark = self.hub.moment()
        time.sleep(6 if self.by_hub else 0)  # what its timers do, of which a slow machine would count more in a jump
        idle = self.hub.since(mark)
        hub = {name: max(0, busy[name] - idle.get(name, 0) / idle["seconds"] * busy["seconds"]) / count for name in busy}
        return {"hub, a jump": hub, "front, a jump": median(fronts)}

    def _jump(self):
        mark = self.hub.mark()
        session, front = self.front_of(self.stock)
        session.finish()
        self.hub.wait_log("left: ", PATIENCE, since=mark)
        wait_for(lambda: not os.path.exists(f"/proc/{front}"), PATIENCE, "the front ends")
        return self.by_front.take(front) if self.by_front else {}

    def transfers(self, session, size, **watched):
        """What a MiB costs. watched: name=(instrument, pid); returns a row for each name and direction."""
        session.down(MIB)
        session.up(MIB)  # the buffers have grown
        rows = {}
        for way in ("down", "up", "down", "up"):  # twice, the lower of the two: programs do not always take turns alike
            before = {name: instrument.take(pid) for name, (instrument, pid) in watched.items()}
            getattr(session, way)(size)
            for name, (instrument, pid) in watched.items():
                cost = each(difference(instrument.take(pid), before[name]), size / MIB)
                rows[f"{name}, a MiB {way}"] = lower(cost, rows.get(f"{name}, a MiB {way}", cost))
        session.finish()
        return rows

    def stock_transfers(self, size):
        session, front = self.front_of(self.stock)
        return self.transfers(session, size, front=(self.by_front, front), keeper=(self.by_agent, self.keeper()))

    def connect_transfers(self, size):
        words = [program("multissh"), "--hub", "hub", "--ssh-config", self.user.config, "connect", "web01"]
        session = Session(self.bench, self.by_client.argv(words))
        watched = {"connect": (self.by_client, session.popen.pid)}
        if self.by_hub:
            watched["pair"] = (self.by_hub, self._only(self.helpers("multissh-relay")))
        return self.transfers(session, size, **watched)


def programs(bench, front):
    """The hub in a folder of its own, where the front beside it is under that instrument. Returns its path."""
    folder = bench.folder("programs")
    shutil.copy2(program("multissh-hub"), folder)
    (folder / "multissh-relay").symlink_to(program("multissh-relay"))
    wrapper = folder / "multissh-front"
    wrapper.write_text(f"#!/bin/sh\nexec {shlex.join(front.argv([program('multissh-front')]))} \"$@\"\n")
    wrapper.chmod(0o755)
    return folder / "multissh-hub"


class Idle:
    """Machines that are there and do nothing but answer pings, each with a key and a TLS connection of its own."""

    def __init__(self, bench, hub):
        self.bench, self.hub, self.machines = bench, hub, {}
        self.code = hub.invite("--uses", "1000")
        threading.Thread(target=self._answer, daemon=True).start()

    def add(self, count):
        for _ in range(count):
            control = wire.Control(self.bench, self.hub, f"idle{len(self.machines):04d}", code=self.code)
            control.welcomed()
            self.machines[control.sock.fileno()] = control

    def _answer(self):
        with contextlib.suppress(OSError):  # their connections are closed at the end
            while True:
                for number in select.select(list(self.machines), [], [], 0.2)[0]:
                    self._answer_one(self.machines[number])

    @staticmethod
    def _answer_one(control):
        message = control.receive()
        while message:
            if message["type"] == "ping":
                control.send({"type": "pong", "n": message["n"], "ssh_state": "ok"})
            message = control.receive() if control.sock.pending() or b"\n" in control.buffer else None


def resident(pid):
    """Memory of its own: what no file holds."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("Anonymous:"):
                return {"bytes resident": int(line.split()[1]) << 10}
    raise AssertionError("no Anonymous")
