"""The agent and the network: restarts, proxies, firewalls, dead hubs, many addresses."""
import re
import signal
import socket
import time

import pytest
from conftest import need
from kit import tcp
from kit.net import two_homes
from kit.parts import ME, Agent, Hub, Sshd, User
from kit.wait import free_port, listening, wait_for
from kit.wire import Tap


def test_back_after_a_restart_of_the_hub(web01, alice, hub):
    hub.process.stop()
    web01.wait_log(r"(again|retry|next try|reconnect|in \d).*")
    hub.start()
    hub.wait_online("web01", 20)
    assert alice.jump("web01", "echo back").ok().out == "back\n"


def test_back_after_the_hub_was_killed(web01, alice, hub):
    hub.process.kill()
    hub.start()
    hub.wait_online("web01", 20)
    assert alice.jump("web01", "echo back").ok().out == "back\n"


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_restarts_in_a_row_make_it_no_slower(web01, hub, way):
    """New sessions wait 15 s for a machine whose hub was restarted: it has to be back by then, also after the fifth time."""
    for _ in range(5):
        hub.wait_online("web01", 20)
        mark = web01.mark()
        getattr(hub.process, way)()
        web01.wait_log(r"cannot reach the hub.*refused", since=mark)
        hub.start()
        pauses = [int(n) for n in re.findall(r"trying again in (\d+) s", web01.log(mark))]
        assert pauses and max(pauses) <= 8, web01.log(mark)


def test_says_in_one_line_what_it_is_doing(web01, hub):
    mark = web01.mark()
    hub.process.stop()
    web01.wait_log(r"^.*(hub|127\.0\.0\.1).*(again|retry|try|reconnect).*\d+(\.\d+)? ?(ms|s)\b.*$", since=mark)
    end = time.monotonic() + 4
    wait_for(lambda: time.monotonic() > end, 6)
    lines = web01.log(mark).splitlines()
    assert len(lines) <= 12, "it retries with backoff, not in a storm:\n" + "\n".join(lines)


def test_stopped_agent_goes_in_order(web01, hub):
    assert web01.stop() == 0
    hub.wait_offline("web01", 5)
    assert re.search(r"signal|stopped|shut|ended|bye|on purpose", hub.command("why", "web01").out, re.I)


def test_several_hub_addresses(bench, hub, alice, sshd):
    """The first ones lead nowhere."""
    sshd.allow(alice)
    agent = Agent(bench, hub, "web01", ssh=sshd)
    agent.stop()
    agent.run("--hub", f"127.0.0.1:{free_port()}", "--hub", f"127.0.0.1:{free_port()}", "--hub", hub.public)
    hub.wait_online("web01", 20)
    assert alice.jump("web01", "echo third").ok().out == "third\n"


def test_a_name_that_does_not_resolve_is_not_the_end(bench, hub, sshd):
    agent = Agent(bench, hub, "web01", ssh=sshd)
    agent.stop()
    agent.run("--hub", "no-such-host.invalid:2244", "--hub", hub.public)
    hub.wait_online("web01", 30)


# --- streams ---

@pytest.mark.parametrize("streams", ["plain", "tls"])
def test_streams(bench, hub, alice, sshd, streams):
    sshd.allow(alice)
    seen = Tap(bench, hub)
    hub_public = f"127.0.0.1:{seen.port}"
    code = hub.invite("web01").rpartition("/")[2]
    Agent(bench, hub, "web01", ssh=sshd, target=f"{hub_public}/{code}", command_flags=["--streams", streams])
    data = bytes(range(256)) * 12000
    assert alice.jump("web01", "cat", input=data).ok().raw == data
    firsts = [first[:1] for first in seen.firsts]
    assert firsts[0] == b"\x16", "the control connection is TLS"
    assert set(firsts[1:]) == ({b"M"} if streams == "plain" else {b"\x16"}), seen.firsts


@pytest.mark.slow
def test_streams_auto_falls_back_to_tls(bench, hub, alice, sshd):
    sshd.allow(alice)
    tap = Tap(bench, hub, only_tls=True)
    code = hub.invite("web01").rpartition("/")[2]
    Agent(bench, hub, "web01", ssh=sshd, target=f"127.0.0.1:{tap.port}/{code}")
    first = alice.jump("web01", "echo behind the wall", timeout=60)
    assert first.ok().out == "behind the wall\n"
    assert any(f.startswith(b"MULTISSH/") for f in tap.firsts) and tap.firsts[-1][:1] == b"\x16", tap.firsts
    # It remembers: the next jump is quick, and tries nothing else first.
    count = len(tap.firsts)
    assert alice.jump("web01", "echo quick").ok().out == "quick\n"
    assert [f[:1] for f in tap.firsts[count:]] == [b"\x16"]


# --- proxies ---

