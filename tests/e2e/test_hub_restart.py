"""The hub ends and another one takes over: users stay connected, their sessions go on and are the next hub's, and what is asked for in
between waits for it."""
import hashlib
import os
import re
import signal
import socket
import subprocess
import threading

import paramiko
import pytest
from kit import proc, survive
from kit.parts import ME, SLOW, Hub, User, keygen
from kit.survive import Counter
from kit.wait import free_port, wait_for

ENDS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["terminated", "killed"])
JUMP = ("-J", "hub", f"{ME}@web01")


def fronts_of(hub):
    """The fronts of this hub's state folder, whoever is their parent by now."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            command = proc.command_of(int(entry))
            if "multissh-front --serving" in command and str(hub.state) in command:
                found.append(int(entry))
    return found


def took_up(hub, connections, sessions):
    match = hub.wait_log(r"took up (\d+) users' connections with (\d+) sessions(.*)")
    assert (int(match.group(1)), int(match.group(2))) == (connections, sessions), match.group(0)
    return match.group(3)


def sessions(hub):
    """ID, state by user and machine"""
    lines = hub.command("sessions").out.splitlines()[1:]
    return [(line.split()[0], line.split()[1], line.split()[2], line) for line in lines]


class Upload:
    """Bytes into a session, the middle of which can be waited for."""

    def __init__(self, user, size=50 << 20):
        self.session = user.popen(*JUMP, "sha256sum")
        self.sum, self.done, self.size, self.go = hashlib.sha256(), 0, size, threading.Event()
        self.thread = threading.Thread(target=self._write, daemon=True)
        self.thread.start()

    def _write(self):
        while self.done < self.size:
            if self.done >= self.size // 2:
                self.go.wait(60)  # the hub ends here, with all buffers on the way full of this
            piece = os.urandom(1 << 18)
            self.session.stdin.write(piece)
            self.sum.update(piece)
            self.done += len(piece)
        self.session.stdin.close()

    def middle(self):
        wait_for(lambda: self.done >= self.size // 2 or self.session.poll() is not None, 60, "half is written")
        assert self.session.poll() is None, self.session.stderr.read()

    def finish(self):
        self.go.set()
        self.thread.join(120)
        said = self.session.stdout.read().decode()
        assert self.session.wait(60) == 0, self.session.stderr.read()
        assert said.split()[0] == self.sum.hexdigest()


@ENDS
def test_sessions_go_on_and_are_the_next_hubs(bench, web01, alice, hub, number):
    counter, upload = Counter(bench, alice, JUMP).started(), Upload(alice)
    upload.middle()
    before = sorted(fronts_of(hub))
    hub.process.stop(number=number)
    counter.moves()
    hub.start()
    upload.finish()
    assert took_up(hub, 2, 2) in ("", "\n")
    hub.wait_online("web01")
    counter.moves()
    assert [(user, machine) for _, user, machine, _ in sessions(hub)] == [("alice", "web01")]
    assert re.search(r"resume .*user=alice machine=web01", hub.command("log").out)
    assert set(fronts_of(hub)) < set(before), "the same processes"
    counter.finish()
    wait_for(lambda: not sessions(hub), 10, "the end is heard of")
    wait_for(lambda: not fronts_of(hub) and not os.listdir(hub.state / "fronts"), 10, "and nothing is left")


def test_three_hubs(bench, web01, alice, hub):
    """What was taken up is taken up again."""
    counter = Counter(bench, alice, JUMP).started()
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        hub.restart(number=number)
        took_up(hub, 1, 1)
    counter.moves()
    counter.finish()


def shared(user, bench):
    """A connection to the hub that others use, and nothing in it yet. Returns the words that use it."""
    control = f"{user.folder}/m%n"
    master = user.popen("-M", "-N", "-S", control, "hub")
    wait_for(lambda: (user.folder / "mhub").exists() or master.poll() is not None, 20, "the connection stands")
    return master, ("-S", control)


@ENDS
def test_an_idle_connection_stays_usable(bench, web01, alice, hub, number):
    master, through = shared(alice, bench)
    fronts = fronts_of(hub)
    hub.restart(number=number)
    took_up(hub, 1, 0)
    hub.wait_online("web01")
    assert alice.ssh(*through, "hub", "list").ok().out == "web01\n"
    assert alice.ssh("-o", f"ProxyCommand=ssh {alice.quoted_config()} -S {through[1].replace('%n', 'hub')} -W %h:%p hub", f"{ME}@web01",
                     "echo there").ok().out == "there\n"
    assert fronts_of(hub) == fronts and master.poll() is None


@ENDS
def test_what_is_asked_in_between_waits(bench, web01, alice, hub, number):
    """A command, a session and another one that the machine had not answered yet, all by a connection that stands."""
    _, through = shared(alice, bench)
    hub.process.stop(number=number)
    started = []

    def ask(*words):
        started.append(alice.popen(*words))
    ask(*through, "hub", "whoami")
    ask("-o", f"ProxyCommand=ssh {alice.quoted_config()} -S {through[1].replace('%n', 'hub')} -W %h:%p hub", f"{ME}@web01", "echo there")
    for process in started:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
    hub.start()
    said = [process.stdout.read() for process in started]
    assert b"alice" in said[0] and said[1] == b"there\n", started[1].stderr.read()


class Held:
    """The hub's listening socket, held by the test as systemd holds it; the hub is started with it."""

    def __init__(self, bench, count=1):
        self.bench = bench
        self.sockets = [socket.create_server(("127.0.0.1", free_port()), backlog=64) for _ in range(count)]
        bench.closers += [s.close for s in self.sockets]
        self.port = self.sockets[0].getsockname()[1]

    def hub(self, *flags, **more):
        held = self

        class Activated(Hub):
            def start(self):
                old = self.process
                self.process = self.bench.start("hub", *self.argv(), passed=held.sockets)
                if old is not None:
                    self.bench.replace(old, self.process)
                else:
                    self.bench.closers.append(self.end)
                self.process.wait_log("users, .* machines", 15)
                return self
        # The option is not used: nobody could listen there.
        return Activated(self.bench, "--listen", "203.0.113.1:1", *flags, port=self.port, **more)


