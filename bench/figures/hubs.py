"""Several hubs at a time, each with many machines: as many machines as this host bears, when one process may not have so many descriptors.

Only measured when it is asked for, for it takes long: SCALE.md has what it says."""
import contextlib
import time

import group
from frame import Failed, Figure
from report import bound_row, number
from sides import Ours

from figures.fleet import come_back, fleet, number_of, resting

HUBS = 3
REST = 60  # seconds in which nobody asks for anything


def joined(context, sides, count, stack):
    """All machines join, one hub's after the other's. The load makers, and CPU milliseconds of each hub for a machine."""
    loads, cost = [], []
    for place, side in enumerate(sides, 1):
        context.say(f"{count} machines join hub {place} of {len(sides)}")
        before = side.hub_cpu()
        loads.append(stack.enter_context(fleet(context, side, count)))
        cost.append((side.hub_cpu() - before) * 1000 / count)
    return loads, cost


def at_rest(context, sides):
    """Percent of a core that each hub uses."""
    context.say("nobody asks for anything")
    before, began = [side.hub_cpu() for side in sides], time.monotonic()
    time.sleep(2 if context.quick else REST)
    return [(side.hub_cpu() - cpu) * 100 / (time.monotonic() - began) for side, cpu in zip(sides, before)]


def listed(unit, values):
    return ", ".join(number(value, unit) for value in values)


def measure(context):
    count = number_of(context)
    with contextlib.ExitStack() as stack:
        sides = [stack.enter_context(Ours(context)) for _ in range(HUBS)]
        empty = [resting(context, side.hub_pss) for side in sides]
        loads, join = joined(context, sides, count, stack)
        memory = [(resting(context, side.hub_pss) - before) / count for side, before in zip(sides, empty)]
        theirs = sum(group.memory(load.pid, "Pss:") for load in loads) / (HUBS * count)
        rest = at_rest(context, sides)
        context.say("the hubs are killed")
        back = come_back(context, list(zip(sides, loads)))
    missing = sum(count - seen["online"] for seen in back)
    if missing or not all(seen["all"] for seen in back):
        raise Failed(f"hubs: {missing} of {HUBS * count} machines are not back")
    context.note(f"a join: {listed('ms', join)} of the hubs' CPU; a machine that comes back: {listed('ms', [seen['cpu'] for seen in back])}, "
                 f"after {sum(seen['tries'] for seen in back) / count / HUBS:.2f} tries; a machine of the load maker: {number(theirs, 'KiB')}")
    context.note(f"at most {max(seen['queue'] for seen in back)} connections waited to be accepted, {back[0]['overflows']} were dropped by a full accept queue")
    title = f"{HUBS} hubs with {count:,} machines each: "
    return [bound_row(title + "memory (PSS) per machine", [max(memory)], "KiB"),
            bound_row(title + "CPU at rest, of a core, each", [max(rest)], "%"),
            bound_row(title + "the last one's first try after kill -9", [max(seen["first_try"] for seen in back)], "s"),
            bound_row(title + "all are back", [max(seen["seconds"] for seen in back)], "s")]


FIGURES = [Figure("hubs", f"{HUBS} hubs at a time with --machines each", "-", measure, named=True)]
