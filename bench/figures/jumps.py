"""The way to a machine: how long until its first byte, and what that costs the hub."""
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


def measured(context, kex):
    """Milliseconds of each hop, pair by pair, and the hub's CPU milliseconds for one, each by side; what was agreed upon, too."""
    def make():
        times = 4 if context.quick else 10 * context.pairs
        with Openssh(context) as openssh, Ours(context) as ours:
            sides = {"OpenSSH": openssh, "multiSSH": ours}
            used = {name: side.algorithms(kex=kex)[0] for name, side in sides.items()}
            for side in sides.values():
                hop(side, kex)
                side.settle()
            before = {name: side.hub_cpu() for name, side in sides.items()}
            took = context.alternate({name: lambda side=side: hop(side, kex) * 1000 for name, side in sides.items()}, times)
            for side in sides.values():
                side.settle()
            cpu = {name: side.spent(before[name], side.hub_cpu()) * 1000 / times for name, side in sides.items()}
            context.note(f"hop, {kex}: " + ", ".join(f"{name} {algorithm}" for name, algorithm in used.items()) + f"; {times} each")
            return took, cpu
    return context.once(("jumps", kex), make)


def first_byte(kex, title, bound):
    def measure(context):
        took, _ = measured(context, kex)
        return [ratio_row(title, took["OpenSSH"], took["multiSSH"], "ms", bound=bound)]
    return measure


def cost(context):
    rows = []
    for kex, words in (("curve25519", "curve25519"), ("default", "the client's key exchange")):
        _, cpu = measured(context, kex)
        rows.append(ratio_row(f"hub CPU per jump, {words}", [cpu["OpenSSH"]], [cpu["multiSSH"]], "ms", bound=0.25))
    return rows


FIGURES = [
    Figure("hop", "the hop to the first byte, curve25519", "≤ 0.12", first_byte("curve25519", "hop to the first byte, curve25519", 0.12)),
    Figure("hop-default", "the hop to the first byte, the client's key exchange", "≤ 0.45",
           first_byte("default", "hop to the first byte, the client's key exchange", 0.45)),
    Figure("jump-cpu", "the hub's CPU per jump", "≤ 0.25", cost),
]
