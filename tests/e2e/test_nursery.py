"""Where the fronts come from: one process that forks them, and what they must not have in common."""
import os
import re
import signal
import socket
import struct

import pytest

from kit import proc
from kit.bench import BUILD, sanitized
from kit.parts import Hub, User, keygen
from kit.wait import wait_for


def nurseries(hub):
    return [pid for pid in proc.children(hub.process.pid) if "multissh-front --nursery" in proc.command_of(pid)]


def nursery(hub):
    return wait_for(lambda: nurseries(hub), 10, "there is a nursery")[0]


@pytest.fixture
def hub(bench):
    return Hub(bench)


@pytest.fixture
def alice(bench, hub):
    alice = User(bench)
    hub.add_user(alice)
    return alice.knows(hub)


def answered(alice):
    return alice.hub_says("list", timeout=60).status == 0


def idle(hub, alice):
    """A connection that stays; its front's pid."""
    before = set(hub.fronts())
    alice.start_ssh("-N", "hub")
    return wait_for(lambda: set(hub.fronts()) - before, 20, "a front").pop()


def read_exactly(sock, n):
    data = b""
    while len(data) < n:
        piece = sock.recv(n - len(data))
        assert piece, "the hub hung up"
        data += piece
    return data


def kexinit_cookie(hub):
    """The random bytes with which the server's key exchange begins (RFC 4253, 7.1)."""
    with socket.create_connection((hub.address, hub.port), 20) as sock:
        sock.sendall(b"SSH-2.0-test\r\n")
        line = b""
        while not line.endswith(b"\n"):
            line += read_exactly(sock, 1)
        assert line.startswith(b"SSH-2.0-")
        length, padding, kind = struct.unpack(">IBB", read_exactly(sock, 6))
        assert kind == 20 and padding < length < 4096
        return read_exactly(sock, 16)


def test_one_process_makes_them_all_and_they_are_the_hubs(hub, alice):
    mother = nursery(hub)
    fronts = {idle(hub, alice) for _ in range(3)}
    assert len(fronts) == 3 and nurseries(hub) == [mother]
    assert proc.children(mother) == [], "they are the hub's children, who waits for them"


def test_no_two_connections_share_their_random_bytes(hub):
    cookies = [kexinit_cookie(hub) for _ in range(20)]
    assert len(set(cookies)) == len(cookies)
    assert not any(cookie.strip(cookie[:1]) == b"" for cookie in cookies)


def test_a_front_has_nothing_of_the_nurserys(hub, alice):
    mother, first = nursery(hub), idle(hub, alice)
    second = idle(hub, alice)

    def links(pid):
        return {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}

    mothers = {target for target in links(mother).values() if target.startswith("socket:")}
    sockets = [{target for target in links(pid).values() if target.startswith("socket:")} for pid in (first, second)]
    assert len(mothers) == 1 and all(len(of) == 3 for of in sockets), "the connection, the hub, the next hub"
    assert not mothers & (sockets[0] | sockets[1]) and not sockets[0] & sockets[1]
    for pid in (first, second):
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            fields = dict(re.findall(r"^(\w+):\s+(\S+)", status.read(), re.M))
        assert fields["NoNewPrivs"] == "1"
        assert sanitized() or fields["Seccomp"] == "2", "its own filter"


def test_a_crash_changes_the_layout_of_those_that_follow(hub, alice):
    """Whoever makes one front crash learns nothing for the next try: it comes from another nursery."""
    mother, front = nursery(hub), idle(hub, alice)
    other = idle(hub, alice)
    os.kill(front, signal.SIGTRAP)
    hub.wait_log(r"the front of 127\.0\.0\.1 was ended by signal 5")
    wait_for(lambda: mother not in nurseries(hub), 10, "the old one ends")
    assert answered(alice)
    assert nursery(hub) != mother
    assert other in hub.fronts(), "the others go on"


