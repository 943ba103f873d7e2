"""A machine far away: what a user sees of the line when it loses packets, alone and with others on the same machine."""
import itertools
import os

from far import Openssh, Ours, Place, moved, unavailable
from frame import Figure
from report import ratio_row

# 100 ms there and back.
LINE = {"delay": 50, "loss": 0.1, "rate": 200, "seed": 6}
SIZES = {1: 12 << 20, 4: 4 << 20}  # of each session's file
PAIRS_MAX = 3


def sides(context):
    def make():
        place = Place(context, **LINE)
        ours = Ours(place)
        context.note(f"far away: {2 * LINE['delay']} ms there and back and {LINE['loss']} % loss each way on the machine's leg, a line of {LINE['rate']} Mbit/s, "
                     f"cubic everywhere, seed {place.line.seed}; logins not counted")
        found = {"openssh": Openssh(place), "ours": ours, "connect": Ours(place, connect=True, like=ours)}
        # A tunnel stands for days: it is measured when it has moved something and lost packets, both ways. Sessions of ours have no past.
        for way in () if context.quick else ("down", "up"):
            moved(found["openssh"], way, source(context, SIZES[1]), 1, 0)
        return found
    return context.once("far", make)


def source(context, size):
    path = context.folder / f"far-{size}"
    if not path.exists():
        path.write_bytes(os.urandom(size))
    return path


def measure(context, count, bound):
    why = unavailable()
    if why:
        context.note(f"far away: not measured, {why}")
        return []
    path = source(context, 1 << 18 if context.quick else SIZES[count])
    rows = []
    many = "one session" if count == 1 else f"{count} at once"
    for way in ("down", "up"):
        # Each pair has losses of its own, those of one pair meet the same.
        turns = {name: itertools.count(1) for name in sides(context)}
        cases = {name: lambda name=name, side=side, way=way: moved(side, way, path, count, next(turns[name])) for name, side in sides(context).items()}
        speed = context.alternate(cases, pairs=min(context.pairs, PAIRS_MAX))
        rows.append(ratio_row(f"far away, {many}, ssh -J, {way}", speed["openssh"], speed["ours"], "MiB/s", better="more", bound=bound))
        rows.append(ratio_row(f"far away, {many}, multissh connect, {way}", speed["openssh"], speed["connect"], "MiB/s", better="more", bound=bound))
    return rows


FIGURES = [
    Figure("wide-one", "throughput of one session with a machine far away", "≥ 1.0", lambda context: measure(context, 1, 1.0)),
    Figure("wide-four", "throughput of four sessions at once with one machine far away", "≥ 1.5", lambda context: measure(context, 4, 1.5)),
]
