"""What every figure is made of: its description, and the context that it is measured in."""
import dataclasses
import os
import sys
import tempfile
import typing
from pathlib import Path

from report import ROOT

sys.path.insert(0, str(ROOT / "tests" / "e2e"))


class Failed(Exception):
    """Something that ends the measurement, in words for whoever started it."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One or more rows of the table. name: for --figures; measure(context) returns a list of report.Row; named: not measured unless it is named."""
    name: str
    title: str
    goal: str
    measure: typing.Callable
    named: bool = False


class Context:
    """One run: what was asked for, a folder of its own, the processes in it, and what is shared by figures."""

    def __init__(self, args, progress):
        # The kit reads where the programs are when it is loaded.
        os.environ["MULTISSH_BUILD"] = str(args.build)
        from kit import proc  # pylint: disable=import-outside-toplevel
        from kit.bench import Bench  # pylint: disable=import-outside-toplevel
        proc.become_subreaper()
        self.args, self.progress = args, progress
        self.quick, self.pairs, self.size = args.quick, args.pairs, args.size << 20
        self.build, self.newer = Path(args.build), Path(args.newer)
        # Short, because of the sockets in it; others than the owner pass through, because the bastion's users do.
        self.bench = Bench(tempfile.mkdtemp(prefix="ms-bench-", dir=args.folder))
        self.folder = self.bench.root
        self.folder.chmod(0o711)
        self.notes = []
        self._made = {}

    def has_newer(self):
        """Whether there is a hub that was built with a newer libssh. If not, the rows that need it are left out, and the notes say so."""
        if (self.newer / "multissh-hub").exists():
            return True
        self.note(f"{self.newer} has no hub with a newer libssh: what needs it is left out (make bench builds one where Debian's archive is in reach)")
        return False

    def close(self):
        """Ends and removes everything; returns what was wrong with how the processes ran."""
        complaints = self.bench.close()
        if os.environ.get("MULTISSH_KEEP"):
            print(f"kept: {self.folder}", file=sys.stderr)
        else:
            self.bench.remove()
        return complaints

    def say(self, text):
        """What is being done, for whoever waits."""
        self.progress.say(text)

    def note(self, text):
        """A line below the table's head: what a reader has to know of this run."""
        if text not in self.notes:
            self.notes.append(text)

    def once(self, key, make):
        """What make() returned the first time: measurements and sides that several figures share."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def alternate(self, cases, pairs=None):
        """Calls each of these (name -> callable) so many times, in an order that turns round every time, A B B A; name -> results."""
        results = {name: [] for name in cases}
        for number in range(pairs or self.pairs):
            for name in list(cases) if number % 2 == 0 else reversed(list(cases)):
                self.say(f"{name}, {number + 1} of {pairs or self.pairs}")
                results[name].append(cases[name]())
        return results

    def need_room(self, wanted):
        space = os.statvfs(self.folder)
        free = space.f_bavail * space.f_frsize
        if free < wanted:
            raise Failed(f"{self.args.folder} has {free >> 20} MiB free and {wanted >> 20} MiB are needed: free some, or choose --folder or a smaller --size")
