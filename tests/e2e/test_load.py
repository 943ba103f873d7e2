"""The load maker of the measurements: its machines are real ones, it counts what happens, and it says when something is wrong."""
import os
import re
import resource
import signal
import subprocess
import sys

import pytest
from kit import proc
from kit.bench import BUILD, ROOT, program, sanitized
from kit.load import Load
from kit.parts import Hub, Sshd, User
from kit.wait import free_port, wait_for

MANY = 200
LONG = 120  # seconds, for all machines on a slow computer with the sanitizers


def start(bench, target, *flags, agents=MANY):
    return Load(bench, target, agents, "--every", "500ms", *flags, patience=LONG)


def online(hub):
    return {name for name, row in hub.machines().items() if row["online"]}


def names(count, first=1):
    return {f"m{number:05}" for number in range(first, first + count)}


def test_its_machines_are_real(bench):
    """They come, are reached, come back after the hub was killed, and leave with a word; the hub and the load maker count the same."""
    hub = Hub(bench, "--log-level", "info")
    alice = hub.add_user(User(bench).knows(hub))
    sshd = Sshd(bench).allow(alice)
    load = start(bench, hub.invite("--uses", str(MANY)), "--rate", "100", "--ssh", sshd.at)
    there = load.wait("there")
    assert (there["online"], there["admissions"], there["losses"]) == (MANY, MANY, 0), there
    assert there["tries"] >= MANY and there["admitted_ms"]["n"] == MANY, there
    assert online(hub) == names(MANY)
    rows = hub.machines().values()
    # Each with a key, an address and the SSH server's host key of its own.
    assert len({row["holder"] for row in rows}) == MANY and len({row["source"] for row in rows}) == MANY
    assert alice.jump(f"m{MANY:05}", "echo reached").ok().out == "reached\n"

    mark = load.mark()
    assert (mark["online"], mark["admissions"], mark["tries"]) == (MANY, 0, 0), mark
    hub.restart(number=signal.SIGKILL)
    back = load.wait("there", after=load.wait("lost", after=mark))
    assert (back["online"], back["losses"], back["admissions"]) == (MANY, MANY, MANY), back
    assert back["tries"] >= MANY and back["first_try_ms"]["n"] == MANY, back
    assert back["first_try_ms"]["least"] <= back["admitted_ms"]["least"] <= back["admitted_ms"]["most"], back
    assert online(hub) == names(MANY)
    assert alice.jump("m00001", "echo again").ok().out == "again\n"

    processes = proc.children(load.pid)
    assert load.end() == 0, load.process.log()
    wait_for(lambda: not online(hub), 20, lambda: hub.log()[-2000:])
    assert len(re.findall(r"is offline: the agent ended: the load maker ends", hub.log())) == MANY
    assert not [pid for pid in processes if os.path.exists(f"/proc/{pid}")]
    assert load.events()[-1]["event"] == "end"


def test_the_same_machines_come_again(bench):
    """With a state folder they keep their keys, and need the invitation once."""
    hub = Hub(bench)
    state = bench.folder("load")
    target = hub.invite("--uses", "30")
    for _ in range(2):
        load = start(bench, target, "--state", state, "--until-there", "--processes", "3", agents=30)
        assert load.process.popen.wait(LONG) == 0, load.process.log()
        assert set(hub.machines()) == names(30)
    assert len(list(state.iterdir())) == 30


def test_it_fails_when_not_all_are_let_in(bench):
    hub = Hub(bench)
    load = start(bench, hub.invite("--uses", "20"), "--rate", "0", agents=30)
    last = load.wait_last(lambda event: event["online"] == 20 and event["waiting"] == 10)
    assert last["admissions"] == 20 and last["tries"] >= 30, last
    load.process.wait_log(r"an agent: warn: refused by the hub .*bad-token", LONG)
    assert load.end() == 1
    assert not load.events("there")
    assert len(hub.machines()) == 20


def test_it_fails_when_one_is_lost(bench):
    """It was complete once, and is not any more."""
    hub = Hub(bench)
    load = start(bench, hub.invite("--uses", "20"), agents=20)
    load.wait("there")
    hub.command("revoke", "m00007")
    last = load.wait_last(lambda event: event["online"] == 19 and event["losses"] >= 1)
    assert last["agents"] == 20
    assert load.end(signal.SIGINT) == 1


def test_its_processes_end_with_it(bench):
    """Also when it is killed: nobody goes on making load."""
    hub = Hub(bench)
    load = start(bench, hub.invite("--uses", "20"), "--processes", "2", "--state", bench.folder("load"), agents=20)
    load.wait("there")
    processes = proc.children(load.pid)
    assert len(processes) == 2
    load.end(signal.SIGKILL)
    wait_for(lambda: not [pid for pid in processes if "multissh-load" in proc.command_of(pid)], LONG)
    wait_for(lambda: not online(hub), LONG)


def test_one_of_its_processes_dies(bench):
    hub = Hub(bench)
    load = start(bench, hub.invite("--uses", "20"), "--processes", "2", agents=20)
    load.wait("there")
    os.kill(proc.children(load.pid)[0], signal.SIGKILL)
    assert load.process.popen.wait(LONG) == 1
    assert "was ended by signal 9" in load.process.log()
    wait_for(lambda: not online(hub), LONG)


