"""multissh-load: many machines on one hub, and what it says of them."""
import json
import os
import signal

from .bench import program
from .wait import wait_for


class Load:
    """The load maker while it runs. Its events are JSON objects among the lines of its log."""

    def __init__(self, bench, target, agents, *flags, patience=120):
        self.bench, self.agents, self.patience = bench, agents, patience
        self.process = bench.start("load", program("multissh-load"), "--agents", agents, "--json", "--for", "30m", *flags, target)
        self._read, self._events = 0, []

    @property
    def pid(self):
        return self.process.pid

    def events(self, *names):
        """All so far, or those of these names."""
        text = self.process.log(self._read)
        whole = text[:text.rfind("\n") + 1]
        self._read += len(whole.encode())
        self._events += [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [event for event in self._events if event["event"] in names] if names else self._events

    def wait(self, name, after=None):
        """The first event of this name, or the first behind that one."""
        def look():
            ended = not self.process.running()
            events = self.events()
            found = [event for event in events[events.index(after) + 1 if after else 0:] if event["event"] == name]
            assert found or not ended, f"the load maker ended before '{name}':\n{self.process.log()[-4000:]}"
            return found[0] if found else None
        return wait_for(look, self.patience, lambda: f"'{name}' of the load maker; it is at {self.events()[-1:]}\n{self.process.log()[-2000:]}")

    def wait_last(self, condition):
        """The last event, as soon as it is like this."""
        return wait_for(lambda: self.events()[-1] if self.events() and condition(self.events()[-1]) else None, self.patience,
                        lambda: f"{self.events()[-1:]}\n{self.process.log()[-2000:]}")

    def mark(self):
        """Has the counting begin anew."""
        before = self.events()[-1]
        os.kill(self.pid, signal.SIGUSR1)
        return self.wait("mark", after=before)

    def end(self, number=signal.SIGTERM):
        """Returns its exit status."""
        return self.process.stop(self.patience, number)
