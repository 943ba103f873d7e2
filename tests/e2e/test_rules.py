"""Rules that each look kept as long as nobody tries the one case in which they count."""
import datetime
import os
import re
import select
import shutil
import socket
import subprocess
import time

import pytest
from kit import proc, tcp
from kit.bench import program, sanitized
from kit.parts import Agent, Hub, Sshd, User, keygen, public_key
from kit.wait import free_port, wait_for
from kit.wire import Control, Stream, certificate_of, closed_within, connect, refused
from test_agent_network import start_homes
from test_lying_hub import LyingHub, padded


def nowhere():
    return f"127.0.0.1:{free_port()}"


def someone(bench, hub, options, name="bob"):
    user = User(bench, name).knows(hub)
    hub.add_user(user, options)
    user.hub_says().ok()  # from now on ssh knows the hub, and says nothing of it
    return user


# --- machines ---

def test_a_spent_invitation_is_refused_whatever_the_name(bench, hub):
    """Also when it names a machine, whose lease it would move."""
    code = hub.invite("web01")
    first = Control(bench, hub, "web01", code).welcomed()
    for name in ("web01", "web02"):
        answer = Control(bench, hub, name, code).hello().receive()
        assert answer["type"] == "refused" and answer["code"] == "bad-token", answer
        assert "used up" in answer["reason"], answer
    assert hub.machines()["web01"]["holder"] == first.fingerprint
    code = hub.invite("--uses", "2")
    for name in ("a1", "a2"):
        Control(bench, hub, name, code).welcomed()
    answer = Control(bench, hub, "a3", code).hello().receive()
    assert answer["type"] == "refused" and answer["code"] == "bad-token", answer
    assert set(hub.machines()) == {"web01", "a1", "a2"}


def test_an_expired_invitation_is_refused(bench, hub):
    """Also when it has uses left."""
    code = hub.invite("--uses", "500", "--expires", "1s")
    names = iter(range(500))

    def refusal():
        raw = Control(bench, hub, f"m{next(names)}", code)
        answer = raw.hello().receive()
        raw.close()
        return answer if answer["type"] == "refused" else None

    answer = wait_for(refusal, 6, "refused when its time is over")
    assert answer["code"] == "bad-token" and "expired" in answer["reason"], answer


def test_without_an_invitation_a_taken_name_is_refused(bench, hub):
    """It is not even held for approval: an admin could not tell the two apart."""
    Agent(bench, hub, "web01", ssh=nowhere())
    other = Control(bench, hub, "web01")
    answer = other.hello().receive()
    assert answer["type"] == "refused" and answer["code"] == "name-taken", answer
    assert other.closed(5)
    assert other.fingerprint not in hub.command("list", "--pending").out


def test_a_clone_is_shown_to_its_users_too(bench, hub, alice):
    """They are who logs in on the wrong one; the fingerprint is for admins."""
    agent = Agent(bench, hub, "web01", ssh=nowhere())
    agent.stop()
    first = Control(bench, hub, "web01", cert=certificate_of(agent)).welcomed()
    agent.run()
    assert first.receive("bye")["code"] == "replaced"
    hub.wait_online("web01")
    assert first.connect().hello().receive()["type"] == "held"
    said = alice.hub_says("why", "web01").ok().out
    assert re.search("clone", said) and "same key" in said and "SHA256:" not in said, said
    assert hub.machines()["web01"].get("clone_from") == "127.0.0.1"


# --- who may know what ---

def test_known_hosts_of_all_are_those_of_ones_own(bench, hub):
    keys = {}
    for name in ("web-1", "db-1"):
        keys[name] = public_key(keygen(bench.path(f"host-{name}")))
        Control(bench, hub, name, hub.invite(name)).welcomed(host_keys=[keys[name]], host_keys_from="ssh-keyscan")
    said = someone(bench, hub, 'machines="web-*"').hub_says("known-hosts").ok().out
    assert keys["web-1"] in said and "db-1" not in said and keys["db-1"] not in said, said


def test_admins_reach_all_machines_also_where_they_give_no_orders(bench, sshd):
    hub = Hub(bench, "--admin-over-ssh", "no")
    root = someone(bench, hub, "admin", name="root-of-hub")
    Agent(bench, hub, "web01", ssh=sshd.allow(root))
    assert root.hub_says("list").ok().out == "web01\n"
    assert root.jump("web01", "echo in").ok().out == "in\n"
    root.hub_says("sessions").failed(1).says("admin-over-ssh")


