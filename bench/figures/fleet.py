"""Many machines on one hub: what each costs while nobody uses it, what it costs those who use one of them, and how all come back.

The machines are multissh-load's: real agents, many in a process, each with an address of its own. Two hubs run at a time, one with many
machines and one with ten, and are asked in alternation."""
import contextlib
import os
import pathlib
import re
import signal
import statistics
import subprocess
import time

import group
from frame import Failed, Figure
from report import Row, bound_row, number
from sides import Openssh, Ours

from figures.jumps import hop
from figures.memory import at_rest
from figures.transfer import GIB, transfer

FEW = 10
RATE = 250      # machines that join in a second
JOIN_MAX = 900  # seconds
BACK_MAX = 300
TUNNELS = 10    # machines of the OpenSSH bastion; 3 in a quick run
LOOK = 0.25
USES = 12       # pairs of jumps and of transfers, at least: a few do not agree to within the 5 % of the bound


def number_of(context):
    return 100 if context.quick else context.args.machines


# --- the fleet ---

@contextlib.contextmanager
def fleet(context, side, count):
    """So many more machines of this side's hub; yields the load maker when all are online."""
    from kit.load import Load  # pylint: disable=import-outside-toplevel
    target = side.hub.invite("--uses", str(count), "--expires", "1d")
    load = Load(context.bench, target, count, "--rate", RATE, "--every", "1s", "--ssh", side.machine.at, patience=JOIN_MAX)
    try:
        load.wait("there")
        yield load
    finally:
        load.patience = 60
        if load.process.running():
            load.end()


def hub_pid(side):
    """The hub itself, below group.py."""
    found = [pid for pid in group.below(side.hub.process.pid) if pathlib.Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip() == "multissh-hub"]
    if len(found) != 1:
        raise Failed(f"there are {len(found)} processes of the name multissh-hub where one is expected")
    return found[0]


def resting(context, read):
    """What it reads when nothing moves any more; a quick run does not wait for that."""
    return read() if context.quick else at_rest(read)


def machine_memory_openssh(context):
    """KiB that one more machine, connected and idle, takes at the bastion."""
    with Openssh(context) as side:
        before = resting(context, side.hub_pss)
        count = 3 if context.quick else TUNNELS
        for _ in range(count):
            side.ports.pop("default")
            side.tunnel("default")
        return (resting(context, side.hub_pss) - before) / count


# --- at rest, and used ---

class Idle:
    """What a hub's side uses while nobody asks anything of it, to be taken off what is measured beside it."""

    def __init__(self, context, side):
        self.side = side
        seconds = 2 if context.quick else 40
        before, began = side.hub_cpu(), time.monotonic()
        time.sleep(seconds)
        self.rate = (side.hub_cpu() - before) / (time.monotonic() - began)

    def spent(self, do):
        """Seconds of the hub's CPU for this alone."""
        self.side.settle()
        before, began = self.side.hub_cpu(), time.monotonic()
        do()
        self.side.settle()
        return self.side.spent(before, self.side.hub_cpu() - self.rate * (time.monotonic() - began))


def jumps(side, times):
    for _ in range(times):
        hop(side, "curve25519")


def listing(side, *words):
    """Seconds until the first bytes and until the end of `ssh hub list`, and the text."""
    argv = ["ssh", "-F", str(side.config("default", "curve25519")), "hub", "list", *words]
    began = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=side.bench.env(), start_new_session=True) as ssh:
        try:
            text = os.read(ssh.stdout.fileno(), 1 << 16)
            first = time.monotonic() - began
            while more := os.read(ssh.stdout.fileno(), 1 << 16):
                text += more
            took = time.monotonic() - began
            if ssh.wait(60) != 0:
                raise Failed(f"'{' '.join(argv)}' ended with status {ssh.returncode}")
        finally:
            if ssh.poll() is None:
                ssh.kill()
    return first, took, text.decode()


