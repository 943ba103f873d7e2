"""A machine far away: 300 ms there and back, 2 % loss each way. Sessions work there, and a slow path is not taken for a dead one."""
import re
import statistics
import time

import pytest
from conftest import need
from kit import survive
from kit.wait import wait_for

pytestmark = pytest.mark.slow

LINE = {"delay": 150, "loss": 2.0, "rate": 20}
LASTS = 20  # seconds


class Dials:
    """Counts the connections that are opened from the machine to the hub, however often the first packet of one has to be sent."""

    def __init__(self, inet):
        self.inet = inet
        inet.nft(f"""table ip dials {{
            set seen {{ type ipv4_addr . inet_service; flags dynamic; size 1024; }}
            chain forward {{
                type filter hook forward priority 10
                iifname "to-m" tcp dport {survive.HUB_PORT} tcp flags & (syn | ack) == syn add @seen {{ ip saddr . tcp sport }}
            }}
        }}""")

    def count(self):
        listed = self.inet.run("nft", "list", "set", "ip", "dials", "seen").stdout
        return len(re.findall(r"[\d.]+ \. \d+", listed))


@pytest.mark.parametrize("both_ends", [False, True], ids=["stock", "connect"])
def test_sessions_work_and_are_not_dialled_anew(bench, net, both_ends):
    need("rsync")
    world = survive.World(bench, net, both_ends=both_ends, wide=LINE)
    # As Linux does it by itself; what a session does must not hang on how well TCP deals with loss.
    world.machine.run("ip", "route", "replace", "default", "via", "10.77.1.1", "congctl", "cubic")
    world.hosts["hub"].run("ip", "route", "replace", "default", "via", "203.0.113.9", "congctl", "cubic")
    # The first session sees to it that the agent's control connection is there, and that nothing of the start is counted.
    assert world.user.ssh(*world.words, "echo here", timeout=120).ok().out == "here\n"
    dials = Dials(world.inet)
    counter = world.counter(every=0.25, typing=0.5).started(120)
    transfer = survive.Transfer(bench, world.user, world.words, 10, 20)
    for file in transfer.source.iterdir():  # as much as such a line takes in that time
        file.write_bytes(file.read_bytes()[:200000])
    transfer.start()
    begin = time.monotonic()
    wait_for(lambda: counter.check() or time.monotonic() > begin + LASTS, LASTS + 30)
    transfer.finish(240)
    counter.moves(60)
    took = [shown - typed for typed, shown in counter.answered]
    assert min(took) >= 0.299, f"the line is between them: {min(took):.3f} s"
    assert len(took) > LASTS, f"{len(took)} lines typed and answered; {counter.stderr!r}"
    counter.finish()
    lost = {way: counts["lost"] for way, counts in world.wide.counts().items()}
    assert min(lost.values()) > 0, f"the line loses something: {lost}"
    # One for each session, and none anew: TCP brings back what is lost.
    assert dials.count() == 2, f"{dials.count()} connections for 2 sessions (a line answered within {statistics.median(took):.2f} s, at most {max(took):.2f}): " \
                               f"{world.agent.log()[-4000:]}"
    for ended in re.findall(r"session ended .*\((.*)\)", world.agent.log()):
        assert ended.endswith(" 0 resumed"), ended
