"""What it costs to move data, and how fast it goes: the hub's CPU, the machine's, and what a user sees. One set of runs serves all rows."""
import subprocess
import time

from frame import Failed, Figure
from report import ratio_row
from sides import together

CHUNK = 1 << 20
RUN_MAX = 300
GIB = 1 << 30
WAYS = ("down", "up")
# Side and cipher: who is compared with whom. A cipher of `connect`, of the floor and of nothing between is that of the inner connection alone.
CASES = [("openssh", "aes128-gcm"), ("ours", "aes128-gcm"), ("connect", "aes128-gcm"), ("floor", "aes128-gcm"), ("direct", "aes128-gcm"),
         ("openssh", "default"), ("ours", "default"), ("newer", "aes128-gcm"), ("newer", "default")]


def source(context):
    """The file that is moved."""
    def make():
        from os import urandom  # pylint: disable=import-outside-toplevel
        context.need_room(2 * context.size + (64 << 20))
        path = context.folder / "source"
        with open(path, "wb") as file:
            for _ in range(context.size // CHUNK):
                file.write(urandom(CHUNK))
        return path
    return context.once("source", make)


def transfer(context, side, cipher, way):
    """One file through one session: what it cost and how fast it was, per GiB and in MiB/s. Right, or it does not count."""
    origin, target = source(context), context.folder / "target"
    size = origin.stat().st_size
    side.settle()
    hub, machine = side.hub_cpu(), side.machine_cpu()
    began = time.monotonic()
    if way == "down":
        with open(target, "wb") as out:
            done = _run(context, side.ssh(f"cat {origin}", cipher=cipher), stdin=subprocess.DEVNULL, stdout=out)
    else:
        with open(origin, "rb") as data:
            done = _run(context, side.ssh(f"cat >{target}", cipher=cipher), stdin=data, stdout=subprocess.DEVNULL)
    took = time.monotonic() - began
    side.settle()
    used = {"hub": side.spent(hub, side.hub_cpu()) * GIB / size, "machine": side.spent(machine, side.machine_cpu()) * GIB / size, "speed": size / took / CHUNK}
    same = subprocess.run(["cmp", "-s", str(origin), str(target)], check=False)
    target.unlink()
    if same.returncode != 0:
        raise Failed(f"{side.name}, {way}: what arrived is not what was sent\n{done.stderr.decode(errors='replace')}")
    return used


def _run(context, argv, **options):
    try:
        done = subprocess.run(argv, stderr=subprocess.PIPE, timeout=RUN_MAX, check=False, env=context.bench.env(), **options)
    except subprocess.TimeoutExpired:
        raise Failed(f"'{' '.join(argv)}' was not done within {RUN_MAX} s") from None
    if done.returncode != 0:
        raise Failed(f"'{' '.join(argv)}' ended with status {done.returncode}:\n{done.stderr.decode(errors='replace')}")
    return done


def measured(context):
    """(side, cipher, way) -> {"hub": [...], "machine": [...], "speed": [...]}"""
    def make():
        sides = together(context)
        used, here = {}, [case for case in CASES if case[0] in sides]
        for name, cipher in here:
            # Also the first login, which warms what there is to be warmed.
            _run(context, sides[name].ssh("true", cipher=cipher), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            sides[name].settle()
            if name in ("openssh", "ours"):
                used[(name, cipher)] = sides[name].algorithms(cipher=cipher, kex="curve25519")[1]
        for cipher in ("aes128-gcm", "default"):
            context.note(f"cipher {cipher}: " + " and ".join(dict.fromkeys(used[(name, cipher)] for name in ("openssh", "ours"))))
        cases = {f"{name} {cipher} {way}": (name, cipher, way) for way in WAYS for name, cipher in here}
        runs = context.alternate({words: lambda case=case: transfer(context, sides[case[0]], case[1], case[2]) for words, case in cases.items()})
        return {case: {what: [run[what] for run in runs[words]] for what in ("hub", "machine", "speed")} for words, case in cases.items()}
    return context.once("transfers", make)


SHOWN = {"aes128-gcm": "AES-GCM", "default": "ChaCha20 (the default)"}


def hub_cpu(context):
    data, rows = measured(context), []
    for cipher, bound in (("aes128-gcm", 0.60), ("default", 0.42)):
        for way in WAYS:
            theirs, ours = data[("openssh", cipher, way)]["hub"], data[("ours", cipher, way)]["hub"]
            floor = data[("floor", "aes128-gcm", way)]["hub"]
            rows.append(ratio_row(f"hub CPU per GiB, ssh -J, {SHOWN[cipher]}, {way}", theirs, ours, "s", bound=bound, floor=floor))
            if ("newer", cipher, way) in data:
                newer = data[("newer", cipher, way)]["hub"]
                rows.append(ratio_row(f"hub CPU per GiB, ssh -J, {SHOWN[cipher]}, {way}, newer libssh", theirs, newer, "s", bound=bound, floor=floor))
    for way in WAYS:
        theirs, ours = data[("openssh", "aes128-gcm", way)]["hub"], data[("connect", "aes128-gcm", way)]["hub"]
        floor = data[("floor", "aes128-gcm", way)]["hub"]
        rows.append(ratio_row(f"hub CPU per GiB, multissh connect, {way}", theirs, ours, "s", bound=0.30, floor=floor))
        rows.append(ratio_row(f"hub CPU per GiB, multissh connect by the relay, {way}", floor, ours, "s", bound=1.3, against="floor"))
    return rows


def speed(context):
    data, rows = measured(context), []
    for way in WAYS:
        for cipher in ("aes128-gcm", "default"):
            rows.append(ratio_row(f"throughput, ssh -J, {SHOWN[cipher]}, {way}", data[("openssh", cipher, way)]["speed"], data[("ours", cipher, way)]["speed"],
                                  "MiB/s", better="more", bound=1.3, floor=data[("floor", "aes128-gcm", way)]["speed"]))
        theirs = data[("openssh", "aes128-gcm", way)]["speed"]
        rows.append(ratio_row(f"throughput, multissh connect, AES-GCM, {way}", theirs, data[("connect", "aes128-gcm", way)]["speed"], "MiB/s", better="more",
                              bound=1.6, floor=data[("floor", "aes128-gcm", way)]["speed"]))
        rows.append(ratio_row(f"throughput, nothing between, AES-GCM, {way}", theirs, data[("direct", "aes128-gcm", way)]["speed"], "MiB/s", better="more"))
    return rows


def machine_cpu(context):
    data, rows = measured(context), []
    for cipher in ("aes128-gcm", "default"):
        for way in WAYS:
            rows.append(ratio_row(f"agent's CPU per GiB beside ssh -R, {SHOWN[cipher]}, {way}", data[("openssh", cipher, way)]["machine"],
                                  data[("ours", cipher, way)]["machine"], "s", bound=0.25))
    return rows


FIGURES = [
    Figure("hub-cpu", "the hub's CPU per GiB", "≤ 0.60 with AES-GCM, ≤ 0.42 with ChaCha20; connect ≤ 0.30, and ≤ 1.3 of a raw relay's", hub_cpu),
    Figure("speed", "throughput", "≥ 1.3 with ssh -J, ≥ 1.6 with multissh connect", speed),
    Figure("agent-cpu", "the agent's CPU per GiB", "≤ 0.25 of that of ssh -R", machine_cpu),
]
