"""From one core to two: four sessions at once, with everything (hub, machine and users) on as many cores."""
import contextlib
import os
import subprocess
import time

from frame import Failed, Figure
from report import Row, ratio_row
from sides import Openssh, Ours

from figures.transfer import CHUNK, RUN_MAX, source

SESSIONS = 4


@contextlib.contextmanager
def on(cores):
    """What is started now runs on these cores."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


def together_at_once(context, side, cores):
    """MiB/s of all sessions together, from the first one's start to the last one's end."""
    path, sessions = source(context), []
    argv = side.ssh(f"cat {path}", cipher="aes128-gcm")
    try:
        with on(cores):
            began = time.monotonic()
            # What arrives is counted by wc, which runs beside ssh on these cores.
            for _ in range(SESSIONS):
                ssh = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=side.bench.env(), start_new_session=True)
                count = subprocess.Popen(["wc", "-c"], stdin=ssh.stdout, stdout=subprocess.PIPE, start_new_session=True)
                ssh.stdout.close()
                sessions.append((ssh, count))
            for ssh, count in sessions:
                arrived = int(count.communicate(timeout=RUN_MAX)[0])
                if ssh.wait(RUN_MAX) != 0 or arrived != path.stat().st_size:
                    raise Failed(f"'{' '.join(argv)}' ended with status {ssh.returncode}, and {arrived} of {path.stat().st_size} bytes")
            return SESSIONS * path.stat().st_size / CHUNK / (time.monotonic() - began)
    except subprocess.TimeoutExpired:
        raise Failed(f"'{' '.join(argv)}' was not done within {RUN_MAX} s") from None
    finally:
        for pair in sessions:
            for popen in pair:
                if popen.poll() is None:
                    popen.kill()
                popen.wait()


def measure(context):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        context.note("one core only: scaling was not measured")
        return []
    kinds = {"1 core": set(cores[:1]), "2 cores": set(cores[:2])}
    with contextlib.ExitStack() as stack:
        cases = {}
        for kind, some in kinds.items():
            with on(some):
                ours = stack.enter_context(Ours(context))
                sides = {"openssh": stack.enter_context(Openssh(context)), "ours": ours,
                         "connect": stack.enter_context(Ours(context, connect=True, like=ours))}
            for name, side in sides.items():
                with on(some):
                    subprocess.run(side.ssh("true", cipher="aes128-gcm"), check=True, stdin=subprocess.DEVNULL, env=context.bench.env())
                cases[f"{name}, {kind}"] = lambda side=side, some=some: together_at_once(context, side, some)
        speed = context.alternate(cases)
    rows = []
    for name, title in (("ours", "ssh -J"), ("connect", "multissh connect")):
        for kind in kinds:
            rows.append(ratio_row(f"four at once, {title}, {kind}", speed[f"openssh, {kind}"], speed[f"{name}, {kind}"], "MiB/s", better="more"))
        theirs, ours = (ratio_row("", speed[f"{side}, 1 core"], speed[f"{side}, 2 cores"], "").value for side in ("openssh", name))
        rows.append(Row(f"four at once, {title}, 2 cores by 1", openssh=f"{theirs:.2f}", ours=f"{ours:.2f}", ratio=f"{ours / theirs:.2f}"))
    return rows


FIGURES = [Figure("cores", "from one core to two", "-", measure)]