@pytest.mark.long
def test_a_key_that_expires_ends_what_it_began(bench, hub, sshd):
    """Within a minute, without anybody touching the file."""
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=8)
    bob = someone(bench, hub, f'machines="*",expiry-time="{at:%Y%m%d%H%M%S}Z"')
    Agent(bench, hub, "web01", ssh=sshd.allow(bob))
    session = bob.jump_popen("web01", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    wait_for(lambda: session.poll() is not None, 80, "the session has ended")
    hub.wait_log("bob from 127.0.0.1 is logged out: the key's expiry-time has passed")


# --- host keys ---

@pytest.fixture
def etc_ssh(bench):
    """/etc/ssh, with one key, and no ssh-keyscan."""
    folder = bench.folder("etc-ssh")
    keygen(folder / "ssh_host_ed25519_key")
    own = Own(bench, "/etc/ssh", folder)
    own.key = public_key(folder / "ssh_host_ed25519_key")
    # The command's own search path: where mount and the agent are found, and ssh-keyscan is not.
    bin_folder = bench.folder("bin")
    for tool in ("sh", "mount", "unshare", "ip"):
        (bin_folder / tool).symlink_to(shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"))
    own.env = {"PATH": str(bin_folder)}
    return own


def test_without_keyscan_the_host_keys_come_from_files(hub, sshd, alice, etc_ssh):
    etc_ssh.start_agent(hub.invite("web01"), "--ssh", sshd.at, env=etc_ssh.env)
    hub.wait_online("web01")
    wait_for(lambda: etc_ssh.key in alice.hub_says("known-hosts", "web01").out, 10, "the key of /etc/ssh")
    assert re.search("1 host key is known, .*/etc/ssh", alice.hub_says("why", "web01").out)


def test_files_say_nothing_of_a_server_elsewhere(bench, net, etc_ssh):
    """They are this machine's, and the SSH server is another's: no host key is better than a wrong one."""
    here, there = net.host("here"), net.host("there")
    net.link(here, "eth0", "10.88.0.1/24", there, "eth0", "10.88.0.2/24")
    hub = Hub(bench, netns=here)
    etc_ssh.start_agent(hub.invite("web01"), "--ssh", Sshd(bench, address="10.88.0.2", netns=there).at, netns=here, env=etc_ssh.env)
    hub.wait_online("web01")
    said = hub.command("why", "web01").out
    assert "10.88.0.2" in said and "could not learn its host keys" in said, said
    assert hub.command("known-hosts", "web01").out == ""


def test_config_names_the_hubs_port(hub, alice, bench):
    """`ssh hub` without -p, from anywhere, once the block is in place."""
    config = bench.path("config")
    config.write_text(f"Host *\n  IdentityFile {alice.key}\n  UserKnownHostsFile {alice.known_hosts}\n  StrictHostKeyChecking accept-new\n"
                      "  BatchMode yes\n  IdentityAgent none" + alice.hub_says("config").ok().out)
    assert "alice" in bench.run("ssh", "-F", config, hub.address, "whoami").ok().out


# --- publishing ---

def test_a_publish_right_that_is_taken_away(bench, hub, sshd):
    """The machine goes from the list, and does not come back by itself."""
    nas = someone(bench, hub, 'publish="nas-*"', name="nas")
    process = nas.start_ssh("-N", "-o", "ExitOnForwardFailure=yes", "-R", f"nas-1:22:127.0.0.1:{sshd.port}", "hub")
    hub.wait_online("nas-1")
    hub.write_users(f'nas publish="other-*" {nas.public} nas@test\n')
    hub.wait_offline("nas-1", 10)
    assert process.popen.wait(15) != 0
    assert re.search("no longer published|may no longer publish", process.log()), process.log()


def test_kill_ends_a_session_on_a_published_machine(bench, hub, sshd, alice):
    """No agent is there to be told: it is the user's own front that ends it."""
    nas = someone(bench, hub, 'publish="nas-*"', name="nas")
    sshd.allow(alice)
    nas.start_ssh("-N", "-R", f"nas-1:22:127.0.0.1:{sshd.port}", "hub")
    hub.wait_online("nas-1")
    session, other = (alice.jump_popen("nas-1", "echo up; cat") for _ in range(2))
    for one in (session, other):
        assert one.stdout.readline() == b"up\n"
    number = re.search(r"^(\d+) +alice +nas-1 ", hub.command("sessions").out, re.M).group(1)
    hub.command("kill", number)
    wait_for(lambda: [one for one in (session, other) if one.poll() is not None], 10, "one of the two has ended")
    left = [one for one in (session, other) if one.poll() is None]
    assert len(left) == 1
    left[0].stdin.write(b"still here\n")
    assert left[0].stdout.readline() == b"still here\n", "the other one goes on"


def test_a_published_machine_is_shown_as_such(bench, hub, sshd, alice):
    nas = someone(bench, hub, 'publish="nas-*"', name="nas")
    nas.start_ssh("-N", "-R", f"nas-1:22:127.0.0.1:{sshd.port}", "hub")
    hub.wait_online("nas-1")
    assert re.search(r"^nas-1 +online .*\bpublished\b", alice.hub_says("list", "-l").ok().out, re.M)
    assert "published by nas" in alice.hub_says("why", "nas-1").ok().out
    assert hub.machines()["nas-1"]["kind"] == "publisher"


def test_a_publisher_that_is_replaced_is_told_and_sent_away(bench, hub, sshd):
    nas = someone(bench, hub, 'publish="nas-*"', name="nas")
    words = ("-N", "-R", f"nas-1:22:127.0.0.1:{sshd.port}", "hub")
    first = nas.start_ssh(*words)
    hub.wait_online("nas-1")
    second = nas.start_ssh(*words)
    assert first.popen.wait(15) != 0
    assert "no longer published" in first.log(), first.log()
    assert second.running() and hub.is_online("nas-1")


# --- streams ---

class Way:
    """A TCP relay between an agent and its hub, whose connections can be cut."""

    def __init__(self, bench, hub):
        self.hub, self.pairs = hub, []
        self.port = tcp.Service(bench, self._one).port

    def _one(self, near):
        far = connect(self.hub)
        far.settimeout(None)
        self.pairs.append((near, far))
        tcp.relay(near, far)


@pytest.mark.parametrize("streams", ["plain", "tls"])
def test_a_session_outlives_its_connections(bench, hub, sshd, alice, streams):
    """Each time the machine's stream connection breaks it makes another, and not a byte is lost or doubled."""
    sshd.allow(alice)
    way = Way(bench, hub)
    Agent(bench, hub, "web01", ssh=sshd, target=hub.invite("web01").replace(f":{hub.port}/", f":{way.port}/"), flags=["--streams", streams])
    session = alice.jump_popen("web01", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    control = way.pairs[0]
    for n in range(3):
        before = len(way.pairs)
        for pair in way.pairs[1:]:
            tcp.cut(*pair)
        line = b"%d" % n * 30000 + b"\n"
        session.stdin.write(line)
        seen = b""
        while not seen.endswith(b"\n"):
            assert select.select([session.stdout], [], [], 30)[0], f"{len(seen)} of {len(line)} bytes came back"
            piece = session.stdout.read(65536)
            assert piece, session.stderr.read()
            seen += piece
        assert seen == line
        assert len(way.pairs) > before
    assert control == way.pairs[0] and hub.is_online("web01")


# --- at the door ---

def test_a_ticket_counts_once(bench, hub, alice):
    """The hub itself turns a second connection with it away, before the edges have to."""
    raw = Control(bench, hub, "raw01", hub.invite("raw01")).welcomed()
    alice.jump_popen("raw01", "true")
    dial = raw.receive("dial")
    for opened in (False, True):
        if opened:  # the first connection waits for this answer, and then belongs to the session
            raw.send({"type": "dialled", "id": dial["id"]})
            assert stream.prove().next()[0] == Stream.PROOF
        else:
            stream = Stream(hub, dial["ticket"], bytes.fromhex(dial["key"]))
        mark = hub.mark()
        assert refused(hub, dial["ticket"], bytes.fromhex(dial["key"]))[0] is False
        hub.wait_log("ticket was used already", since=mark)


def test_a_message_one_byte_too_long(bench, hub):
    """Fit in all else."""
    for size, fits in ((16384, True), (16385, False), (20000, False)):
        raw = Control(bench, hub, f"raw{size}", hub.invite(f"raw{size}")).welcomed()
        raw.raw(padded({"type": "ping", "n": 5}, size))
        answer = raw.receive("pong")
        assert (answer is not None) == fits, (size, answer)
    hub.wait_log("more than 16,384 bytes")


def test_an_agent_that_takes_no_answers_is_cut_off(bench, hub):
    raw = Control(bench, hub, "raw01", hub.invite("raw01"))
    raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.welcomed()
    before = proc.memory_kib(hub.process.pid)
    raw.sock.settimeout(60)
    with pytest.raises(OSError):
        for _ in range(4000):
            raw.sock.sendall(b'{"type":"ping","n":1}\n' * 500)
    # On a busy machine the kernel, whose peer has had no room for so long, may be the first to give up.
    hub.wait_log("raw01 is offline: (it does not read its messages|its connection broke)", timeout=30)
    assert proc.memory_kib(hub.process.pid) - before < 8 * 1024 * (32 if sanitized() else 1)  # a sanitizer keeps what is freed


def test_fronts_per_second_in_all(bench):
    """From many sources, each of which keeps its own measure."""
    hub = Hub(bench, "--fronts-per-second", "3")
    socks = []
    for n in range(12):
        socks.append(socket.create_connection((hub.address, hub.port), 10, (f"127.0.0.{n + 2}", 0)))
        socks[-1].sendall(b"SSH-2.0-idle\r\n")
    hub.wait_log(r"too many connections a second \(fronts-per-second\)")
    wait_for(lambda: 1 <= sum(not closed_within(sock, 0.02) for sock in socks) <= 6, 5, "most are turned away")
    assert 1 <= len(hub.fronts()) <= 6
    for sock in socks:
        sock.close()


def test_a_users_grace_is_kept_by_the_front_itself(bench):
    hub = Hub(bench, "--login-grace", "2s")
    with connect(hub) as sock:
        began = time.monotonic()
        sock.sendall(b"SSH-2.0-idle\r\n")
        assert closed_within(sock, 10)
        assert 1.5 < time.monotonic() - began < 5, "the hub's own patience with the front is longer"


def test_a_machine_that_sends_beyond_the_window(bench):
    """Its user does not read. What is kept for her is the window, and a machine that sends more is cut off."""
    hub = Hub(bench, "--window", "64K")
    alice = someone(bench, hub, 'machines="*"', name="alice")
    raw = Control(bench, hub, "raw01", hub.invite("raw01")).welcomed()
    alice.popen("-W", "raw01:22", "hub")  # its output is a pipe that is not read
    dial = raw.receive("dial")
    raw.send({"type": "dialled", "id": dial["id"]})
    stream = Stream(hub, dial["ticket"], bytes.fromhex(dial["key"])).prove()
    assert stream.next()[0] == Stream.PROOF
    stream.sock.settimeout(5)
    try:
        for _ in range(1000):
            stream.data(b"x" * 65536)
    except OSError:
        pass
    fronts = hub.fronts()
    assert len(fronts) == 1 and proc.memory_kib(fronts[0]) < 40 * 1024 * (4 if sanitized() else 1)
    kinds = {}
    try:
        while True:
            kind, payload = stream.next()
            kinds[kind] = payload
    except OSError:
        pass
    assert b"beyond the window" in kinds.get(Stream.RESET, b""), kinds.keys()


# --- who is there ---

@pytest.mark.slow
def test_the_hub_pings_and_a_mute_machine_is_offline(bench):
    """Its kernel still acknowledges: only its answers tell that it lives."""
    hub = Hub(bench, "--ping-interval", "5s")
    mute = Control(bench, hub, "mute01", hub.invite("mute01")).welcomed()
    alive = Control(bench, hub, "alive01", hub.invite("alive01")).welcomed()
    gone = False
    end = time.monotonic() + 14
    while time.monotonic() < end and not gone:
        alive.send({"type": "pong", "n": alive.receive("ping", timeout=8)["n"], "ssh_state": "ok"})
        gone = mute.closed(0.1)
    assert gone, "ping-interval and 5 s are over"
    assert hub.is_online("alive01") and not hub.is_online("mute01")
    assert "keepalive lost" in hub.command("why", "mute01").out


def test_a_jump_that_is_being_opened_is_opened_by_the_next_hub(bench, hub, alice, web01):
    """The hub alone ends; sessions go on, and who waits for one is told by the next hub."""
    raw = Control(bench, hub, "raw01", hub.invite("raw01")).welcomed()
    session = alice.jump_popen("web01", "echo up; cat")
    assert session.stdout.readline() == b"up\n"
    waiting = alice.jump_popen("raw01", "true")
    assert raw.receive("dial")
    hub.command("stop")
    hub.process.popen.wait(20)
    session.stdin.write(b"still here\n")
    assert session.stdout.readline() == b"still here\n"
    assert waiting.poll() is None
    hub.start()
    raw.connect().welcomed()
    raw.send({"type": "failed", "id": raw.receive("dial")["id"], "code": "other", "reason": "no luck there"})
    _, err = waiting.communicate(timeout=20)
    assert waiting.returncode == 255 and b"no luck there" in err, err


# --- names and networks ---

class Own:
    """A file or folder of the host's that is another one for a single process, and may change while it runs."""

    def __init__(self, bench, place, path):
        self.bench, self.path = bench, path
        if os.geteuid() != 0 or not shutil.which("unshare"):
            pytest.skip(f"{place} of its own needs root and unshare")
        self.wrap = ["unshare", "--mount", "sh", "-c", f'mount --bind {path} {place} && exec "$@"', "sh"]
        tried = subprocess.run([*self.wrap, "true"], capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            pytest.skip(f"{place} of its own is not to be had here: {tried.stderr.strip()}")

    def start_agent(self, target, *flags, **options):
        state = self.bench.folder("agent-web01")
        return self.bench.start("agent-web01", *self.wrap, program("multissh-agent"), "--state", state, *flags, "join", target, "--name", "web01",
                                **options)


class Names(Own):
    """/etc/hosts"""

    def __init__(self, bench):
        path = bench.path(f"hosts.{bench.number()}")
        path.touch()
        super().__init__(bench, "/etc/hosts", path)

    def say(self, *addresses):
        with open(self.path, "w", encoding="ascii") as hosts:  # in place: what is bound is this very file
            hosts.writelines(f"{address} hub.test\n" for address in addresses)


@pytest.fixture
def names(bench):
    return Names(bench)


def test_dns_is_asked_anew_each_time(bench, hub, sshd, names):
    """The hub moves to another address under its old name."""
    names.say("127.0.0.1")
    agent = names.start_agent(hub.invite("web01").replace("127.0.0.1", "hub.test"), "--ssh", sshd.at)
    hub.wait_online("web01")
    hub.process.stop()
    names.say("127.0.0.2")
    hub.address = "127.0.0.2"
    hub.start()
    hub.wait_online("web01", 20)
    assert agent.running()


def test_streams_go_where_the_control_connection_went(bench, sshd, names):
    """The name has two addresses, and who listens at the other one is not whom the machine has met."""
    hub = LyingHub(bench, address="127.0.0.2")
    names.say("127.0.0.1", "127.0.0.2")
    hub.process = names.start_agent(hub.code.replace("127.0.0.1", "hub.test"), "--ssh", sshd.at)
    link = hub.link().welcome()
    with socket.create_server(("127.0.0.1", hub.port)) as other:
        key = link.dial(id=1)
        select.select([other, hub.listener], [], [], 10)
        assert not select.select([other], [], [], 0)[0], "the stream goes to the other address of the name"
        stream = hub.stream().prove(key)
        assert stream.until(b"\r\n").startswith(b"SSH-2.0-OpenSSH")
        stream.end()


@pytest.mark.slow
def test_a_network_that_comes_back_ends_the_waiting(bench, net):
    """However long it is still to be."""
    hosts, hub, _, agent = start_homes(bench, net)
    agent.stop()
    agent.run("--log-level", "debug")
    hub.wait_online("web01")
    hosts["machine"].down("eth0")
    waits = wait_for(lambda: [ms for ms in re.findall(r"trying again in (\d+) ms", agent.log()) if int(ms) >= 9000], 60, "a long wait")
    assert waits
    hosts["machine"].up("eth0")
    net.route(hosts["machine"], "10.77.1.1")
    hub.wait_online("web01", 5)


def test_the_same_trouble_is_told_once(bench, hub, sshd):
    """Each try is in the log of those who look closely; the others read one line."""
    agent = Agent(bench, hub, "web01", ssh=sshd, flags=["--log-level", "debug"])
    mark = agent.mark()
    hub.process.stop()
    wait_for(lambda: agent.log(mark).count("cannot reach the hub") >= 3, 30, "three tries in vain")
    told = [line for line in agent.log(mark).splitlines() if "cannot reach the hub" in line and " DEBUG " not in line]
    assert len(told) == 1, told


def test_a_hub_that_only_answers_is_alive(bench, sshd):
    """The agent asks by itself when it hears nothing, well before it gives up."""
    hub = LyingHub(bench)
    hub.agent(sshd)
    link = hub.link().welcome(ping_ms=2000)
    end = time.monotonic() + 14
    while time.monotonic() < end:
        ping = link.receive("ping", timeout=6)  # 2.5 s behind the ping that did not come; it gives up 2.5 s later
        came = time.monotonic()
        wait_for(lambda: time.monotonic() > came + 0.02, 1)  # what a network takes
        link.send({"type": "pong", "n": ping["n"]})
    link.alive()
