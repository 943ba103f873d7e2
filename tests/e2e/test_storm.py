"""Many machines at once: who cannot be taken is told when to come again, and a machine that was here resumes."""
import re
import signal
import ssl

import pytest
from kit.parts import Agent, Hub, User
from kit.wait import wait_for
from kit.wire import CONTROL, Control, connect, send_quietly, tls

BUSY = rb"MULTISSH/1 busy retry_ms=(\d+)\n"


def answer_of(sock):
    data = b""
    sock.settimeout(10)
    while piece := sock.recv(4096):
        data += piece
    return data


def taken(hub):
    """A connection that takes one of the places of those who have not said who they are."""
    sock = connect(hub)
    sock.sendall(b"M")
    return sock


def test_over_a_limit_everybody_is_told(bench):
    """At once: before a word was said, and whatever is said."""
    hub = Hub(bench, "--unauthenticated-per-source", "1", "--login-grace", "60s")
    with taken(hub):
        for words in (b"", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00\x05", b"MULTISSH/1 ticket="):
            with connect(hub) as sock:
                if words:
                    send_quietly(sock, words)
                match = re.fullmatch(BUSY, answer_of(sock))
                assert match and 900 <= int(match[1]) <= 60000
    user = User(bench).knows(hub)
    hub.add_user(user)
    wait_for(lambda: user.hub_says("whoami").status == 0, 10, "room again")


def test_a_machine_obeys_and_is_let_in(bench):
    hub = Hub(bench, "--unauthenticated-per-source", "1", "--login-grace", "60s")
    line = hub.invite("web01")
    with taken(hub):
        agent = Agent(bench, hub, "web01", target=line, wait=False)
        agent.process.wait_log(r"too much to do at the moment; trying again in \d+ s", timeout=40)
        hub.wait_log(r"told to come again in \d+ ms: too many connections of this source")
    agent.process.wait_log("welcomed as web01", timeout=40)


def test_an_old_agent_is_none_the_worse(bench):
    """Who does not know the line finds no TLS there, and nothing else."""
    hub = Hub(bench, "--unauthenticated-per-source", "1", "--login-grace", "60s")
    with taken(hub), pytest.raises((ssl.SSLError, ConnectionError)):
        tls(hub, CONTROL)

    def comes_in():
        try:
            return Control(bench, hub).hello().receive()["type"] == "held"
        except (ssl.SSLError, ConnectionError):
            return False
    wait_for(comes_in, 10, "room again")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_machine_resumes_over_a_restart(bench, number):
    hub = Hub(bench)
    agent = Agent(bench, hub, "web01")
    hub.restart(number=number)
    hub.wait_log(r"web01 is online, .*, resumed", timeout=40)
    # Revoked, it resumes as nobody; another may have its name, and it does not get that.
    hub.command("revoke", "web01")
    hub.restart(number=number)
    agent.process.wait_log("held by the hub", timeout=90)
    assert "web01 is online" not in hub.log()


def test_another_secret_wants_a_full_handshake(bench):
    hub = Hub(bench)
    Agent(bench, hub, "web01")
    hub.process.stop(number=signal.SIGKILL)
    (hub.state / "secret").unlink()
    hub.start()
    hub.wait_log(r"web01 is online, from \S+ \(SHA256:\S+\)$", timeout=40)
