"""The way to a machine: how long until its first byte, and what that costs the hub."""
import dataclasses
import select
import subprocess
import time

from frame import Failed, Figure
from report import ratio_row
from sides import Openssh, Ours

WAIT = 30


def hop(side, kex):
    """Seconds from the start of `ssh -W machine hub` to the first byte of the machine's SSH server."""
    argv = side.hop(kex)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=side.bench.env(), start_new_session=True) as ssh:
        try:
            began = time.monotonic()
            ready, _, _ = select.select([ssh.stdout], [], [], WAIT)
            first = ssh.stdout.read1(256) if ready else b""
            took = time.monotonic() - began
            if not first.startswith(b"SSH-2.0-OpenSSH"):
                ssh.kill()
                raise Failed(f"'{' '.join(argv)}' did not reach the machine within {WAIT} s: {first!r}\n{ssh.stderr.read().decode(errors='replace')}")
            ssh.stdin.close()
            ssh.wait(WAIT)
        except subprocess.TimeoutExpired:
            raise Failed(f"'{' '.join(argv)}' did not end within {WAIT} s") from None
        finally:
            if ssh.poll() is None:
                ssh.kill()
    return took


@dataclasses.dataclass(frozen=True)
class Way:
    """How user and hub agree upon a key: what the user's ssh is told, and whether the hub is the one that was built with a newer libssh."""
    words: str
    kex: str
    newer: bool = False


INSTALLED = Way("as installed", "default")
SNTRUP761 = Way("sntrup761 in both", "sntrup761", newer=True)
CURVE25519 = Way("curve25519 in both", "curve25519")


def built(context, way):
    """Whether there is the hub that it needs."""
    return not way.newer or context.has_newer()


def measured(context, way):
    """Milliseconds of each hop, pair by pair, and the hub's CPU milliseconds for one, each by side; and the hub's key exchange."""
    def make():
        times = 4 if context.quick else 10 * context.pairs
        with Openssh(context) as openssh, Ours(context, build=context.newer if way.newer else None) as ours:
            sides = {"OpenSSH": openssh, "multiSSH": ours}
            used = {name: side.algorithms(kex=way.kex)[0] for name, side in sides.items()}
            for side in sides.values():
                hop(side, way.kex)
                side.settle()
            before = {name: side.hub_cpu() for name, side in sides.items()}
            took = context.alternate({name: lambda side=side: hop(side, way.kex) * 1000 for name, side in sides.items()}, times)
            for side in sides.values():
                side.settle()
            cpu = {name: side.spent(before[name], side.hub_cpu()) * 1000 / times for name, side in sides.items()}
            context.note(f"hop, {way.words}: " + ", ".join(f"{name} {algorithm}" for name, algorithm in used.items()) + f"; {times} each")
            return took, cpu, used["multiSSH"]
    return context.once(("jumps", way), make)


def first_byte(way, bounded=True):
    def measure(context):
        if not built(context, way):
            return []
        took, _, used = measured(context, way)
        bound = (0.12 if used.startswith("curve25519") else 0.45) if bounded else None
        return [ratio_row(f"hop to the first byte, {way.words}", took["OpenSSH"], took["multiSSH"], "ms", bound=bound)]
    return measure


def cost(context):
    rows = []
    for way, bound in ((INSTALLED, 0.25), (SNTRUP761, None), (CURVE25519, 0.25)):
        if built(context, way):
            _, cpu, _ = measured(context, way)
            rows.append(ratio_row(f"hub CPU per jump, {way.words}", [cpu["OpenSSH"]], [cpu["multiSSH"]], "ms", bound=bound))
    return rows


FIGURES = [
    Figure("hop", "the hop to the first byte, each side as it is installed", "≤ 0.12", first_byte(INSTALLED)),
    Figure("hop-sntrup761", "the hop to the first byte, sntrup761 in both", "≤ 0.45", first_byte(SNTRUP761)),
    Figure("hop-curve25519", "the hop to the first byte, curve25519 in both", "-", first_byte(CURVE25519, bounded=False)),
    Figure("jump-cpu", "the hub's CPU per jump", "≤ 0.25", cost),
]
