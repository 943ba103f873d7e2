"""Streams whose user's side is a connection of its own: joined in the hub with the machine's, by a process that outlives it."""
import contextlib
import os
import re
import signal
import socket
import struct
import threading
import time

import pytest
from conftest import setup
from kit import proc
from kit.edge import Edge
from kit.parts import SLOW, Agent, Hub, Sshd, User, keygen, public_key
from kit.wait import wait_for
from kit.wire import Control, Stream, connect, make_ticket, preamble, refusal, refused, unb64url

bench, hub, alice, admin, sshd, web01 = setup("function")
pytestmark = pytest.mark.slow

LIFE = 300  # seconds, of a ticket


def ticket_of(user, name="web01"):
    result = user.hub_says("ticket", name).ok()
    match = re.fullmatch(r"MULTISSH-TICKET/1 (\S+=\S+(?: \S+=\S+)*)\n", result.out)
    assert match, result.out
    fields = dict(word.split("=", 1) for word in match.group(1).split(" "))
    assert set(fields) == {"machine", "host", "port", "ticket", "key", "window", "patience_ms", "pin"}, fields
    return fields["ticket"], bytes.fromhex(fields["key"])


class Joined:
    """A stream both of whose edges are the test's: the machine is played by hand."""

    def __init__(self, bench, hub, user, name="raw01", open_it=True, **options):
        self.hub = hub
        self.raw = Control(bench, hub, name, hub.invite(name)).welcomed() if name else None
        self.ticket, self.key = ticket_of(user, name)
        self.began = time.monotonic()
        self.a = Edge(hub, self.ticket, self.key, "a", **options)
        self.dial = self.raw.receive("dial")
        assert self.dial["ticket"] == self.ticket and self.dial["key"] == self.key.hex()
        self.b = Edge(hub, self.ticket, self.key, "b", **options)
        bench.closers += [self.a.close, self.b.close]
        if open_it:
            self.raw.send({"type": "dialled", "id": self.dial["id"]})
            self.a.wait_live()
            self.b.wait_live()

    def both(self, size=200_000):
        """Bytes go both ways at once, and arrive as they were sent."""
        up, down = os.urandom(size), os.urandom(size)
        had_a, had_b = len(self.a.received), len(self.b.received)
        self.a.write(up)
        self.b.write(down)
        assert self.b.wait_received(had_b + size)[had_b:] == up
        assert self.a.wait_received(had_a + size)[had_a:] == down
        return self

    def finish(self):
        self.a.finish()
        self.b.finish()
        assert self.a.wait_over() == "" and self.b.wait_over() == ""

    @property
    def stream(self):
        return unb64url(self.ticket.partition(".")[0])[1:17].hex()

    def closed(self, reason="the stream was closed"):
        """What an agent says when its side is over."""
        self.raw.send({"type": "closed", "stream": self.stream, "reason": reason, "sent": self.b.base, "received": len(self.b.received)})


@pytest.fixture
def joined(bench, hub, alice):
    return Joined(bench, hub, alice)


def pairs(hub):
    """The processes that join connections: of this hub, or left by an earlier one (they are our children then)."""
    return [pid for pid in proc.children(hub.process.pid, os.getpid()) if proc.command_of(pid).endswith("multissh-relay --pair")]


def rows(admin):
    return [line.split() for line in admin.hub_says("sessions").ok().out.splitlines()[1:]]


# --- the ticket ---

def test_a_real_machine(hub, alice, web01):
    ticket, key = ticket_of(alice, "WEB01." + hub.domain.upper())
    edge = Edge(hub, ticket, key, "a")
    assert edge.wait_received(8).startswith(b"SSH-2.0-")
    edge.close()


