#!/usr/bin/python3
"""multiSSH beside an OpenSSH bastion and a raw TCP relay: what a hub, a machine and a user pay, each figure with its goal.

Everything runs on this machine, on loopback, in alternation. README.md says how each figure is measured."""
import argparse
import importlib
import os
import signal
import sys
import time
from pathlib import Path

import network
from frame import Context, Failed
from report import HEAD, ROOT, Progress, facts, plot, table, write_file, write_section

TITLE = "multiSSH and an OpenSSH bastion"
# As the table has them; a figure that is not named here comes behind these.
ORDER = ("transfer", "jumps", "echo", "wide", "memory", "fleet", "cores")


def load():
    """The groups of figures: module -> its FIGURES."""
    names = sorted(path.stem for path in (ROOT / "bench" / "figures").glob("*.py") if not path.stem.startswith("_"))
    names.sort(key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    return {name: importlib.import_module(f"figures.{name}").FIGURES for name in names}


def parse(groups):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter,
                                     epilog="figures: " + "; ".join(f"{group}: {', '.join(figure.name for figure in figures)}" for group, figures in groups.items()))
    parser.add_argument("--build", default=os.environ.get("BUILD", "build"), help="the folder with multiSSH's programs")
    parser.add_argument("--newer", metavar="FOLDER", default="BUILD/newer", help="the folder with the hub's programs that have a newer libssh")
    parser.add_argument("--figures", default="all", help="which, by their names or those of their groups, with commas between")
    parser.add_argument("--pairs", type=int, default=5, help="how often each is measured with each side")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="of what is moved at a time")
    parser.add_argument("--machines", type=int, default=10000, metavar="N", help="how many idle machines a hub has")
    parser.add_argument("--folder", default="/dev/shm", help="where the data and the state go: memory, lest the disk decides")
    parser.add_argument("--results", default=str(ROOT / "bench" / "RESULTS.md"), help="the file whose section is replaced; the plot goes beside it")
    parser.add_argument("--no-results", action="store_true", help="print only")
    parser.add_argument("--quick", action="store_true", help="a small run that shows that everything works; not written down")
    parser.add_argument("--strict", action="store_true", help="status 1 when a goal is missed")
    args = parser.parse_args()
    whole = args.figures == "all"
    if args.quick:
        args.pairs, args.size = 1, 8
    # A part of the table does not take the place of the whole.
    args.no_results = args.no_results or ((args.quick or not whole) and args.results == parser.get_default("results"))
    known = {figure.name: [figure] for figures in groups.values() for figure in figures} | {name: list(figures) for name, figures in groups.items()}
    known["all"] = [figure for figures in groups.values() for figure in figures if not figure.named]
    names = [name for name in args.figures.split(",") if name]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        parser.error(f"--figures: {', '.join(unknown) or 'nothing'} is not one of {', '.join(known)}")
    chosen = {figure.name for name in names for figure in known[name]}
    args.chosen = [figure for figures in groups.values() for figure in figures if figure.name in chosen]
    if min(args.pairs, args.size, args.machines) < 1:
        parser.error("--pairs, --size and --machines must be at least 1")
    args.build = ROOT / args.build
    args.newer = args.build / "newer" if args.newer == parser.get_default("newer") else ROOT / args.newer
    if not os.access(args.folder, os.W_OK | os.X_OK):
        parser.error(f"--folder: {args.folder} is not a folder to write in")
    return args


def measure(args):
    """The rows, and what is to be noted of this run."""
    progress = Progress(len(args.chosen))
    context = Context(args, progress)
    rows, failed = [], True
    try:
        for figure in args.chosen:
            progress.name = figure.name
            context.say(figure.title)
            try:
                rows += figure.measure(context)
            except AssertionError as error:  # the kit's way to say that something did not work
                raise Failed(f"{figure.name}: {error}") from None
            except FileNotFoundError as error:
                raise Failed(f"{figure.name}: {error.filename} is not there: make bench builds it, or name the build folder with --build") from None
            except Failed as error:
                raise Failed(f"{figure.name}: {error}") from None
            progress.step()
        failed = False
        return rows, context.notes
    finally:
        progress.clear()
        complaints = context.close()
        if complaints and not failed:
            raise Failed("\n".join(complaints))


ENDED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupted(number, frame):
    # A second one (timeout(1) sends two) must not end the tidying up.
    for one in ENDED_BY:
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    args = parse(load())
    began, before = time.monotonic(), os.getloadavg()
    # Also in the background of a script, and when a time limit ends it.
    for number in ENDED_BY:
        signal.signal(number, interrupted)
    try:
        tcp = network.enter()
        rows, notes = measure(args)
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; nothing was written", file=sys.stderr)
        return 130
    lines = facts([[str(args.build / "multissh-hub"), "--version"], ["ssh", "-V"]])
    lines.append(f"load of the machine (1, 5, 15 minutes) before: {', '.join(f'{load:.1f}' for load in before)}")
    lines.append(tcp)
    lines.append(f"medians of {args.pairs} alternating pairs of {args.size} MiB, {time.monotonic() - began:.0f} s in all")
    body = "\n".join(f"* {line}" for line in lines + notes) + "\n\n" + table(HEAD, [row.cells() for row in rows])
    body += "\n\nratio: multiSSH's by OpenSSH's, or, where there is no OpenSSH, by the floor's, a raw TCP relay's."
    missed = [row.title for row in rows if row.met == "no"]
    print(body)
    print(f"\n{sum(row.met == 'yes' for row in rows)} goals met, {len(missed)} missed" + (f": {'; '.join(missed)}" if missed else "") + ".")
    if not args.no_results:
        picture = Path(args.results).with_name("results.svg")
        write_file(picture, plot(rows, ", ".join(lines[:2])))
        write_section(args.results, TITLE, f"![the figures]({picture.name})\n\n{body}")
        print(f"Written to {args.results} and {picture}.")
    return 1 if args.strict and missed else 0


if __name__ == "__main__":
    sys.exit(main())
