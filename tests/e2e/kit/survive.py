"""Sessions whose network fails under them: what runs in them (a counter in a shell, rsync), what is done to their network, and how
long they stood still."""
import os
import re
import signal
import statistics
import subprocess
import threading
import time

from . import proc
from .bench import program
from .net import two_homes
from .parts import ME, Agent, Hub, Sshd, User
from .wait import wait_for

HUB, HUB_PORT = "203.0.113.10", 2244

# Runs on the machine: a line with a number and the time every so often, and an answer to each line that comes.
PROGRAM = """\
import os, select, sys, time
every, number, due, rest = float(sys.argv[1]), 0, 0.0, b""
try:
    while True:
        if select.select([0], [], [], max(0.0, due - time.monotonic()))[0]:
            data = os.read(0, 65536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\\n")
            for line in lines:
                os.write(1, b"heard " + line + b"\\n")
        now = time.monotonic()
        if now >= due:
            os.write(1, b"count %d %.6f\\n" % (number, now))
            number, due = number + 1, now + every
except KeyboardInterrupt:
    pass
"""


class Counter:
    """A person's shell on the machine in which a counter runs and answers to what is typed. Everything shown is checked: each
    number once and in order, each typed line answered once and in order."""

    def __init__(self, bench, user, words, every=0.05, typing=0.1):
        script = bench.path("counter.py")
        if not script.exists():
            script.write_text(PROGRAM)
        self.faults, self.last, self.typed, self.heard = [], -1, 0, 0
        self.counted = []  # (when it was written on the machine, when it was shown)
        self.answered = []  # (when it was typed, when the answer was shown)
        self.sent = {}
        self.text = b""
        self.over = threading.Event()
        self.typing = typing
        self.popen = user.popen("-tt", *words)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.errors = threading.Thread(target=self._read_errors, daemon=True)
        self.stderr = b""
        self.errors.start()
        # No job control: where all is suspended by signals, the shell would see its job stopped and take the terminal back.
        self._send(f"set +m; stty -echo -onlcr; /usr/bin/python3 {script} {every}\n")
        self.typist = threading.Thread(target=self._type, daemon=True)

    def started(self, timeout=30):
        wait_for(lambda: self.last >= 2 or self.faults, timeout, lambda: f"the counter runs: {self.text[-2000:]!r} {self.stderr!r}")
        self.typist.start()
        wait_for(lambda: self.answered or self.faults, timeout, "typing is answered")
        return self

    def _send(self, text):
        try:
            self.popen.stdin.write(text.encode())
        except (OSError, ValueError):
            pass  # the reader says how it ended

    def _read(self):
        rest = b""
        while True:
            try:
                data = self.popen.stdout.read(65536)
            except (OSError, ValueError):
                data = b""
            if not data:
                break
            now = time.monotonic()
            self.text = (self.text + data)[-4000:]
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._line(line.decode(errors="replace").strip("\r"), now)
        self.over.set()

    def _line(self, line, now):
        match = re.search(r"count (\d+) ([\d.]+)$", line)
        if match:
            if int(match.group(1)) != self.last + 1:
                self.faults.append(f"{match.group(1)} came behind {self.last}")
            self.last = int(match.group(1))
            self.counted.append((float(match.group(2)), now))
            return
        match = re.search(r"heard (\d+)$", line)
        if match:
            if int(match.group(1)) != self.heard:
                self.faults.append(f"answer {match.group(1)} came, {self.heard} was next")
            self.heard = int(match.group(1)) + 1
            self.answered.append((self.sent.get(int(match.group(1)), now), now))

    def _read_errors(self):
        while True:
            try:
                data = self.popen.stderr.read(4096)
            except (OSError, ValueError):
                return
            if not data:
                return
            self.stderr = (self.stderr + data)[-4000:]

    def _type(self):
        while not self.over.wait(self.typing):
            number, self.typed = self.typed, self.typed + 1
            self.sent[number] = time.monotonic()
            self._send(f"{number}\n")

    def check(self):
        ended = self.over.is_set()
        assert not self.faults and not ended, f"{'the session ended' if ended else self.faults}: {self.text!r} {self.stderr!r}"

    def moves(self, timeout=30, now=None):
        """Waits until what is written and typed from now on is shown."""
        now = now or time.monotonic()

        def look():
            self.check()
            return self.counted[-1][0] > now and self.answered[-1][0] > now

        wait_for(look, timeout, lambda: f"the session moves again; last shown {now - self.counted[-1][1]:.1f} s before: {self.stderr!r}")

    def stood_still(self, since, back):
        """How long after its network was back the slowest line of either direction came that was written since then."""
        late = [shown - max(written, back) for written, shown in self.counted + self.answered if shown > since]
        return max(0.0, *late)

    def finish(self):
        """Ctrl-C, and the shell goes on and ends with a status of its own."""
        self.over.set()
        if self.typist.ident:
            self.typist.join()
        self._send("\x03")
        self._send("exit 7\n")
        status = self.popen.wait(30)
        self.reader.join(10)
        assert not self.faults, f"{self.faults}: {self.text!r} {self.stderr!r}"
        assert status == 7, f"status {status}: {self.text!r} {self.stderr!r}"