def test_who_gets_a_ticket(bench, hub, alice, web01):
    """Whoever may reach the machine, and nobody learns more than from a jump."""
    bob = User(bench, "bob").knows(hub)
    hub.add_user(bob, 'machines="db-*"')
    told = {}
    for user, name in ((bob, "web01"), (bob, "nosuch"), (alice, "nosuch")):
        result = user.hub_says("ticket", name).failed(1)
        assert result.out == ""
        told[user.name, name] = result.err.splitlines()[-1]
    assert told["bob", "web01"].replace("web01", "X") == told["bob", "nosuch"].replace("nosuch", "X") == told["alice", "nosuch"].replace("nosuch", "X")
    web01.stop()
    hub.wait_offline("web01")
    for words in (["ticket"], ["ticket", "a", "b"]):
        alice.hub_says(*words).failed(2)


# --- joined ---

def test_both_ways(joined, hub, admin):
    joined.both()
    (row,) = rows(admin)
    assert row[1:3] == ["alice", "raw01"] and "open" in row, row
    assert len(pairs(hub)) == 1
    joined.finish()
    joined.closed()
    wait_for(lambda: rows(admin) == [] and pairs(hub) == [], 20, "it is over")
    log = admin.hub_says("log").ok().out
    assert re.search(r"end.*the stream was closed; 200000 bytes to the machine, 200000 from it", log), log
    # Nothing comes in by it any more.
    for edge in "ab":
        final, text = refused(hub, joined.ticket, joined.key, edge, 100)
        assert final and ("closed" in text or "has ended" in text)


def test_the_end_without_a_word_of_the_machine(joined, admin, hub):
    """An agent may lose its control connection with the last word."""
    joined.both(1000).finish()
    wait_for(lambda: pairs(hub) == [], 20)
    wait_for(lambda: rows(admin) == [], 60, "it is over some time after both have closed")