def test_it_is_replaced_when_it_dies(hub, alice):
    mother, front = nursery(hub), idle(hub, alice)
    os.kill(mother, signal.SIGKILL)
    hub.wait_log(r"was ended by signal 9; there will be another")
    assert answered(alice)
    assert nursery(hub) != mother and front in hub.fronts()


def test_a_new_host_key_is_used_at_once(hub, alice):
    assert answered(alice)
    old, mother = alice.known_hosts.read_text(), nursery(hub)
    new = keygen(alice.folder / "new_host_key", comment="host")
    os.replace(new, hub.state / "ssh_host_ed25519_key")
    refused = alice.hub_says("list")
    assert refused.status != 0 and "REMOTE HOST IDENTIFICATION HAS CHANGED" in refused.err
    alice.known_hosts.unlink()
    assert answered(alice)
    assert alice.known_hosts.read_text() != old and nursery(hub) != mother


def test_a_host_key_that_cannot_be_read_is_said(hub, alice):
    assert answered(alice)
    key = hub.state / "ssh_host_ed25519_key"
    good = key.read_bytes()
    key.write_text("no key\n")
    assert alice.hub_says("list").status == 255
    hub.wait_log(r"ssh_host_ed25519_key is not an OpenSSH private key")
    key.write_bytes(good)
    assert answered(alice), "and when it is mended the next connection is served"


def test_it_ends_with_the_hub_and_its_fronts_do_not(hub, alice):
    mother, front = nursery(hub), idle(hub, alice)
    hub.restart(number=signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{mother}") or "multissh-front" not in proc.command_of(mother), 10, "the old one ends")
    hub.wait_log(r"took up 1 users' connections")
    assert "multissh-front --serving" in proc.command_of(front)
    assert answered(alice)


def connect(hub, count):
    socks = [socket.create_connection((hub.address, hub.port), 30) for _ in range(count)]
    for sock in socks:
        sock.settimeout(60)
        sock.sendall(b"SSH-2.0-test\r\n")
    return socks


def banner(sock):
    try:
        return sock.recv(4)
    except ConnectionResetError:
        return b""


def test_more_at_once_than_its_socket_holds(bench):
    """What the nursery has not taken yet waits; nobody is turned away."""
    hub = Hub(bench, "--unauthenticated-per-source", "1000", "--unauthenticated-max", "1000")
    mother = nursery(hub)
    os.kill(mother, signal.SIGSTOP)
    try:
        socks = connect(hub, 400)
        hub.command("list")  # what came before is taken in by now
    finally:
        os.kill(mother, signal.SIGCONT)
    answers = [banner(sock) for sock in socks]
    assert answers.count(b"SSH-") == len(socks), hub.log()
    for sock in socks:
        sock.close()
    wait_for(lambda: not hub.fronts(), 60, "they end")


@pytest.mark.slow
def test_one_that_does_not_answer_is_replaced(hub, alice):
    mother = nursery(hub)
    os.kill(mother, signal.SIGSTOP)
    sock, = connect(hub, 1)
    hub.wait_log(r"does not answer: it is ended", 40)
    assert banner(sock) == b"", "what was asked of it is closed"
    assert answered(alice) and nursery(hub) != mother


def test_a_key_exchange_that_quantum_computers_do_not_break(hub, alice):
    """Where the build was given a libssh that knows it; a client that wants nothing else is refused otherwise."""
    cache = (BUILD / "CMakeCache.txt").read_text()
    known = re.search(r"^MULTISSH_LIBSSH:PATH=(.+)$", cache, re.M) is not None
    done = alice.ssh("-v", "-o", "KexAlgorithms=sntrup761x25519-sha512@openssh.com", "hub", "list", timeout=60)
    if known:
        assert done.status == 0 and "kex: algorithm: sntrup761x25519-sha512@openssh.com" in done.err
    else:
        assert done.status == 255 and "no matching key exchange method found" in done.err