@pytest.fixture
def held(bench):
    return Held(bench, 2)


@pytest.fixture
def held_hub(bench, held):
    return held.hub()


@ENDS
def test_nobody_is_turned_away_while_systemd_holds_the_socket(bench, held, held_hub, number):
    """ssh -J and ssh hub list begun while no hub runs at all, and an agent that comes back."""
    from kit.parts import Agent, Sshd

    hub = held_hub
    alice = User(bench, "alice").knows(hub)
    hub.add_user(alice)
    sshd = Sshd(bench).allow(alice)
    Agent(bench, hub, "web01", ssh=sshd)
    # The second socket is the hub's too.
    other = User(bench, "alice", key=alice.key).knows(hub)
    other.config.write_text(other.config.read_text().replace(f"Port {hub.port}", f"Port {held.sockets[1].getsockname()[1]}"))
    assert other.hub_says("list").ok().out == "web01\n"
    hub.process.stop(number=number)
    asked = [alice.popen(*JUMP, "echo there"), alice.popen("hub", "whoami"), other.popen("hub", "whoami")]
    for process in asked:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
    hub.start()
    said = [process.communicate(timeout=60)[0] for process in asked]
    assert said[0] == b"there\n" and b"alice" in said[1] and b"alice" in said[2]


def test_what_is_passed_must_be_a_listening_socket(bench, hub):
    with socket.socket() as one:
        process = bench.start("hub-odd", *hub.argv()[:1], "--state", bench.folder("odd"), passed=[one])
        assert process.popen.wait(10) == 1
    assert "LISTEN_FDS: descriptor 3 is not a listening TCP socket" in process.log()