class Transfer:
    """rsync through the jump, at a limited speed so that there is a middle."""

    def __init__(self, bench, user, words, mebibytes, speed):
        self.bench, self.user, self.words, self.speed = bench, user, words, speed
        self.process = None
        self.source, self.target = bench.folder("source"), bench.folder("target")
        for number, share in enumerate((7, 2, 1)):
            with open(self.source / f"file{number}", "wb") as file:
                for _ in range(mebibytes * share // 10):
                    file.write(os.urandom(1 << 20))
        self.size = sum(file.stat().st_size for file in self.source.iterdir())

    def start(self):
        """Anew, with nothing at the target."""
        for file in self.target.iterdir():
            file.unlink()
        *options, at = self.words
        ssh = " ".join(["ssh", *self.user.options(), *options])
        argv = ["rsync", "-a", "--inplace", f"--bwlimit={self.speed}m", "-e", ssh, f"{self.source}/", f"{at}:{self.target}/"]
        old, self.process = self.process, self.bench.start("rsync", *argv, netns=self.user.netns)
        if old:
            self.bench.replace(old, self.process)
        return self

    def arrived(self):
        return sum(file.stat().st_size for file in self.target.iterdir())

    def middle(self, part=0.3, timeout=120):
        wait_for(lambda: self.arrived() >= self.size * part or not self.process.running(), timeout, f"rsync is at {part}")
        assert self.process.running(), f"rsync is over already: {self.process.log()}"

    def moves(self, timeout=30, now=None):
        before = self.arrived()
        wait_for(lambda: self.arrived() > before or not self.process.running(), timeout, "rsync moves again")

    def finish(self, timeout=180):
        status = self.process.popen.wait(timeout)
        assert status == 0, f"rsync ended with {status}: {self.process.log()}"
        done = subprocess.run(["diff", "-r", str(self.source), str(self.target)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


class Side:
    """One end of the path: a host behind a router with NAT."""

    def __init__(self, hosts, host, nat, interface, outside, program):
        self.host, self.nat = hosts[host], hosts[nat]
        self.interface, self.outside, self.program = interface, outside, program  # the interface: of the router before

    def addresses(self):
        """Its address and the one that it will have next."""
        has_new = "10.77.1.9/" in self.host.run("ip", "addr", "show", "eth0").stdout
        return ("10.77.1.9/24", "10.77.1.2/24") if has_new else ("10.77.1.2/24", "10.77.1.9/24")

    def programs(self):
        """Ours, but neither an SSH server nor a client nor what runs in sessions."""
        return [pid for pid in self.host.pids() if os.path.basename(proc.command_of(pid).split(" ")[0]) == self.program]


class World:
    """user — NAT — internet with the hub — NAT — machine, and everything in it started."""

    def __init__(self, bench, net, *hub_flags, agent_flags=(), both_ends=False, wide=None):
        """both_ends: the user's stock ssh gets to the machine by `multissh connect`, so that the user's side survives, too.
        wide: the settings of the machine's leg (kit.net.Wide), which is a cable without."""
        self.bench, self.net = bench, net
        self.hosts = two_homes(net, **(wide or {}))
        self.wide = self.hosts.get("wide")
        self.inet, self.machine = self.hosts["inet"], self.hosts["machine"]
        self.at_machine = Side(self.hosts, "machine", "nat-m", "to-m", "192.0.2", "multissh-agent")
        self.at_user = Side(self.hosts, "user", "nat-u", "to-u", "198.51.100", "multissh")
        self.struck = [self.at_machine]  # whom the faults are for
        self.hub = Hub(bench, *hub_flags, address=HUB, port=HUB_PORT, netns=self.hosts["hub"])
        self.user = User(bench, "alice", netns=self.hosts["user"]).knows(self.hub)
        self.hub.add_user(self.user)
        self.sshd = Sshd(bench, netns=self.machine, port=2022).allow(self.user)
        self.agent = Agent(bench, self.hub, "web01", ssh=self.sshd, netns=self.machine, command_flags=agent_flags)
        self.words = ("-J", "hub", f"{ME}@web01")
        if both_ends:
            config = self.user.config
            way = f"{program('multissh')} --hub hub --ssh-config {config} connect %n"
            config.write_text(f"Host web01\n  ProxyCommand {way}\n{config.read_text()}")
            self.words = (f"{ME}@web01",)

    def restart_agent(self):
        old = self.agent.process
        self.agent.run()
        self.bench.replace(old, self.agent.process)


    def counter(self, **more):
        return Counter(self.bench, self.user, self.words, **more)

    def counters(self, count, one_front=False):
        """Many sessions; each by a connection of its own to the hub, or all by one."""
        words = self.words
        if one_front:
            control = f"{self.user.folder}/m%n"
            master = self.user.popen("-M", "-N", "-S", control, "hub")
            wait_for(lambda: any(self.user.folder.glob("m*")) or master.poll() is not None, 20, "the connection to the hub stands")
            proxy = " ".join(["ssh", *self.user.options(), "-S", control, "-W", "%h:%p", "hub"]).replace("m%n", "m%%n")
            words = ("-o", f"ProxyCommand={proxy}", self.words[-1])
        counters = [Counter(self.bench, self.user, words, every=0.25, typing=0.5) for _ in range(count)]
        return [counter.started(60) for counter in counters]

    def transfer(self, mebibytes, speed):
        return Transfer(self.bench, self.user, self.words, mebibytes, speed)

    def hub_programs(self, name):
        commands = {pid: proc.command_of(pid) for pid in self.hosts["hub"].pids()}
        return [pid for pid, c in commands.items() if os.path.basename(c.split(" ")[0]) == name and "--nursery" not in c]


# --- what is done to the network. Each lasts that many seconds and returns (when it began, when the network was back). ---

def lasting(seconds, begin, end):
    began = time.monotonic()
    begin()
    try:
        time.sleep(max(0.0, began + seconds - time.monotonic()))  # the outage itself is what is wanted, not an event
    finally:
        end()
    return began, time.monotonic()


def from_struck(world):
    return [f'iifname "{side.interface}"' for side in world.struck]


def to_struck(world):
    return [f'oifname "{side.interface}"' for side in world.struck]


def _cut(world, seconds, matches, verdict="drop"):
    met = []
    times = lasting(seconds, lambda: world.inet.drop(*matches, verdict=verdict), lambda: met.append(world.inet.undrop()))
    assert met[0] > 0, "nothing was cut: this showed nothing"
    return times


def blackhole(world, seconds):
    """Not a packet passes, and nobody is told."""
    return _cut(world, seconds, from_struck(world) + to_struck(world))


def deaf(world, seconds):
    """What is for the struck side is dropped, what it sends arrives."""
    return _cut(world, seconds, to_struck(world))


def mute(world, seconds):
    """What the struck side sends is dropped, what is for it arrives."""
    return _cut(world, seconds, from_struck(world))


def reset(world, seconds):
    """A firewall answers every packet, of either direction, with a reset."""
    return _cut(world, seconds, [f"{match} meta l4proto tcp" for match in from_struck(world) + to_struck(world)], verdict="reject with tcp reset")


def abort_here(world, _seconds):
    """The kernel of the struck side aborts its connections to the hub."""
    began = time.monotonic()
    for side in world.struck:
        assert side.host.kill_connections("dport", "=", f":{HUB_PORT}") > 0
    return began, time.monotonic()


def abort_there(world, _seconds):
    """The hub's kernel aborts its connections to the struck side."""
    began = time.monotonic()
    for side in world.struck:
        assert world.hosts["hub"].kill_connections("dst", f"{side.outside}.0/24") > 0
    return began, time.monotonic()


def readdressed(world, seconds):
    """The struck side is off the net, and back with another address."""
    ways = [(side.host, *side.addresses()) for side in world.struck]
    return lasting(seconds, lambda: [host.run("ip", "addr", "del", old, "dev", "eth0") for host, old, _ in ways],
                   lambda: [host.readdress("eth0", None, new, "10.77.1.1") for host, _, new in ways])


def moved(world, _seconds):
    """The struck side has another address from one moment to the next."""
    began = time.monotonic()
    for side in world.struck:
        side.host.readdress("eth0", *side.addresses(), "10.77.1.1")
    return began, time.monotonic()


def rerouted(world, seconds):
    """The router of the struck side is restarted: it comes back with another address outside and has forgotten every connection."""
    ways = []
    for side in world.struck:
        old, via_old, new, via_new = (f"{side.outside}.{last}" for last in ("2/30", "1", "6/30", "5"))
        if f"{side.outside}.6/" in side.nat.run("ip", "addr", "show", "wan").stdout:
            old, new, via_new = new, old, via_old
        ways.append((side.nat, old, new, via_new))
        world.inet.run("ip", "addr", "add", f"{side.outside}.5/30", "dev", side.interface, check=False)
        # What it does not know it drops, as most do.
        side.nat.run("sh", "-c", "echo 0 >/proc/sys/net/netfilter/nf_conntrack_tcp_loose")

    def back():
        for nat, old, new, via in ways:
            nat.run("ip", "addr", "del", old, "dev", "wan")
            nat.run("ip", "addr", "add", new, "dev", "wan")
            nat.up("wan")
            world.net.route(nat, via)

    return lasting(seconds, lambda: [nat.down("wan") for nat, *_ in ways], back)


def suspend(pids, seconds):
    def all_of(number):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    assert pids, "nobody to suspend: this showed nothing"
    return lasting(seconds, lambda: all_of(signal.SIGSTOP), lambda: all_of(signal.SIGCONT))


def suspended_programs(world, seconds):
    """Our programs sleep, with nothing else."""
    return suspend([pid for side in world.struck for pid in side.programs()], seconds)


def suspended_host(world, seconds):
    """The whole host sleeps."""
    return suspend([pid for side in world.struck for pid in side.host.pids()], seconds)


def suspended_hub(world, seconds):
    return suspend([world.hub.process.pid], seconds)


def hub_killed(world, seconds):
    """The hub dies, and is started again some time after."""
    return lasting(seconds, world.hub.process.kill, world.hub.start)


def hub_stopped(world, seconds):
    """The hub is told to end, as a service manager does it."""
    return lasting(seconds, world.hub.process.stop, world.hub.start)


def all_at_once(world, seconds):
    """The network is dead, and the hub dies and comes back meanwhile."""
    def hub_dies():
        world.inet.drop(*from_struck(world), *to_struck(world))
        world.hub.process.kill()

    def back():
        world.hub.start()
        time.sleep(seconds / 2)
        world.inet.undrop()

    return lasting(seconds / 2, hub_dies, back)


def agent_killed(world, seconds):
    return lasting(seconds, world.agent.process.kill, world.restart_agent)


def agent_stopped(world, seconds):
    return lasting(seconds, world.agent.process.stop, world.restart_agent)


def describe(times):
    """Of many measurements, for people."""
    ordered = sorted(times)
    return (f"{len(ordered)} times: median {statistics.median(ordered):.2f} s, 90 % within {ordered[int(len(ordered) * 0.9) - (len(ordered) > 9)]:.2f} s, "
            f"longest {ordered[-1]:.2f} s")


def progress(text):
    """A line for who waits: into the file that make check-long shows meanwhile, for pytest keeps what is written here."""
    path = os.environ.get("MULTISSH_PROGRESS")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text + "\n")
    print(text)
