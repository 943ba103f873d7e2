"""The agent as a Windows service: installed, started, stopped and removed, with users coming in meanwhile."""
import re

import pytest
from conftest import PROBE, person, setup
from kit.wait import wait_for


bench, hub, alice, _ = setup()
REG = "C:\\windows\\system32\\reg.exe"
SC = "C:\\windows\\system32\\sc.exe"


class Service:
    def __init__(self, bench, prefix, state=None):
        self.bench, self.prefix, self.state = bench, prefix, state
        self.name = f"service-{bench.number()}"  # each state folder has a host key of its own

    def __call__(self, *words, **options):
        state = ["--state", self.prefix.windows(self.state)] if self.state and words[0] == "install" else []
        return self.prefix.run(self.bench, "multissh-agent", *state, "service", *words, **options)

    def pids(self):
        return self.prefix.find("multissh-agent")

    def end(self):
        done = self("remove")
        assert done.status == 0 or "not installed" in done.err, done
        self.prefix.wait_gone([*self.pids(), *self.prefix.find("multissh-sshd")])


@pytest.fixture
def service(bench, prefix):
    made = Service(bench, prefix)
    bench.closers.append(made.end)
    return made


def test_from_install_to_remove(service, bench, hub, alice, prefix):
    """Each twice: what is so already is no fault."""
    prefix.authorize(alice)
    assert service("status").failed(4).says("not installed")
    done = service("install", hub.invite(service.name), "--name", service.name, "--ssh", "127.0.0.1:1").ok()
    assert "multissh-agent" in done.out and done.err == "", done
    hub.wait_online(service.name, 30)
    state = prefix.c / "ProgramData" / "multissh-agent"
    assert (state / "agent.conf").exists() and (state / "agent.key").exists(), "its state is the machine's"
    assert re.search("running|runs", service("status").ok().out)

    config = prefix.run(bench, REG, "query", "HKLM\\SYSTEM\\CurrentControlSet\\Services\\multissh-agent").ok().out
    assert re.search(r"Start\s+REG_DWORD\s+0x2\b", config), config
    assert re.search(r'ImagePath\s+REG_\w+\s+"C:\\Program Files\\multiSSH\\multissh-agent\.exe" --state "?C:\\ProgramData\\multissh-agent"? service run', config), config
    assert service("install").ok()
    hub.wait_online(service.name)

    wait_for(lambda: hub.machines()[service.name].get("ssh_state") == "ok", 20)
    assert alice.jump(service.name, "echo hello").ok().out == "hello\r\n"
    assert alice.jump(service.name, f"{PROBE} cat", input=b"through the service\n" * 5000).ok().raw == b"through the service\n" * 5000
    shell = person(alice, service.name)
    shell.sees(r"^C:\\[^>]*>$")
    shell.types("exit 3")
    assert shell.leaves() == 3

    assert service("start").ok().says("already|running|runs")
    hub.wait_online(service.name)
    service("stop").ok()
    hub.wait_offline(service.name)
    assert service.pids() == [] and prefix.find("multissh-sshd") == []
    service("stop").ok().says("not running|stopped|already")
    assert re.search("stopped", service("status").failed(3).out)
    service("start").ok()
    hub.wait_online(service.name, 30)

    session = alice.jump_popen(service.name, f"{PROBE} tree 1")
    assert session.stdout.readline() == b"ready\n"
    service("remove").ok()
    hub.wait_offline(service.name)
    assert session.wait(20) == 255
    prefix.wait_gone([*service.pids(), *prefix.find("multissh-sshd"), *prefix.find("probe")])
    service("remove").says("not installed")
    service("status").failed(4)
    assert (state / "agent.key").exists(), "who it is, and its hub, are kept"


def test_a_state_folder_of_its_own_and_a_restart(service, bench, hub, alice, prefix):
    service.state = prefix.folder("a state with blanks")
    prefix.authorize(alice)
    service("install", hub.invite(service.name), "--name", service.name, "--ssh", "127.0.0.1:1").ok()
    hub.wait_online(service.name, 30)
    assert (service.state / "agent.key").exists()
    before = service.pids()
    service("restart").ok()
    wait_for(lambda: service.pids() and not set(before) & set(service.pids()), 20)
    hub.wait_online(service.name, 30)

    wait_for(lambda: hub.machines()[service.name].get("ssh") == "built-in", 20)

    conf = service.state / "agent.conf"
    conf.write_text(conf.read_text() + "ssh-mode = openssh\n")
    service("reload").ok()
    wait_for(lambda: hub.machines()[service.name].get("ssh") == "none", 20, lambda: hub.machines()[service.name])
    conf.write_text(conf.read_text() + "nonsense = 1\n")
    pids = service.pids()
    service("reload")
    assert service.pids() == pids and hub.is_online(service.name), "wrong settings change nothing"


def test_restarted_through_itself(service, bench, hub, alice, prefix):
    """By somebody who came in through it."""
    service.state = prefix.folder("service")
    prefix.authorize(alice)
    service("install", hub.invite(service.name), "--name", service.name, "--ssh", "127.0.0.1:1").ok()
    hub.wait_online(service.name, 30)
    wait_for(lambda: hub.machines()[service.name].get("ssh_state") == "ok", 20)
    before = service.pids()
    done = alice.jump(service.name, '"C:\\Program Files\\multiSSH\\multissh-agent.exe" service restart')
    wait_for(lambda: service.pids() and not set(before) & set(service.pids()), 60, lambda: f"{before}, then {prefix.programs()}; {done}")
    hub.wait_online(service.name, 60)
    assert alice.jump(service.name, "echo back").ok().out == "back\r\n"


@pytest.mark.parametrize("words,status,says", [
    (["start"], 1, "not installed"), (["stop"], 1, "not installed"), (["restart"], 1, "not installed"), (["reload"], 1, "not installed"),
    (["install"], None, "join|hub"), (["install", "127.0.0.1:1/notacode"], 2, "code|invitation"), (["install", "--no-such"], 2, "no-such"),
    (["remove", "more"], 2, "more"), (["status", "--name", "x"], 2, "settings|name"), (["run"], None, "service|Service"),
])
def test_bad_cases(bench, prefix, service, words, status, says):
    service.state = prefix.folder("bad")
    done = service(*words, timeout=40).failed(status)
    assert re.search(says, done.err) and done.err.startswith("multissh-agent: "), done
    assert prefix.run(bench, SC, "query", "multissh-agent").status != 0, "nothing was installed"


def test_a_hub_that_is_away(service, bench, hub, prefix):
    """It starts all the same, and joins when the hub is there."""
    service.state = prefix.folder("service")
    code = hub.invite(service.name)
    hub.process.stop()
    service("install", code, "--name", service.name, "--ssh", "127.0.0.1:1").ok()
    service("status").ok()
    hub.start()
    hub.wait_online(service.name, 60)


def test_settings_that_are_wrong_stop_it_with_words(service, bench, hub, prefix):
    service.state = prefix.folder("service")
    service("install", hub.invite(service.name), "--name", service.name, "--ssh", "127.0.0.1:1").ok()
    hub.wait_online(service.name, 30)
    service("stop").ok()
    conf = service.state / "agent.conf"
    conf.write_text(conf.read_text() + "nonsense = 1\n")
    assert service("start", timeout=90).failed().says("nonsense|agent.conf")
    service("status").failed(3)