def listed(context, sides, counts):
    """Both ways of listing, each complete: words -> side -> (first, all) in ms, medians."""
    found = {}
    for words in ((), ("-l",)):
        def one(name, words=words):
            first, took, text = listing(sides[name], *words)
            there = len(re.findall(r"^\s*m\d{5}\b", text, re.M))
            if there != counts[name]:
                raise Failed(f"`ssh hub list {' '.join(words)}` has {there} of {counts[name]} machines")
            return first * 1000, took * 1000
        runs = context.alternate({name: lambda name=name: one(name) for name in sides})
        found[words] = {name: [statistics.median(part) for part in zip(*runs[name])] for name in sides}
    return found


def beside(title, many, few, unit, bound):
    """Many machines' figure by few machines', pair by pair."""
    ratio = statistics.median(b / a for a, b in zip(few, many))
    return Row(title, ours=f"{number(statistics.median(many), unit)} (with {FEW}: {number(statistics.median(few), unit)})", ratio=f"{ratio:.2f}",
               goal=f"≤ {bound:.2f}", met="yes" if round(ratio, 2) <= bound else "no", value=ratio, bound=bound)


# --- back after kill -9 ---

def listen_overflows():
    """Connections that the kernel dropped because an accept queue was full; of the whole network namespace."""
    lines = [line.split() for line in pathlib.Path("/proc/net/netstat").read_text(encoding="ascii").splitlines() if line.startswith("TcpExt:")]
    return int(dict(zip(*lines))["ListenOverflows"])


def accept_queue(port):
    """How many connections wait there to be accepted."""
    done = subprocess.run(["ss", "-ltnH", f"sport = :{port}"], capture_output=True, text=True, check=False)
    return max([int(line.split()[1]) for line in done.stdout.splitlines()], default=0)


def kill_hub(side):
    pid = hub_pid(side)
    os.kill(pid, signal.SIGKILL)
    side.hub.process.popen.wait(30)


def start_hub(side):
    old = side.hub.process
    side.hub.process = side.bench.start("hub", *side.hub.argv())
    side.bench.replace(old, side.hub.process)
    side.hubs[:] = [side.hub.process.pid]


class Back:
    """A hub that is killed and started again at once, and its machines on their way back to it."""

    def __init__(self, side, load):
        self.side, self.load = side, load
        self.overflows, self.mark = listen_overflows(), load.mark()
        kill_hub(side)
        self.started = time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
        start_hub(side)
        self.lost = self.there = None
        self.queue = 0

    def look(self):
        """Whether all are there again. To be asked every LOOK seconds."""
        self.lost = self.lost or self.load.wait("lost", after=self.mark)
        self.queue = max(self.queue, accept_queue(self.side.hub.port))
        events = self.load.events()
        self.there = next((event for event in events[events.index(self.lost):] if event["event"] == "there"), None)
        return self.there is not None

    def online(self):
        return self.load.events()[-1]["online"]

    def seen(self):
        """A dictionary of what was seen."""
        last, offset = self.there or self.load.events()[-1], self.started - self.mark["marked_ms"]
        return {"all": self.there is not None, "online": last["online"], "seconds": (last["at_ms"] - self.started) / 1000, "tries": last["tries"],
                "first_try": (last.get("first_try_ms", {}).get("most", BACK_MAX * 1000) - offset) / 1000,
                "median": (last.get("admitted_ms", {}).get("median", BACK_MAX * 1000) - offset) / 1000,
                "overflows": listen_overflows() - self.overflows, "queue": self.queue, "cpu": self.side.hub_cpu() * 1000 / max(last["admissions"], 1)}


def come_back(context, pairs):
    """Kills these hubs, (side, load) each, all at once, and waits until everybody is back. What was seen of each."""
    backs, end = [Back(side, load) for side, load in pairs], time.monotonic() + BACK_MAX
    while not all([back.look() for back in backs]) and time.monotonic() < end:
        context.say(f"{sum(back.online() for back in backs)} of {sum(back.load.agents for back in backs)} machines are back")
        time.sleep(LOOK)
    return [back.seen() for back in backs]


# --- all of it, once ---