@pytest.mark.parametrize("flags, target, status, words", [
    ([], None, 2, r"say where the hub is.*127\.0\.0\.1:PORT/CODE"),
    ([], "192.0.2.1:2244", 2, r"'192\.0\.2\.1' is no address of this host's loopback"),
    ([], "hub.example:2244", 2, r"'hub\.example' is no address of this host's loopback"),
    ([], "127.0.0.1:2244/short", 2, r"CODE behind the '/' has 5 characters"),
    (["--agents", "0"], "127.0.0.1:2244", 2, r"agents: 0 is out of range"),
    (["--agents", "1000000"], "127.0.0.1:2244", 2, r"agents: 1000000 is out of range"),
    (["--for", "0s"], "127.0.0.1:2244", 2, r"for: 0s is out of range"),
    (["--names", "-"], "127.0.0.1:2244", 2, r"names: '-' cannot begin a machine's name"),
    (["--agents", "1000", "--processes", "2"], "127.0.0.1:2244", 1, r"1000 agents in 2 processes .*limit of open files .*ulimit -n.*--processes"),
    (["--agents", "30000"], "127.0.0.1:2244", 1, r"30000 agents in 300 processes .*ulimit -n"),
    (["--users", "2"], "127.0.0.1:2244", 2, r"ssh-config: not given: users need a file"),
    (["--users", "2", "--ssh-config", "/nowhere"], "127.0.0.1:2244", 2, r"ssh-config: No such file"),
    (["--users", "100", "--ssh-config", "/dev/null"], "127.0.0.1:2244", 1, r"100 users need 300 descriptors, .*limit of open files is 200.*ulimit -n"),
    (["--state", "/proc/nowhere"], "127.0.0.1:2244", 1, r"cannot make the folder /proc/nowhere"),
])
def test_bad_input(bench, flags, target, status, words):
    """Each has its reason and the next step; 200 descriptors are what it gets."""
    argv = [program("multissh-load"), *flags, *([target] if target else [])]
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=LONG, check=False, env=bench.env(),
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)))
    assert (done.returncode, done.stdout) == (status, "") and re.search(words, done.stderr), done


def test_help_and_version(bench):
    said = bench.run(program("multissh-load"), "--help", timeout=LONG).ok().out
    assert "SIGUSR1" in said and "--agents N" in said
    assert bench.run(program("multissh-load"), "--version", timeout=LONG).ok().out.startswith("multissh-load ")


def test_no_hub_is_there(bench):
    """It tries as an agent does, for as long as it may, and says that nobody came in."""
    load = start(bench, f"127.0.0.1:{free_port()}", "--for", "3s", agents=10)
    assert load.process.popen.wait(LONG) == 1
    end = load.events("end")[-1]
    assert (end["online"], end["admissions"]) == (0, 0) and end["tries"] >= 10, end



def clients(load):
    """The users' ssh processes."""
    return [pid for parent in proc.children(load.pid) for pid in proc.children(parent) if proc.command_of(pid).startswith("ssh ")]


def test_its_users_are_real(bench):
    """Each has a session on a machine; one that is cut off is counted, and comes again; no ssh stays behind."""
    hub = Hub(bench)
    alice = hub.add_user(User(bench).knows(hub))
    load = start(bench, hub.invite("--uses", "4"), "--ssh", Sshd(bench).at, "--users", "6", "--ssh-config", alice.config, agents=4)
    last = load.wait("users")
    assert (last["users_connected"], last["users_ended"], last["user_first_byte_ms"]["n"]) == (6, 0, 6), last
    sessions = hub.command("sessions").out
    assert [sessions.count(name) for name in sorted(names(4))] == [2, 2, 1, 1], sessions
    running = clients(load)
    assert len(running) == 6
    os.kill(running[0], signal.SIGKILL)
    again = load.wait_last(lambda event: event["users_ended"] == 1 and event["users_connected"] == 6)
    assert again["online"] == 4
    running = clients(load)
    assert load.end() == 0, load.process.log()
    assert not [pid for pid in running if proc.command_of(pid).startswith("ssh ")]


def test_it_fails_when_a_user_does_not_get_through(bench):
    """The machines are there, and nobody may go to them."""
    hub = Hub(bench)
    alice = hub.add_user(User(bench).knows(hub), options='machines="other"')
    load = start(bench, hub.invite("--uses", "2"), "--ssh", Sshd(bench).at, "--users", "2", "--ssh-config", alice.config, agents=2)
    load.wait_last(lambda event: event["online"] == 2 and event.get("users_ended", 0) >= 2)
    assert load.end() == 1
    assert not load.events("users")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="the memory of others is read by root alone")
@pytest.mark.skipif(sanitized(), reason="a sanitizer's memory is nobody's")
def test_the_figures_of_many_machines(bench):
    """`make bench` in small: the rows are there, the numbers are numbers, and everybody came back."""
    folder = bench.folder("data")
    for path in (folder, bench.root):
        path.chmod(0o711)
    said = bench.run(sys.executable, ROOT / "bench" / "run.py", "--build", BUILD, "--quick", "--figures", "fleet", "--folder", folder, "--no-results",
                     timeout=400).ok().out
    rows = {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in said.splitlines() if line.startswith("| "))}
    assert list(rows)[1:] == [
        "hub memory (PSS) per idle machine, 100 of them", "hub CPU with 100 idle machines, of a core", "hub CPU per jump with 100 idle machines",
        "hub CPU per GiB with 100 idle machines", "ssh hub list with 100 machines, more than with 10",
        "100 machines are back after kill -9, from the hub's start", "the last one's first try", "connections dropped by a full accept queue"], said
    theirs, ours = rows["hub memory (PSS) per idle machine, 100 of them"][:2]
    assert 0 < float(ours.split()[0]) < float(theirs.split()[0]), said
    assert re.fullmatch(r"\d+(\.\d+)? s", rows["100 machines are back after kill -9, from the hub's start"][1]), said
    assert list(folder.iterdir()) == []
