"""The link with distance that other tests and measurements stand on: does it delay, lose and slow down as it says, and nothing else?

Times are taken by the kernel where a packet arrives, so that a busy machine does not count as distance."""
import json
import math
import statistics
import subprocess
import time

import pytest
from kit import proc
from kit.bench import program, sanitized
from kit.wait import wait_for

pytestmark = pytest.mark.no_programs

# Sends datagrams with a number each: so many, of that size; one after each so many ms, or as fast as they go. Says when each was sent (realtime, ns).
SENDER = """
import json, socket, sys, time
count, size, every = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[4], 9))
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
sent = []
due = time.monotonic()
for number in range(count):
    sent.append(time.time_ns())
    s.send(number.to_bytes(4, "big").ljust(size - 28, b"."))
    due += every / 1000
    time.sleep(max(0.0, due - time.monotonic()))
print(json.dumps(sent))
"""

# Notes each datagram's number and when the kernel had it (realtime, ns), until a line comes on standard input and nothing more is there.
RECEIVER = """
import json, select, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
s.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
s.bind((sys.argv[1], 9))
print("ready", flush=True)
got, over = [], False
while True:
    ready = select.select([s] if over else [s, sys.stdin], [], [], 0 if over else None)[0]
    if s in ready:
        data, extra, _, _ = s.recvmsg(2048, 256)
        seconds, ns = struct.unpack("qq", extra[0][2][:16])
        got.append((int.from_bytes(data[:4], "big"), seconds * 1000000000 + ns))
    elif over:
        break
    elif ready:
        over = True
print(json.dumps(got))
"""

A, B = "10.9.0.1", "10.9.0.2"


class Line:
    """Two hosts with such a link between them."""

    def __init__(self, bench, net, **settings):
        self.bench = bench
        number = bench.number()
        self.a, self.b = net.host(f"a{number}"), net.host(f"b{number}")
        self.wide = net.wide_link(self.a, "eth0", f"{A}/30", self.b, "eth0", f"{B}/30", **settings)

    def send(self, count, size=1000, every=0.0, back=False):
        """Datagrams of that size (as the line sees it) from a to b, or back. Returns (when each was sent, [(number, when it came)])."""
        source, target, address, way = (self.b, self.a, A, "b>a") if back else (self.a, self.b, B, "a>b")
        receiver = subprocess.Popen(["ip", "netns", "exec", target.full, "/usr/bin/python3", "-c", RECEIVER, address], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, text=True, env=self.bench.env())
        self.bench.closers.append(lambda: receiver.poll() is None and receiver.kill())
        assert receiver.stdout.readline() == "ready\n"
        before = self.wide.counts()[way]
        sent = json.loads(source.run("/usr/bin/python3", "-c", SENDER, count, size, every, address).stdout)

        def all_through():
            now = self.wide.counts()[way]
            return sum(now[what] - before[what] for what in ("packets", "lost", "queue", "memory", "refused")) == count

        wait_for(all_through, 60, lambda: f"the link has dealt with {count} packets: {self.wide.process.log()}")
        got = json.loads(receiver.communicate("over\n", 30)[0])
        return sent, got


@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_delay(bench, net, back):
    line = Line(bench, net, delay=80)
    sent, got = line.send(300, every=2.0, back=back)
    assert [number for number, _ in got] == list(range(300)), "nothing is lost, and in order"
    took = [(came - sent[number]) / 1e6 for number, came in got]
    assert min(took) >= 79.9, f"nothing is early: {min(took):.3f} ms"
    # On an idle machine 0.1 ms; the bound is for one that has other things to do.
    assert statistics.median(took) <= 90, f"half of them come in time: {statistics.median(took):.3f} ms"


def test_nothing_is_done_where_nothing_is_asked_for(bench, net):
    line = Line(bench, net)
    sent, got = line.send(2000, every=0.1)
    assert [number for number, _ in got] == list(range(2000))
    assert statistics.median(came - sent[number] for number, came in got) < 10e6


def test_loss(bench, net):
    """10 % of 5,000: within five standard deviations, in each direction; and the same seed loses the same ones."""
    line = Line(bench, net, loss=10.0, seed=7)
    _, there = line.send(5000, size=100)
    _, back = line.send(5000, size=100, back=True)
    for got in (there, back):
        missing = 5000 - len(got)
        assert abs(missing - 500) <= 5 * math.sqrt(5000 * 0.1 * 0.9), missing
        assert [number for number, _ in got] == sorted(number for number, _ in got)
    assert {number for number, _ in there} != {number for number, _ in back}, "each direction has numbers of its own"
    again = Line(bench, net, loss=10.0, seed=7)
    _, same = again.send(5000, size=100)
    assert [number for number, _ in same] == [number for number, _ in there]
    again.wide.again()
    _, anew = again.send(5000, size=100)
    assert [number for number, _ in anew] == [number for number, _ in there]
    again.wide.again(1)
    _, others = again.send(5000, size=100)
    assert [number for number, _ in others] != [number for number, _ in there]
    other = Line(bench, net, loss=10.0)
    assert other.wide.seed != 7


def test_all_or_nothing(bench, net):
    line = Line(bench, net, loss=100)
    assert line.send(500, every=0.05)[1] == []