@pytest.mark.parametrize("who", ["a", "b", "both"])
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_cut_in_the_middle(joined, hub, who, reset):
    """Five times, while bytes run both ways."""
    size = 1_500_000
    up, down = os.urandom(size), os.urandom(size)
    joined.a.write(up)
    joined.b.write(down)
    for turn in range(5):
        joined.a.wait_received(size // 7 * (turn + 1))
        for name in ("a", "b"):
            if who in (name, "both"):
                getattr(joined, name).cut(reset)
        joined.a.wait_live()
        joined.b.wait_live()
    assert joined.b.wait_received(size) == up and joined.a.wait_received(size) == down
    joined.finish()
    assert joined.a.lives > 4


def test_in_tls(bench, hub, alice):
    """The bytes of a relay that ends TLS are joined like any other."""
    joined = Joined(bench, hub, alice, in_tls=True)
    joined.both()
    joined.b.cut()
    joined.a.wait_live()
    joined.b.wait_live()
    joined.both().finish()


def test_back_pressure(joined, hub):
    """A side that does not read holds the other one up, and no memory grows."""
    for edge in (joined.a, joined.b):
        edge.hold()
        edge.cut()
    wait_for(lambda: pairs(hub) == [], 20)
    stream = Stream(hub, joined.ticket, joined.key, epoch=50, window=1 << 30)
    fresh = Stream(hub, joined.ticket, joined.key, epoch=60, edge="a", window=1 << 30)
    threads = [threading.Thread(target=s.prove, daemon=True) for s in (stream, fresh)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    fresh.sock.settimeout(2)
    sent = 0
    with contextlib.suppress(TimeoutError, socket.timeout):
        while sent < 256 << 20:
            sent += fresh.sock.send(bytes(1 << 16))
    assert sent < 64 << 20, "what nobody reads is taken without end"
    (pid,) = pairs(hub)

    def rests():
        before = proc.cpu_seconds(pid)
        time.sleep(1)
        return proc.cpu_seconds(pid) - before < 0.1
    wait_for(rests, 20, "it does nothing while nothing can be done")  # what it still had to move is moved by then
    assert proc.memory_kib(pid) < (16 if SLOW == 1 else 48) * 1024


# --- newer connections ---

def test_a_newer_connection_replaces(joined, hub):
    """Of either edge, at any time after the first moments."""
    joined.both()
    for role in ("a", "b", "a"):
        edge, other = (joined.a, joined.b) if role == "a" else (joined.b, joined.a)
        before, lives = edge.lives, other.lives
        # A network that has swallowed its connection: it dials beside the old one, until one is answered.
        edge.swallow()
        spare, end = None, time.monotonic() + 30
        while other.live.is_set() and other.lives == lives:
            assert time.monotonic() < end, "the newer ones change nothing"
            if spare is not None:
                spare.sock.close()
            spare = Stream(hub, joined.ticket, joined.key, epoch=edge.next_epoch(), edge=role)
            time.sleep(0.5)
        spare.sock.close()
        edge.thaw()
        wait_for(lambda: edge.live.is_set() and edge.lives > before and other.live.is_set() and other.lives > lives, 30, "both are there again")
        joined.both(20_000)


@pytest.mark.parametrize("order", ["ab", "ba", "aabb", "abab"])
def test_both_resume_at_once(joined, hub, order):
    """Once or twice, in any order: it ends in one connection."""
    joined.both(20_000)
    for edge in (joined.a, joined.b):
        edge.hold()
        edge.cut()
    wait_for(lambda: pairs(hub) == [], 20)
    spares = []
    for role in order:
        edge = joined.a if role == "a" else joined.b
        spares.append(Stream(hub, joined.ticket, joined.key, epoch=edge.next_epoch(), edge=role))
    joined.a.let_go()
    joined.b.let_go()
    joined.a.wait_live()
    joined.b.wait_live()
    joined.both(20_000)
    for spare in spares:
        spare.sock.close()
    wait_for(lambda: len(pairs(hub)) == 1, 20)
    joined.both(20_000).finish()


def test_an_older_epoch_is_refused(joined, hub):
    joined.both(1000)
    for edge in "ab":
        for _ in range(2):
            final, text = refused(hub, joined.ticket, joined.key, edge, 0)
            assert not final and "used already" in text
        time.sleep(1)  # not too many a second
    joined.both(1000)
    assert joined.a.lives == joined.b.lives == 1


def test_another_address(bench, hub, alice, admin):
    """The session goes with its user, as far as their rights do."""
    joined = Joined(bench, hub, alice)
    joined.both(1000)
    assert rows(admin)[0][-1] == "127.0.0.1"
    joined.a.source = "127.0.0.2"
    joined.a.cut()
    joined.a.wait_live()
    joined.both(1000)
    assert rows(admin)[0][-1] == "127.0.0.2"
    hub.lines = [line.replace('machines="*"', 'machines="*",from="127.0.0.1,127.0.0.2"') if line.startswith("alice") else line for line in hub.lines]
    hub.write_users()
    joined.both(1000)
    joined.a.source = "127.0.0.3"
    joined.a.cut()
    assert "may not reach that machine any more" in joined.a.wait_over()


def test_parked_limits(bench):
    hub = Hub(bench, "--parked-per-machine", "2")
    user = User(bench, "carol").knows(hub)
    hub.add_user(user)
    Agent(bench, hub, "web01", ssh=Sshd(bench))
    edges = [Edge(hub, *ticket_of(user), "a") for _ in range(4)]
    bench.closers += [edge.close for edge in edges]
    for edge in edges:
        edge.wait_received(8)
        edge.hold()
        edge.cut()
    hub.wait_log("parked-per-machine", 20)
    wait_for(lambda: hub.log().count("ended: its connection was lost, and 2 sessions") == 2, 20)
    for edge in edges:
        edge.let_go()
    wait_for(lambda: sum(edge.over.is_set() for edge in edges) == 2 and sum(edge.live.is_set() for edge in edges) == 2, 20)


# --- the thief ---

def test_a_line_that_was_seen(bench, hub, alice):
    """Sent again at every moment of a stream's life, it gets nothing and changes nothing."""
    joined = Joined(bench, hub, alice, open_it=False)
    lines = [preamble(joined.ticket, joined.key, edge, 0) for edge in "ab"]

    def replay():
        for edge, line in zip("ab", lines):
            for data in (line, line.replace(b"epoch=0", b"epoch=7"), line.replace(f"edge={edge}".encode(), b"edge=" + (b"b" if edge == "a" else b"a"))):
                with connect(hub) as sock:
                    sock.sendall(data)
                    answer = refusal(sock, joined.key, edge, 0)
                    assert answer is None or answer[1], answer
        time.sleep(0.5)
    wait_for(lambda: joined.b.dials, 10)
    replay()
    joined.raw.send({"type": "dialled", "id": joined.dial["id"]})
    joined.a.wait_live()
    joined.b.wait_live()
    replay()
    joined.both(20_000)
    replay()
    assert joined.a.lives == joined.b.lives == 1, "nobody was disturbed"
    joined.a.hold()
    joined.a.cut()
    wait_for(lambda: not pairs(hub), 20)
    replay()
    joined.a.let_go()
    joined.a.wait_live()
    joined.both(20_000)
    joined.finish()
    joined.closed()
    replay()


# --- ends ---

def test_kill(joined, hub, admin):
    joined.both(1000)
    (row,) = rows(admin)
    admin.hub_says("kill", row[0]).ok()
    hangup = joined.raw.receive("hangup")
    assert hangup["stream"] == joined.stream
    assert "killed" in joined.a.wait_over() and "killed" in joined.b.wait_over()
    wait_for(lambda: rows(admin) == [] and pairs(hub) == [], 20)
    for edge in "ab":
        assert refused(hub, joined.ticket, joined.key, edge, 200)[0] is True


def test_the_reason_of_a_kill_comes_by_the_machine(bench, hub, alice, admin, web01):
    ticket, key = ticket_of(alice)
    edge = Edge(hub, ticket, key, "a")
    bench.closers.append(edge.close)
    edge.wait_received(8)
    admin.hub_says("kill", rows(admin)[0][0]).ok()
    assert "killed by the hub's admin" in edge.wait_over()
    wait_for(lambda: pairs(hub) == [], 20)


def test_a_parked_half_is_killed(joined, hub, admin):
    joined.both(1000)
    joined.a.hold()
    joined.a.cut()
    wait_for(lambda: pairs(hub) == [], 20)
    admin.hub_says("kill", rows(admin)[0][0]).ok()
    assert "killed" in joined.b.wait_over()
    joined.a.let_go()
    assert "killed" in joined.a.wait_over()


def test_rights_that_go(joined, hub, alice, admin):
    joined.both(1000)
    hub.lines = [line.replace('machines="*"', 'machines="db-*"') if line.startswith("alice") else line for line in hub.lines]
    hub.write_users()
    for edge in (joined.a, joined.b):
        assert edge.wait_over()
    wait_for(lambda: rows(admin) == [] and pairs(hub) == [], 20)


def test_another_key_of_the_same_user(bench, hub, alice, admin):
    """A key that was stolen is replaced, the name stays: what the old key had goes, tickets in hand too."""
    joined = Joined(bench, hub, alice).both(1000)
    ticket, key = ticket_of(alice, "raw01")
    other = keygen(bench.folder("new-key") / "key")
    hub.lines = [line.replace(alice.public, public_key(other)) if line.startswith("alice ") else line for line in hub.lines]
    hub.write_users()
    for edge in (joined.a, joined.b):
        assert edge.wait_over()
    wait_for(lambda: rows(admin) == [] and pairs(hub) == [], 20)
    final, text = refused(hub, ticket, key, "a")
    assert final and "may not reach" in text, text


def test_revoke(joined, hub, admin):
    joined.both(1000)
    admin.hub_says("revoke", "raw01").ok()
    assert joined.a.wait_over()
    wait_for(lambda: rows(admin) == [] and pairs(hub) == [], 20)


def test_rename(joined, hub, admin):
    joined.both(1000)
    admin.hub_says("rename", "raw01", "new01").ok()
    assert rows(admin)[0][2] == "new01"
    joined.a.cut()
    joined.a.wait_live()
    joined.both(1000)
    joined.finish()


def test_stop_all(bench, hub, alice, web01):
    ticket, key = ticket_of(alice)
    edge = Edge(hub, ticket, key, "a")
    bench.closers.append(edge.close)
    edge.wait_received(8)
    hub.command("stop", "--all")
    assert "shutting down" in edge.wait_over()
    wait_for(lambda: pairs(hub) == [], 20)


def test_patience(bench, alice, admin):
    hub = Hub(bench, "--patience", "2s")
    user = User(bench, "carol").knows(hub)
    hub.add_user(user)
    joined = Joined(bench, hub, user)
    joined.both(1000)
    joined.a.hold()
    joined.a.cut()
    assert "user's side did not come back within 2 s" in joined.b.wait_over(60)
    assert joined.raw.receive("hangup")["stream"] == joined.stream
    joined.a.let_go()
    assert "ended" in joined.a.wait_over()


def test_the_user_gives_up_while_it_is_opened(bench, hub, alice, admin):
    joined = Joined(bench, hub, alice, open_it=False)
    joined.a.close()
    joined.raw.send({"type": "dialled", "id": joined.dial["id"]})
    assert joined.b.wait_over(60) == "the user gave up"
    wait_for(lambda: rows(admin) == [], 20)


# --- refusals ---

def test_refusals_of_the_first_connection(bench, hub, alice, admin, web01):
    hub.restart("--restart-wait", "0")
    hub.wait_online("web01")
    secret = (hub.state / "secret").read_bytes()
    assert len(secret) == 32

    def end_of(machine, user="alice", expiry=LIFE):
        ticket, key = make_ticket(secret, machine, user, int(time.time()) + expiry, joined=(bob if user == "bob" else alice).public)
        final, text = refused(hub, ticket, key, "a")
        assert final, text
        return text
    assert "expired" in end_of("web01", expiry=-5)
    # What is not there and what one may not use: the same words.
    bob = User(bench, "bob").knows(hub)
    hub.add_user(bob, 'machines="db-*"')
    assert end_of("web01", "bob") == end_of("nosuch", "bob") == end_of("web01", "nobody")
    assert "no machine" in end_of("nosuch")
    web01.stop()
    hub.wait_offline("web01")
    assert "offline" in end_of("web01")
    assert rows(admin) == []


def test_the_machine_says_no(bench, hub, alice):
    joined = Joined(bench, hub, alice, open_it=False)
    joined.raw.send({"type": "failed", "id": joined.dial["id"], "code": "refused", "reason": "127.0.0.1:22: connection refused"})
    assert "refused the connection" in joined.a.wait_over()
    assert joined.a.dials == 1


def test_limits(bench, alice):
    hub = Hub(bench, "--sessions-per-user", "2")
    user = User(bench, "carol").knows(hub)
    hub.add_user(user)
    sshd = Sshd(bench)
    Agent(bench, hub, "web01", ssh=sshd)
    edges = []
    for _ in range(2):
        ticket, key = ticket_of(user)
        edges.append(Edge(hub, ticket, key, "a"))
        edges[-1].wait_received(8)
    assert "sessions-per-user" in user.hub_says("ticket", "web01").failed(1).err
    # A ticket from before the limit was reached: it is not got round by saying that the stream is an old one.
    for epoch in (0, 1):
        ticket, key = make_ticket((hub.state / "secret").read_bytes(), "web01", "carol", int(time.time()) + LIFE, joined=user.public)
        assert "sessions-per-user" in Edge(hub, ticket, key, "a", epoch=epoch).wait_over()
    for edge in edges:
        edge.close()


# --- many ---

def test_fifty_at_once(bench, hub, alice, web01, admin):
    """Through one hub to one machine, each cut once."""
    edges = []
    for _ in range(50):
        ticket, key = ticket_of(alice) if len(edges) % 10 == 0 else (None, None)
        if ticket is None:
            ticket, key = make_ticket((hub.state / "secret").read_bytes(), "web01", "alice", int(time.time()) + LIFE, joined=alice.public)
        edges.append(Edge(hub, ticket, key, "a"))
        bench.closers.append(edges[-1].close)
    for edge in edges:
        assert edge.wait_received(8, 60).startswith(b"SSH-2.0-")
    assert len(pairs(hub)) == 50 == len(rows(admin))
    for edge in edges:
        edge.cut()
    for edge in edges:
        edge.write(b"SSH-2.0-by-hand\r\n")
        edge.wait_received(500, 60)  # the server's list of algorithms
    for edge in edges:
        edge.finish()
    for edge in edges:
        edge.wait_over(60)
    wait_for(lambda: pairs(hub) == [] and rows(admin) == [], 60, lambda: f"{len(pairs(hub))} processes, {rows(admin)}")


# --- the hub is started anew ---

NUMBERS = [pytest.param(15, id="term"), pytest.param(9, id="kill")]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_restart_under_a_running_pair(bench, hub, alice, admin, web01, number):
    """The bytes do not even notice; and the next hub knows the session."""
    ticket, key = ticket_of(alice)
    edge = Edge(hub, ticket, key, "a")
    bench.closers.append(edge.close)
    edge.wait_received(8)
    (pid,) = pairs(hub)
    hub.process.kill() if number == 9 else hub.process.stop()
    edge.write(b"SSH-2.0-by-hand\r\n")
    edge.wait_received(500)  # the server's list of algorithms
    assert edge.lives == 1 and pairs(hub) == [pid]
    hub.start()
    (row,) = wait_for(lambda: rows(admin), 20)
    assert row[1:3] == ["alice", "web01"] and "open" in row
    assert os.listdir(hub.state / "joins"), "the next one must find it, too"
    hub.wait_online("web01")
    assert not re.search(r"\bend\b.*web01", admin.hub_says("log").ok().out), "it has not ended"
    # It is resumed through the new hub, and ended by it.
    edge.cut()
    edge.wait_live()
    assert wait_for(lambda: [p for p in pairs(hub) if p != pid], 20)
    admin.hub_says("kill", rows(admin)[0][0]).ok()
    assert "killed by the hub's admin" in edge.wait_over()
    wait_for(lambda: pairs(hub) == [] and os.listdir(hub.state / "joins") == [], 20)


def restart(joined, number=9):
    """The machine by hand is back as an agent would be. (Tickets count in seconds: this hub knows that they are of an earlier one.)"""
    time.sleep(max(0.0, 1.1 - (time.monotonic() - joined.began)))
    hub = joined.hub
    hub.process.kill() if number == 9 else hub.process.stop()
    hub.start()
    joined.raw.connect().welcomed()


def test_three_restarts_under_load(joined, hub, admin):
    size = 4_000_000
    up, down = os.urandom(size), os.urandom(size)
    joined.a.write(up)
    joined.b.write(down)
    for turn in range(3):
        joined.a.wait_received(size // 5 * (turn + 1))
        restart(joined)
    assert joined.b.wait_received(size) == up and joined.a.wait_received(size) == down
    assert joined.a.lives == 1
    assert len(rows(admin)) == 1
    joined.finish()
    joined.closed()
    wait_for(lambda: rows(admin) == [] and pairs(hub) == [], 20)


@pytest.mark.parametrize("first", ["a", "b"])
def test_a_restart_with_a_parked_half(joined, hub, admin, first):
    """Which is all that the new hub gets to see of it, for a while."""
    joined.both(20_000)
    one, other = (joined.a, joined.b) if first == "a" else (joined.b, joined.a)
    other.hold()
    other.cut()
    wait_for(lambda: pairs(hub) == [], 20)
    restart(joined)
    wait_for(lambda: rows(admin) and "waiting" in rows(admin)[0] or first == "a", 20)
    dials = one.dials
    wait_for(lambda: one.dials > dials + 1, 20)
    other.let_go()
    joined.a.wait_live()
    joined.b.wait_live()
    joined.both(20_000)
    (row,) = rows(admin)
    assert row[1:3] == ["alice", "raw01"] and "open" in row
    joined.finish()


def test_a_restart_in_tls(bench, hub, alice, admin):
    """Three processes then carry the session: two that end TLS, and one that joins them."""
    joined = Joined(bench, hub, alice, in_tls=True)
    joined.both(20_000)
    restart(joined)
    joined.both(20_000)
    assert joined.a.lives == joined.b.lives == 1
    joined.a.cut()
    joined.a.wait_live()
    joined.both(20_000).finish()


def test_all_at_once(joined, hub, admin):
    """Both networks and the hub."""
    joined.both(20_000)
    for edge in (joined.a, joined.b):
        edge.hold()
        edge.cut()
    restart(joined)
    for edge in (joined.b, joined.a):
        edge.let_go()
    joined.a.wait_live()
    joined.b.wait_live()
    joined.both(20_000).finish()


def test_a_kill_holds_after_a_restart(joined, hub, admin):
    joined.both(1000)
    for edge in (joined.a, joined.b):
        edge.hold()
        edge.cut()
    admin.hub_says("kill", rows(admin)[0][0]).ok()
    restart(joined)
    joined.a.let_go()
    joined.b.let_go()
    assert "killed" in joined.a.wait_over() and "killed" in joined.b.wait_over()


def test_rights_that_went_while_no_hub_ran(joined, hub, alice, admin):
    joined.both(1000)
    hub.process.kill()
    hub.lines = [line for line in hub.lines if not line.startswith("alice")]
    hub.write_users()
    hub.start()
    assert joined.a.wait_over() and joined.b.wait_over()
    wait_for(lambda: pairs(hub) == [] and rows(admin) == [], 20)


def test_no_hub_any_more(bench, alice):
    """A pair without a hub ends when it has waited long enough for one."""
    hub = Hub(bench, "--orphan-patience", "2s")
    user = User(bench, "carol").knows(hub)
    hub.add_user(user)
    joined = Joined(bench, hub, user)
    joined.both(1000)
    hub.process.kill()
    wait_for(lambda: pairs(hub) == [], 20)


def test_a_seen_line_after_a_restart(joined, hub):
    """The new hub does not know which epochs were used; and still nobody is cut off."""
    joined.both(1000)
    joined.a.cut()
    joined.a.wait_live()
    for edge in (joined.a, joined.b):
        edge.hold()
        edge.cut()
    restart(joined)
    thieves = []
    for edge in "ab":
        for epoch in (0, 1):
            sock = connect(hub)
            sock.sendall(preamble(joined.ticket, joined.key, edge, epoch))
            thieves.append(sock)
    joined.a.let_go()
    joined.b.let_go()
    joined.a.wait_live(40)
    joined.b.wait_live(40)
    joined.both(20_000).finish()
    for sock in thieves:
        sock.close()


def test_a_ticket_that_an_earlier_hub_gave(bench, hub, alice, admin, web01):
    """The hub ended before it had asked the machine: the next one does."""
    ticket, key = ticket_of(alice)
    late = Edge(hub, *ticket_of(alice), "a", start=False)
    time.sleep(1.1)  # tickets count in seconds
    hub.restart()
    edge = Edge(hub, ticket, key, "a", epoch=1)
    late.thread.start()
    bench.closers += [edge.close, late.close]
    for e in (edge, late):
        assert e.wait_received(8, 60).startswith(b"SSH-2.0-")
    assert len(rows(admin)) == 2


# --- the process ---

def test_a_pair_that_is_killed(joined, hub):
    joined.both(1000)
    (pid,) = pairs(hub)
    os.kill(pid, 9)
    wait_for(lambda: pairs(hub) not in ([], [pid]), 20)
    joined.a.wait_live()
    joined.b.wait_live()
    joined.both(20_000).finish()


def test_a_pair_that_stood_still(bench, hub, alice, admin, web01):
    """Longer than a hub waits for its answer: it is taken up when it goes on, or nobody could end it."""
    ticket, key = ticket_of(alice)
    edge = Edge(hub, ticket, key, "a")
    bench.closers.append(edge.close)
    edge.wait_received(8)
    (pid,) = pairs(hub)
    os.kill(pid, signal.SIGSTOP)
    try:
        hub.process.kill()
        hub.start()
        hub.process.wait_log("a pair of an earlier hub does not answer", 40)
    finally:
        os.kill(pid, signal.SIGCONT)
    (row,) = wait_for(lambda: rows(admin), 20)
    assert row[1:3] == ["alice", "web01"]
    admin.hub_says("kill", row[0]).ok()
    assert "killed by the hub's admin" in edge.wait_over()
    wait_for(lambda: pairs(hub) == [] and os.listdir(hub.state / "joins") == [], 20)


def test_strangers_in_the_folder(bench, hub, alice, admin):
    """What the next hub finds there beside its own."""
    joined = Joined(bench, hub, alice)
    joined.both(1000)
    hub.process.kill()
    folder = hub.state / "joins"
    (folder / "0123456789abcdef").write_text("no socket")
    listeners = []
    for name, answer in (("aaaa", None), ("bbbb", b"nonsense"), ("cccc", b'{"type":"paired","protocol":1,"ticket":"a.b","epoch_a":0,"epoch_b":0}'),
                         ("dddd", b'{"type":"paired","protocol":99}'), ("eeee", b"{" * 9000)):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(folder / name))
        listener.listen()
        listeners.append(listener)

        def serve(listener=listener, answer=answer):
            sock, _ = listener.accept()
            sock.recv(65536)
            if answer:
                sock.send(answer)
            with contextlib.suppress(OSError):
                sock.recv(65536)
                sock.recv(65536)
            sock.close()
        threading.Thread(target=serve, daemon=True).start()
    hub.start()
    joined.raw.connect().welcomed()
    wait_for(lambda: len(rows(admin)) == 1, 20)
    joined.both(20_000)
    assert joined.a.lives == 1
    for listener in listeners:
        listener.close()
    joined.finish()


# --- machines that stock OpenSSH publishes ---

def test_published(bench, hub, alice, sshd, admin):
    """Their side is a front and does not dial: it is given its connections."""
    nas = User(bench, "nas").knows(hub)
    hub.add_user(nas, 'publish="nas"')
    nas.start_ssh("-N", "-o", "ExitOnForwardFailure=yes", "-R", f"nas:22:127.0.0.1:{sshd.port}", "hub")
    hub.wait_online("nas")
    ticket, key = ticket_of(alice, "nas")
    edge = Edge(hub, ticket, key, "a")
    bench.closers.append(edge.close)
    edge.wait_received(8)
    for turn in range(3):
        edge.cut(reset=turn == 1)
        wait_for(lambda turn=turn: edge.lives == turn + 2, 20)
    hub.restart()
    edge.cut()
    wait_for(lambda: edge.lives == 5, 40)
    edge.write(b"SSH-2.0-by-hand\r\n")
    edge.wait_received(500)
    assert len(rows(admin)) == 1
    edge.finish()
    edge.wait_over()
    wait_for(lambda: pairs(hub) == [], 20)
    wait_for(lambda: rows(admin) == [], 60)