def test_systemd_is_told(bench):
    path = bench.path("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(path))
        notified.settimeout(15)
        other = Hub(bench, start=False)
        process = bench.start("hub-notify", *other.argv(), env={"NOTIFY_SOCKET": str(path)})
        assert notified.recv(200) == b"READY=1"
        process.send(signal.SIGHUP)
        assert re.match(rb"RELOADING=1\nMONOTONIC_USEC=\d+$", notified.recv(200))
        assert notified.recv(200) == b"READY=1"
        process.stop()
        assert notified.recv(200) == b"STOPPING=1"


def test_a_login_in_between_waits(alice, hub):
    """Somebody whom the hub has let in, but who has not said who it is."""
    sock = socket.create_connection((hub.address, hub.port))
    assert sock.recv(100, socket.MSG_PEEK).startswith(b"SSH-2.0-multiSSH")
    hub.process.stop(number=signal.SIGTERM)
    transport = paramiko.Transport(sock)
    transport.start_client(timeout=20)
    key = paramiko.Ed25519Key.from_private_key_file(str(alice.key))
    waiting = threading.Thread(target=transport.auth_publickey, args=("alice", key), daemon=True)
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive() and not transport.is_authenticated()
    hub.start()
    waiting.join(20)
    assert transport.is_authenticated()
    channel = transport.open_session()
    channel.exec_command("whoami")
    assert b"alice" in channel.makefile().read()
    transport.close()


def taken(sock):
    """Has the other end been accepted? Only then it has an inode."""
    ends = f"{sock.getpeername()[1]:04X}", f"{sock.getsockname()[1]:04X}"
    with open("/proc/net/tcp", encoding="ascii") as lines:
        for line in lines:
            fields = line.split()
            if (fields[1][-4:], fields[2][-4:]) == ends:
                return fields[9] != "0"
    return False


def test_one_that_the_hub_had_only_just_taken(alice, hub):
    """Nothing was said yet, and the hub ends: a front has it all the same."""
    sock = socket.create_connection((hub.address, hub.port))
    wait_for(lambda: taken(sock), 5, "the hub has taken it")
    hub.process.stop()
    assert sock.recv(100, socket.MSG_PEEK).startswith(b"SSH-2.0-multiSSH")
    hub.start()
    took_up(hub, 1, 0)
    transport = paramiko.Transport(sock)
    transport.start_client(timeout=20)
    transport.auth_publickey("alice", paramiko.Ed25519Key.from_private_key_file(str(alice.key)))
    transport.close()


def test_the_folder_of_the_sockets_is_taken_away(bench, web01, alice, hub):
    """Who comes afterwards is not turned away, and is taken up."""
    os.rmdir(hub.state / "fronts")
    counter = Counter(bench, alice, JUMP).started()
    hub.restart(number=signal.SIGKILL)
    took_up(hub, 1, 1)
    counter.finish()


# --- what holds over a restart ---

def ended(process, pattern):
    process.wait(30 * SLOW)  # its input stays open: it does not end by itself
    _, err = process.communicate()
    assert process.returncode == 255 and re.search(pattern, err.decode(errors="replace"), re.I), err


def session(alice):
    process = alice.popen(*JUMP, "echo up; cat")
    assert process.stdout.readline() == b"up\n"
    return process


def test_kill_and_revoke_after_the_restart(web01, alice, hub):
    first, second = session(alice), session(alice)
    hub.restart(number=signal.SIGTERM)
    took_up(hub, 2, 2)
    hub.wait_online("web01")
    rows = sessions(hub)
    assert len(rows) == 2
    hub.command("kill", rows[0][0])
    wait_for(lambda: first.poll() is not None or second.poll() is not None, 20, "one has ended")
    one, other = (first, second) if first.poll() is not None else (second, first)
    ended(one, "killed by the hub's admin")
    assert [row[0] for row in sessions(hub)] == [rows[1][0]]
    hub.command("revoke", "web01")
    ended(other, "revoked")
    assert not sessions(hub)


def test_revoked_while_its_front_was_away(bench, web01, alice, hub):
    """The next hub does not hear of the session before the machine is revoked: it holds all the same, also for the hub after it."""
    process = session(alice)
    front, = fronts_of(hub)
    os.kill(front, signal.SIGSTOP)
    bench.closers.append(lambda: os.path.exists(f"/proc/{front}") and os.kill(front, signal.SIGCONT))
    hub.restart(number=signal.SIGKILL)
    hub.wait_log("1 more have not answered yet")
    assert not sessions(hub)
    hub.command("revoke", "web01")
    hub.invite("web01")  # the name may be somebody else's soon
    os.kill(front, signal.SIGCONT)
    ended(process, "revoked")


def test_a_user_who_went_while_no_hub_ran(bench, web01, alice, hub):
    process = session(alice)
    bob = hub.add_user(User(bench, "bob").knows(hub))
    web01.sshd.allow(bob)
    stays = bob.popen(*JUMP, "echo up; cat")
    assert stays.stdout.readline() == b"up\n"
    hub.process.stop()
    hub.lines = [line for line in hub.lines if not line.startswith("alice ")]
    (hub.state / "authorized_users").write_text("\n".join(hub.lines) + "\n")
    hub.start()
    assert "did not hold" in took_up(hub, 1, 1)
    ended(process, "no longer accepted|closed")
    assert [(user, machine) for _, user, machine, _ in sessions(hub)] == [("bob", "web01")]
    assert stays.poll() is None


def test_a_right_that_went_while_no_hub_ran(bench, web01, alice, hub):
    process = session(alice)
    hub.process.stop(number=signal.SIGKILL)
    hub.lines = [line.replace('machines="*"', 'machines="db-*"') for line in hub.lines]
    (hub.state / "authorized_users").write_text("\n".join(hub.lines) + "\n")
    hub.start()
    assert "you may no longer use this machine" in took_up(hub, 1, 0)
    ended(process, "may no longer use")


def test_limits_count_what_was_taken_up(bench, web01, alice, hub):
    hub.restart("--sessions-per-user", "2")
    hub.wait_online("web01")
    kept = [session(alice), session(alice)]
    hub.restart(number=signal.SIGKILL)
    took_up(hub, 2, 2)
    hub.wait_online("web01")
    alice.jump("web01", "true").failed(255).says("sessions-per-user")
    kept[0].stdin.close()
    kept[0].wait(20)
    wait_for(lambda: alice.jump("web01", "echo there").out == "there\n", 20, "one may begin again")


def test_a_published_machine_comes_back(bench, alice, hub, sshd):
    nas = User(bench, "nas").knows(hub)
    hub.add_user(nas, 'publish="nas"')
    sshd.allow(alice)
    publisher = nas.start_ssh("-N", "-o", "ExitOnForwardFailure=yes", "-R", f"nas:22:127.0.0.1:{sshd.port}", "hub")
    hub.wait_online("nas")
    counter = Counter(bench, alice, ("-J", "hub", f"{ME}@nas")).started()
    hub.restart(number=signal.SIGKILL)
    took_up(hub, 2, 1)
    assert hub.is_online("nas"), "it needs nobody to come back"
    assert alice.jump("nas", "echo there").ok().out == "there\n"
    counter.moves()
    counter.finish()
    publisher.stop()
    hub.wait_offline("nas")


def test_stop_all_leaves_nothing(bench, web01, alice, hub):
    kept = [session(alice), session(alice)]
    shared(alice, bench)
    hub.restart(number=signal.SIGTERM)
    took_up(hub, 3, 2)
    kept.append(session(alice))
    fronts = fronts_of(hub)
    assert len(fronts) == 4
    stopped, = [pid for pid in fronts if pid == fronts[0]]
    os.kill(stopped, signal.SIGSTOP)  # this one will not end because it is asked to
    hub.command("stop", "--all", timeout=30)
    hub.process.popen.wait(20)
    wait_for(lambda: not fronts_of(hub), 5, "no front is left")
    for process in kept:
        process.wait(20)


# --- machines ---

def test_a_machine_that_is_away_for_a_moment_is_waited_for(bench, web01, alice, hub):
    hub.process.stop(number=signal.SIGKILL)
    web01.process.send(signal.SIGSTOP)
    bench.closers.append(lambda: web01.process.send(signal.SIGCONT))
    hub.start()
    asked = alice.popen(*JUMP, "echo there")
    with pytest.raises(subprocess.TimeoutExpired):
        asked.wait(1.5)
    assert "opening" in hub.command("sessions").out
    web01.process.send(signal.SIGCONT)
    assert asked.communicate(timeout=60)[0] == b"there\n"


def test_it_is_not_waited_for_longer_than_that(web01, alice, hub):
    hub.restart("--restart-wait", "2s")
    hub.wait_online("web01")
    web01.process.kill()
    hub.wait_offline("web01")
    done = alice.jump("web01", "true").failed(255)
    done.says("web01 is offline, last seen")
    # A stranger is told at once, and the same as ever.
    hub.write_users(f'alice machines="db-*" {alice.public} alice@test\n')
    done = alice.jump("web01", "true").failed(255)
    done.says("no machine .web01. that you may use")


@pytest.mark.parametrize("end", ["hub_killed", "hub_stopped"])
def test_a_broken_connection_is_resumed_by_the_next_hub(bench, net, end):
    world = survive.World(bench, net)
    counter = world.counter().started()
    getattr(survive, end)(world, 0)
    world.hub.wait_log("took up 1 users' connections with 1 sessions")
    world.hub.wait_online("web01", 30)
    counter.moves()
    survive.abort_here(world, 0)
    counter.moves(30)
    survive.abort_there(world, 0)
    counter.moves(30)
    counter.finish()


# --- sessions that wait for a lost connection ---

def lose(world):
    """The machine's programs stand still and their connections are gone. Returns what lets them go on."""
    pids = world.at_machine.programs()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    again = [lambda pid=pid: os.path.exists(f"/proc/{pid}") and os.kill(pid, signal.SIGCONT) for pid in pids]
    world.bench.closers += again
    survive.abort_there(world, 0)
    return lambda: [go() for go in again]


def test_what_waits_is_shown_also_by_the_next_hub(bench, net):
    world = survive.World(bench, net)
    counter = world.counter().started()
    go_on = lose(world)
    wait_for(lambda: re.search(r"alice +web01 .* waiting \d+ (ms|s)", world.hub.command("sessions").out), 20, "it is shown to wait")
    world.hub.restart(number=signal.SIGKILL)
    wait_for(lambda: re.search(r"alice +web01 .* waiting [1-9]\d* s", world.hub.command("sessions").out), 20, "since when it was lost")
    go_on()
    counter.moves()
    wait_for(lambda: re.search(r"alice +web01 .* open", world.hub.command("sessions").out), 20, "it waits no more")
    counter.finish()


def test_one_too_many_that_waits_is_ended(bench, net):
    world = survive.World(bench, net, "--parked-per-machine", "1")
    kept = [world.user.popen(*world.words, "echo up; cat") for _ in range(2)]
    assert [process.stdout.readline() for process in kept] == [b"up\n"] * 2
    go_on = lose(world)
    wait_for(lambda: any(process.poll() is not None for process in kept), 20, "one is ended")
    over, = [process for process in kept if process.poll() is not None]
    ended(over, "parked-per-machine")
    go_on()
    other, = [process for process in kept if process is not over]
    other.stdin.write(b"still\n")
    assert other.stdout.readline() == b"still\n"


# --- what a folder may hold ---

@pytest.mark.parametrize("count", [5000, pytest.param(100000, marks=pytest.mark.long)])
def test_stale_files(web01, alice, hub, count):
    process = session(alice)
    hub.process.stop(number=signal.SIGKILL)
    for n in range(count):
        os.close(os.open(hub.state / "fronts" / f"{n:016x}", os.O_CREAT | os.O_WRONLY, 0o600))
    hub.start()
    hub.wait_log("took up (1|a late)", 30 * SLOW)  # the search itself may take longer than the hub waits
    assert len(sessions(hub)) == 1
    wait_for(lambda: len(os.listdir(hub.state / "fronts")) == 1, 30 * SLOW, "they are gone")
    process.stdin.write(b"still\n")
    assert process.stdout.readline() == b"still\n"