def test_rate_and_queue(bench, net):
    """1 Mbit/s and room for 20 KiB: what comes too fast leaves at that rate, and what has no room is dropped."""
    line = Line(bench, net, rate=1, queue=20, delay=10)
    sent, got = line.send(300, every=1.0)  # 8 Mbit/s
    counts = line.wide.counts()["a>b"]
    assert counts["queue"] > 50 and counts["queue"] + len(got) == 300, counts
    times = [came for _, came in got]
    rate = (len(got) - 1) * 8e9 / (times[-1] - times[0]) / 1000
    assert rate <= 1.02, f"{rate:.3f} Mbit/s"
    took = [(came - sent[number]) / 1e6 for number, came in got]
    # 8 ms to be sent, 10 ms on the way, and up to 164 ms in the queue.
    assert min(took) >= 17.9 and max(took) >= 120, "who comes into a full queue waits for it"
    assert statistics.median(took) <= 182 + 10, f"and for no longer: {statistics.median(took):.3f} ms"
    # The other direction knows nothing of it: a line that is not full sends at once.
    sent, got = line.send(50, size=100, every=5.0, back=True)
    assert len(got) == 50 and statistics.median((came - sent[number]) / 1e6 for number, came in got) <= 20.8


def test_rate_is_kept(bench, net):
    """Each packet is as late as those before it make it, for the line is never idle while something waits for it."""
    line = Line(bench, net, rate=10, queue=1000)
    sent, got = line.send(600)
    assert len(got) == 600
    free, late = 0, []
    for number, came in got:
        free = max(free, sent[number]) + 800000  # ns for 1000 bytes
        late.append((came - free) / 1e6)
    assert min(late) >= -0.1, f"nothing is faster than the line: {min(late):.3f} ms"
    # On an idle machine 0.2 ms.
    assert statistics.median(late) <= 30, f"{statistics.median(late):.3f} ms"


def test_bounded_in_memory(bench, net):
    """Seconds of delay and no rate: what is more than the memory holds is lost, and counted."""
    line = Line(bench, net, delay=4000, memory=1)
    _, got = line.send(3000, size=1000)
    counts = line.wide.counts()["a>b"]
    assert counts["memory"] > 0 and len(got) + counts["memory"] == 3000, counts
    assert len(got) >= 1000, "a packet takes little more than its own size"
    assert [number for number, _ in got[:1000]] == list(range(1000)), "those that come too late are lost"
    if not sanitized():
        assert proc.memory_kib(line.wide.process.pid) < 8 * 1024, "it needs no more than it says"


def test_idle_costs_nothing(bench, net):
    line = Line(bench, net, delay=100, rate=100)
    line.send(10)
    before = proc.cpu_seconds(line.wide.process.pid)
    begin = time.monotonic()
    wait_for(lambda: time.monotonic() > begin + 1, 3)
    assert proc.cpu_seconds(line.wide.process.pid) - before <= 0.02


def test_tcp_gets_through(bench, net):
    """Delay, rate and loss together: what arrives is what was sent."""
    line = Line(bench, net, delay=20, rate=50, loss=1.0)
    text = bench.path("data")
    text.write_bytes(bytes(range(256)) * 2048)
    listener = bench.start("listener", "socat", "-u", f"TCP-LISTEN:7,bind={B}", f"CREATE:{bench.path('came')}", netns=line.b)
    wait_for(lambda: ":7 " in line.b.run("ss", "-Hltn").stdout, 10)
    line.a.run("timeout", "60", "socat", "-u", f"FILE:{text}", f"TCP:{B}:7")
    assert listener.popen.wait(30) == 0
    assert bench.path("came").read_bytes() == text.read_bytes()
    assert line.wide.counts()["a>b"]["lost"] > 0


def test_ends(bench, net):
    line = Line(bench, net, delay=1)
    line.send(20)
    assert line.wide.process.stop() == 0
    assert line.wide.counted(line.wide.process.log())["a>b"]["packets"] >= 20
    assert "eth0" not in line.a.run("ip", "link").stdout
    gone = Line(bench, net, delay=1)
    gone.a.run("ip", "link", "del", "eth0")
    assert gone.wide.process.popen.wait(10) == 1
    assert "is gone" in gone.wide.process.log()


@pytest.mark.parametrize("words, status, says", [
    (["--help"], 0, "usage: wide_link"),
    (["--delay", "-1", "a:b", "c:d"], 2, "--delay: '-1' is not a number from 0 to 10000"),
    (["--loss", "nan", "a:b", "c:d"], 2, "--loss: 'nan' is not a number"),
    (["--loss", "101", "a:b", "c:d"], 2, "from 0 to 100"),
    (["--rate", "1e9", "a:b", "c:d"], 2, "--rate: "),
    (["--seed", "-3", "a:b", "c:d"], 2, "--seed: "),
    (["--rate", "100", "--queue", "1", "a:b", "c:d"], 2, "do not hold one packet"),
    (["--rate", "1000", "--delay", "1000", "--memory", "2", "a:b", "c:d"], 2, "MiB are needed"),
    (["--rate", "100000", "--delay", "10000", "a:b", "c:d"], 2, "too much"),
    (["a:b"], 2, "two ends are needed"),
    (["ab", "c:d"], 2, "'ab' is not NAMESPACE:DEVICE"),
    (["a:much-too-long-a-name", "c:d"], 2, "is not NAMESPACE:DEVICE"),
    (["no-such-namespace:b", "c:d"], 1, "there is no network namespace"),
    (["--nonsense"], 2, "--help"),
])
def test_usage(bench, words, status, says):
    done = bench.run(program("tests/wide_link"), *words)
    assert done.status == status
    done.says(says)
