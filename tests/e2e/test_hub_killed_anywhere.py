"""The hub is killed at the n-th message between it and its fronts, for each n, in the midst of everything that they talk about; the
next one takes over, and nothing that stood is lost, nothing that was asked is left unanswered."""
import os
import random
import subprocess
import time

import pytest
from kit.bench import ROOT, sanitized
from kit.parts import ME, User
from kit.survive import Counter
from kit.wait import listening, wait_for

# What a client may say whose connection the dead hub had not given to a front yet.
NOT_TAKEN = ("Connection reset", "Connection refused", "kex_exchange_identification", "Connection closed by")


def mortal(bench):
    out = bench.path("mortal.so")
    subprocess.run([os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-std=c17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(out),
                    str(ROOT / "tests/e2e/helpers/mortal.c"), "-ldl"], check=True)
    return out


class Standing:
    """What stands the whole time: two sessions in which something runs, one on a machine that stock ssh publishes, and a connection that
    others share."""

    def __init__(self, bench, alice, hub, sshd, agent):
        self.bench, self.alice, self.hub, self.agent = bench, alice, hub, agent
        nas = User(bench, "nas").knows(hub)
        hub.add_user(nas, 'publish="nas"')
        self.publisher = nas.start_ssh("-N", "-o", "ExitOnForwardFailure=yes", "-R", f"nas:22:127.0.0.1:{sshd.port}", "hub")
        hub.wait_online("nas")
        self.counters = [Counter(bench, alice, ("-J", "hub", f"{ME}@{machine}")).started() for machine in ("web01", "nas")]
        self.path = f"{alice.folder}/shared"
        self.master = alice.popen("-M", "-N", "-S", self.path, "hub")
        wait_for(lambda: os.path.exists(self.path), 20, "the connection stands")

    def new_agent(self):
        """One whose hub dies again and again comes back later each time: a new one takes over at once."""
        old = self.agent.process
        self.agent.stop()
        self.agent.run()
        self.bench.replace(old, self.agent.process)

    def ask(self):
        """A command, and sessions on both machines, through the shared connection; one with a connection of its own. While a hub is
        there, or about to be."""
        through = f"ProxyCommand=ssh {self.alice.quoted_config()} -S {self.path} -W %h:%p hub"
        asked = {"command": self.alice.popen("-S", self.path, "hub", "whoami")}
        for machine in ("web01", "nas"):
            asked[machine] = self.alice.popen("-o", through, f"{ME}@{machine}", "echo there")
        asked["own"] = self.alice.popen("-J", "hub", f"{ME}@web01", "echo there")
        return asked

    def check(self, asked, n):
        for what, popen in asked.items():
            out, err = popen.communicate(timeout=180)
            out, err = out.decode(), err.decode(errors="replace")
            if what == "command":
                whole = popen.returncode == 0 and "alice" in out
                assert whole or (popen.returncode == 1 and "its output is not whole" in err), (n, what, popen.returncode, out, err)
            elif what == "own" and popen.returncode == 255 and any(words in err for words in NOT_TAKEN):
                pass
            else:
                assert (popen.returncode, out) == (0, "there\n"), (n, what, popen.returncode, out, err)
        assert self.master.poll() is None and self.publisher.running(), n
        for counter in self.counters:
            counter.moves()

    def settled(self, n):
        """The hub knows exactly what runs."""
        wait_for(lambda: self.sessions() == ["alice nas", "alice web01"], 30, lambda: (n, self.sessions(), self.hub.log()[-3000:]))
        assert self.hub.is_online("nas")

    def sessions(self):
        return sorted(" ".join(line.split()[1:3]) for line in self.hub.command("sessions").out.splitlines()[1:])


def round_of(standing, library, n, before):
    """Returns False when the hub has outlived everything: there is no n-th message."""
    hub, bench = standing.hub, standing.bench
    old = hub.process
    old.stop(number=9)
    standing.new_agent()
    env = {"LD_PRELOAD": str(library), "MORTAL_AT": str(n), **({"MORTAL_BEFORE": "1"} if before else {})}
    hub.process = bench.start("hub", *hub.argv(), env=env)
    bench.replace(old, hub.process)
    wait_for(lambda: not hub.process.running() or listening(hub.port, hub.process.pid), 20)
    asked = standing.ask()
    end = time.monotonic() + 20
    wait_for(lambda: not hub.process.running() or all(p.poll() is not None for p in asked.values()) or time.monotonic() > end, 60)
    outlived = hub.process.running()
    standing.new_agent()
    hub.restart(number=9)
    standing.check(asked, n)
    standing.settled(n)
    return not outlived


@pytest.mark.skipif(sanitized(), reason="the sanitizers want to be loaded first")
@pytest.mark.parametrize("before", [False, True], ids=["behind", "before"])
def test_killed_at_some_messages(bench, web01, alice, hub, sshd, before):
    """At a few: which, is chosen anew each time."""
    library, standing = mortal(bench), Standing(bench, alice, hub, sshd, web01)
    chosen = sorted(random.sample(range(1, 60), 6))
    print(f"killed at {chosen}")
    for n in chosen:
        if not round_of(standing, library, n, before):
            break
    for counter in standing.counters:
        counter.finish()


@pytest.mark.long
@pytest.mark.skipif(sanitized(), reason="the sanitizers want to be loaded first")
@pytest.mark.parametrize("before", [False, True], ids=["behind", "before"])
def test_killed_at_every_message(bench, web01, alice, hub, sshd, before):
    library, standing = mortal(bench), Standing(bench, alice, hub, sshd, web01)
    n = 1
    while round_of(standing, library, n, before):
        n += 1
    assert n > 30, "all those messages were counted"
    for counter in standing.counters:
        counter.finish()