class ConnectProxy:
    """A small HTTP CONNECT proxy that wants a password."""

    def __init__(self, bench, auth=None, answer=None):
        self.auth, self.answer, self.requests = auth, answer, []
        self.port = tcp.Service(bench, self._one).port

    def _one(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(4096)
            if not piece:
                return
            head += piece
        self.requests.append(head.decode())
        if self.answer:
            client.sendall(self.answer)
            return
        if self.auth and f"Basic {self.auth}" not in head.decode():
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        server = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        tcp.relay(client, server)


def test_through_tinyproxy(bench, hub, alice, sshd):
    need("tinyproxy")
    sshd.allow(alice)
    port = free_port()
    config = bench.path("tinyproxy.conf")
    config.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 50\nAllow 127.0.0.1\nConnectPort {hub.port}\nLogLevel Connect\n")
    proxy = bench.start("tinyproxy", "tinyproxy", "-d", "-c", config)
    wait_for(lambda: listening(port), 10)
    Agent(bench, hub, "web01", ssh=sshd, command_flags=["--proxy", f"http://127.0.0.1:{port}"])
    data = bytes(range(256)) * 8000
    assert alice.jump("web01", "cat", input=data, timeout=60).ok().raw == data
    assert proxy.log().count("CONNECT") >= 2, "control connection and stream"


def test_through_a_proxy_with_a_password(bench, hub, alice, sshd):
    sshd.allow(alice)
    proxy = ConnectProxy(bench, auth="dXNlcjpwQHNz")  # user:p@ss
    agent = Agent(bench, hub, "web01", ssh=sshd, command_flags=["--proxy", f"http://user:p%40ss@127.0.0.1:{proxy.port}"])
    assert alice.jump("web01", "echo proxied").ok().out == "proxied\n"
    assert len(proxy.requests) >= 2
    assert "p@ss" not in agent.log() and "p%40ss" not in agent.log()


def test_proxy_of_the_environment(bench, hub, sshd, alice):
    sshd.allow(alice)
    proxy = ConnectProxy(bench)
    Agent(bench, hub, "web01", ssh=sshd, command_flags=["--proxy", "env"], env={"https_proxy": f"http://127.0.0.1:{proxy.port}"})
    assert alice.jump("web01", "echo env").ok().out == "env\n"
    assert len(proxy.requests) >= 2


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 Forbidden\r\n\r\n", b"HTTP/1.1 407 Auth\r\n\r\n", b"garbage\r\n\r\n", b"x" * 20000, b""])
def test_a_proxy_that_refuses_is_named(bench, hub, answer):
    proxy = ConnectProxy(bench, answer=answer or b"\n")
    agent = Agent(bench, hub, "web01", ssh=f"127.0.0.1:{free_port()}", wait=False, command_flags=["--proxy", f"http://127.0.0.1:{proxy.port}"])
    agent.wait_log("proxy", 15)
    assert not hub.is_online("web01") and agent.process.running()


# --- a dead network ---

def start_homes(bench, net, *hub_flags):
    hosts = two_homes(net)
    hub = Hub(bench, *hub_flags, address="203.0.113.10", port=2244, netns=hosts["hub"])
    user = User(bench, "alice", netns=hosts["user"]).knows(hub)
    hub.add_user(user)
    ssh = Sshd(bench, netns=hosts["machine"], port=2022).allow(user)
    agent = Agent(bench, hub, "web01", ssh=ssh, netns=hosts["machine"])
    return hosts, hub, user, agent


@pytest.mark.slow
def test_a_dead_hub_is_noticed_within_20_s_and_the_way_back_at_once(bench, net):
    """The network goes without a word: nothing is answered, nothing is reset."""
    hosts, hub, user, agent = start_homes(bench, net)
    mark, began = agent.mark(), time.monotonic()
    hosts["inet"].nft("table ip cut { chain forward { type filter hook forward priority -10; }; }",
                      "add rule ip cut forward ip daddr 203.0.113.10 drop", "add rule ip cut forward ip saddr 203.0.113.10 drop")
    agent.wait_log(r"(no (answer|sign|word)|heard nothing|silent|dead|keepalive|lost|timed out|not answer)", 25, since=mark)
    assert time.monotonic() - began < 20.9, "noticed within 20 s"
    hub.wait_offline("web01", 25)
    why = hub.command("why", "web01").out
    assert re.search("keepalive|lost|silent|nothing|broke", why, re.I), why
    hosts["inet"].run("nft", "delete", "table", "ip", "cut")
    hub.wait_online("web01", 70)
    assert user.jump("web01", "echo again").ok().out == "again\n"


@pytest.mark.slow
def test_at_once_when_the_network_comes_back(bench, net):
    """The machine's own interface goes and comes back while the agent waits for a next try far away."""
    hosts, hub, user, agent = start_homes(bench, net)
    machine = hosts["machine"]
    machine.down("eth0")
    hub.wait_offline("web01", 30)
    # Let the backoff grow: several failed tries.
    wait_for(lambda: len(re.findall(r"unreachable|failed|cannot|retry|again", agent.log(), re.I)) >= 4, 60)
    machine.up("eth0")
    net.route(machine, "10.77.1.1")
    hub.wait_online("web01", 5)


def test_users_come_from_a_loopback_address_of_their_own(bench, hub, sshd):
    """So that one user's failures do not make the machine's sshd lock out all."""
    users = []
    for name in ("alice", "bob"):
        user = User(bench, name).knows(hub)
        hub.add_user(user)
        sshd.allow(user)
        users.append(user)
    Agent(bench, hub, "web01", ssh=sshd)
    sources = [user.jump("web01", "echo ${SSH_CLIENT%% *}").ok().out.strip() for user in users for _ in range(2)]
    assert sources[0] == sources[1] != sources[2] == sources[3]
    for source in sources:
        assert re.fullmatch(r"127\.\d+\.\d+\.\d+", source) and source != "127.0.0.1", sources
    assert f"Accepted publickey for {ME} from {sources[0]}" in sshd.log()


def test_sighup_and_wrong_options_of_the_agent(bench, hub, web01):
    from kit.bench import program
    web01.process.send(signal.SIGHUP)
    assert hub.is_online("web01") and web01.process.running()
    for flags in (["--streams", "carrier-pigeon"], ["--ssh", "not an address"], ["--nosuch"], ["--proxy", "ftp://x"]):
        bench.run(program("multissh-agent"), "--state", bench.folder("a"), *flags, "run", timeout=10).failed().says(flags[0].lstrip("-"))