def measured(context):
    def make():
        from kit.wait import Timeout  # pylint: disable=import-outside-toplevel
        count, seen = number_of(context), {"openssh": machine_memory_openssh(context)}
        with Ours(context) as few, Ours(context) as many:
            sides, counts = {"few": few, "many": many}, {"few": FEW, "many": count}
            empty, joins = resting(context, many.hub_pss), many.hub_cpu()
            context.say(f"{count} machines join")
            try:
                with fleet(context, few, FEW), fleet(context, many, count) as load:
                    many.rests()
                    few.rests()
                    seen["join"] = (many.hub_cpu() - joins) * 1000 / count
                    seen["memory"] = (resting(context, many.hub_pss) - empty) / count
                    idle = {name: Idle(context, side) for name, side in sides.items()}
                    seen["idle"] = idle["many"].rate * 100
                    times, uses = (4, 1) if context.quick else (60, max(context.pairs, USES))
                    seen["jump"] = context.alternate({name: lambda name=name: idle[name].spent(lambda: jumps(sides[name], times)) * 1000 / times
                                                      for name in sides}, uses)
                    seen["gib"] = context.alternate({name: lambda name=name: idle[name].spent(lambda: transfer(context, sides[name], "aes128-gcm", "down"))
                                                     * GIB / context.size for name in sides}, uses)
                    seen["list"] = listed(context, sides, counts)
                    context.say("the hub is killed")
                    seen["back"], = come_back(context, [(many, load)])
            except Timeout as error:
                raise Failed(str(error)) from None
        return seen
    return context.once("fleet", make)


# --- the rows ---

def memory(context):
    seen, count = measured(context), number_of(context)
    return [bound_row(f"hub memory (PSS) per idle machine, {count:,} of them", [seen["memory"]], "KiB", bound=24, openssh=[seen["openssh"]]),
            bound_row(f"hub CPU with {count:,} idle machines, of a core", [seen["idle"]], "%", bound=2)]


def used(context):
    seen, count = measured(context), number_of(context)
    listing_all, few = seen["list"][()]["many"][1], seen["list"][()]["few"][1]
    first, whole = seen["list"][("-l",)]["many"]
    context.note(f"ssh hub list: {number(listing_all, 'ms')} with {count:,} machines, {number(few, 'ms')} with {FEW}; "
                 f"list -l: its first bytes after {number(first, 'ms')}, its end after {number(whole, 'ms')}")
    return [beside(f"hub CPU per jump with {count:,} idle machines", seen["jump"]["many"], seen["jump"]["few"], "ms", 1.05),
            beside(f"hub CPU per GiB with {count:,} idle machines", seen["gib"]["many"], seen["gib"]["few"], "s", 1.05),
            bound_row(f"ssh hub list with {count:,} machines, more than with {FEW}", [max(listing_all - few, 0)], "ms", bound=150)]


def back(context):
    seen, count = measured(context)["back"], number_of(context)
    joined = measured(context)["join"]
    context.note(f"the hub's CPU for a machine: {number(joined, 'ms')} when it joins, {number(seen['cpu'], 'ms')} when it comes back "
                 f"({seen['tries'] / count:.2f} tries each, half of them back after {number(seen['median'], 's')}); at most {seen['queue']} connections waited to be accepted")
    whole = f"{count:,} machines are back after kill -9, from the hub's start"
    if not seen["all"]:
        return [Row(whole, ours=f"{seen['online']:,} after {seen['seconds']:.0f} s", goal="≤ 30 s", met="no")]
    return [bound_row(whole, [seen["seconds"]], "s", bound=30), bound_row("the last one's first try", [seen["first_try"]], "s", bound=5),
            Row("connections dropped by a full accept queue", ours=str(seen["overflows"]), goal="0", met="yes" if seen["overflows"] == 0 else "no")]


FIGURES = [
    Figure("fleet-memory", "many idle machines: memory and CPU", "≤ 24 KiB each, ≤ 2 % of a core", memory),
    Figure("fleet-used", "many idle machines: a jump, a GiB, the list", "≤ 1.05 of that with few; ≤ 150 ms more", used),
    Figure("fleet-back", "many machines come back after kill -9", "≤ 30 s, first tries ≤ 5 s, accept queue never full", back),
]
