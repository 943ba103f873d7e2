"""Refusals explain themselves in the client's own output, and other sessions on the same connection live on."""
import re
import socket
import threading

import pytest
from conftest import need
from kit.parts import ME, Agent, Hub, Sshd, User
from kit.wait import free_port, wait_for
from kit.wire import Control


def test_unknown_machine(hub, alice):
    done = alice.jump("nosuch", "true").failed(255)
    assert re.search(r"nosuch", done.err) and re.search(r"no machine|unknown|not known|does not exist|no such", done.err, re.I), done


def test_offline_since_when_and_why(web01, alice, hub):
    web01.stop()
    hub.wait_offline("web01")
    done = alice.jump("web01", "true").failed(255)
    assert re.search(r"web01 is offline, last seen \d+ (s|sec|seconds|min|minutes)\b.* ago \(.+\)", done.err), done


def test_offline_after_a_restart_of_the_hub(web01, alice, hub):
    """The time and the reason are kept."""
    web01.stop()
    hub.wait_offline("web01")
    hub.restart()
    done = alice.jump("web01", "true").failed(255)
    assert re.search(r"web01 is offline, last seen .* ago", done.err), done


def test_no_ssh_server_on_the_machine(bench, hub, alice):
    port = free_port()
    Agent(bench, hub, "bare", ssh=f"127.0.0.1:{port}", command_flags=["--ssh-mode", "openssh"])
    done = alice.jump("bare", "true").failed(255)
    assert re.search(r"bare", done.err) and re.search(r"SSH server|refused", done.err, re.I) and str(port) in done.err, done
    # And from the moment that one is there, it works: probed, not assumed.
    Sshd(bench, port=port).allow(alice)
    wait_for(lambda: alice.jump("bare", "echo there").out == "there\n", 15)


def test_something_else_listens_there(bench, hub, alice):
    listener = socket.create_server(("127.0.0.1", 0))
    bench.closers.append(listener.close)

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.sendall(b"220 mail.example ESMTP\r\n")
            kept.append(client)
    kept = []
    threading.Thread(target=serve, daemon=True).start()
    Agent(bench, hub, "mail", ssh=f"127.0.0.1:{listener.getsockname()[1]}", command_flags=["--ssh-mode", "openssh"])
    done = alice.jump("mail", "true", timeout=30).failed(255)
    assert re.search(r"not (an )?SSH|no SSH", done.err, re.I), done


def test_a_mute_server(bench, alice, hub):
    """It takes the connection and says nothing: the user is told, in time."""
    listener = socket.create_server(("127.0.0.1", 0))
    bench.closers.append(listener.close)
    Agent(bench, hub, "mute", ssh=f"127.0.0.1:{listener.getsockname()[1]}")
    done = alice.jump("mute", "true", timeout=40).failed(255)
    assert re.search(r"mute.*(time|answer|silent|SSH)", done.err, re.I | re.S), done
    assert done.took < 25, done


def test_an_agent_that_does_not_answer(bench, alice):
    hub = Hub(bench, "--dial-timeout", "2s")
    alice.knows(hub)
    hub.add_user(alice)
    raw = Control(bench, hub, "raw01", hub.invite("raw01")).welcomed()
    done = alice.jump("raw01", "true", timeout=20).failed(255)
    assert re.search(r"raw01.*(time|answer)", done.err, re.I | re.S) and done.took < 10, done
    assert raw.receive("dial")


def test_reasons_of_the_agent_reach_the_user(bench, hub, alice):
    raw = Control(bench, hub, "raw01", hub.invite("raw01")).welcomed()
    session = alice.jump_popen("raw01", "true")
    dial = raw.receive("dial")
    assert dial["user"] == "alice" and dial["source"].startswith("127.0.0.1")
    raw.send({"type": "failed", "id": dial["id"], "code": "busy", "reason": "the kettle \x1b[31mis\x07 on"})
    _, err = session.communicate(timeout=20)
    assert session.returncode == 255 and b"kettle" in err, err
    assert b"\x1b" not in err and b"\x07" not in err, "control bytes of a machine must not reach a terminal"


def test_too_many_sessions_of_a_user(bench, sshd):
    hub = Hub(bench, "--sessions-per-user", "2")
    user, other = User(bench, "alice").knows(hub), User(bench, "bob").knows(hub)
    hub.add_user(user)
    hub.add_user(other)
    sshd.allow(user).allow(other)
    Agent(bench, hub, "web01", ssh=sshd)
    two = [user.jump_popen("web01", "echo up; cat") for _ in range(2)]
    for session in two:
        assert session.stdout.readline() == b"up\n"
    done = user.jump("web01", "true").failed(255)
    assert re.search(r"too many|sessions", done.err, re.I) and "2" in done.err, done
    assert other.jump("web01", "echo fine").ok().out == "fine\n"
    two[0].stdin.close()
    two[0].wait(15)
    wait_for(lambda: user.jump("web01", "echo room").out == "room\n", 10)


def test_too_many_sessions_on_a_machine(bench, sshd):
    hub = Hub(bench, "--sessions-per-machine", "1")
    user = User(bench, "alice").knows(hub)
    hub.add_user(user)
    sshd.allow(user)
    Agent(bench, hub, "web01", ssh=sshd)
    Agent(bench, hub, "web02", ssh=sshd)
    first = user.jump_popen("web01", "echo up; cat")
    assert first.stdout.readline() == b"up\n"
    done = user.jump("web01", "true").failed(255)
    assert re.search(r"too many|sessions", done.err, re.I), done
    assert user.jump("web02", "echo other").ok().out == "other\n"


def test_refusals_in_a_shared_connection_leave_the_others(bench, web01, alice, hub):
    path = bench.path("cm")
    alice.knows(hub, extra_hub=["ControlMaster auto", f"ControlPath {path}", "ControlPersist 30"])
    try:
        session = alice.jump_popen("web01", "echo up; cat")
        assert session.stdout.readline() == b"up\n"
        for _ in range(3):
            done = alice.jump("nosuch", "true").failed(255)
            assert "nosuch" in done.err, done
        session.stdin.write(b"lives\n")
        assert session.stdout.readline() == b"lives\n"
        assert len(hub.fronts()) == 1
    finally:
        alice.ssh("-O", "exit", "hub")


def test_in_plinks_own_output(bench, hub, alice):
    need("plink", "puttygen")
    outer = f"plink -batch -ssh -i {alice.ppk()} -P {hub.port} -l alice -nc %host:%port {hub.address}"
    from test_clients import fingerprint
    outer = outer.replace("-batch", f"-batch -hostkey {fingerprint(hub.state / 'ssh_host_ed25519_key.pub')}")
    done = bench.run("plink", "-batch", "-i", alice.ppk(), "-proxycmd", outer, f"{ME}@nosuch", "true").failed()
    assert "nosuch" in done.err and re.search(r"no machine|unknown|not known|does not exist|no such", done.err, re.I), done


def test_the_packet_itself(hub, alice):
    """SSH-2.0-multiSSH, one unencrypted SSH_MSG_DISCONNECT packet (RFC 4253 §6, §11.1), then the end."""
    done = alice.ssh("-W", "nosuch:22", "hub", timeout=20)
    version, _, packet = done.raw.partition(b"\r\n")
    assert version == b"SSH-2.0-multiSSH", done
    length, padding = int.from_bytes(packet[:4], "big"), packet[4]
    assert length + 4 == len(packet) and len(packet) % 8 == 0 and padding >= 4
    payload = packet[5:len(packet) - padding]
    assert payload[0] == 1 and int.from_bytes(payload[1:5], "big") == 11
    text = payload[9:9 + int.from_bytes(payload[5:9], "big")]
    assert b"nosuch" in text and len(text) + 9 + 4 == len(payload), "description and an empty language tag"


def test_hub_shutting_down(bench, hub, alice):
    """Somebody whose jump is still being opened is told."""
    raw = Control(bench, hub, "raw01", hub.invite("raw01")).welcomed()
    session = alice.jump_popen("raw01", "true")
    assert raw.receive("dial")
    hub.command("stop", "--all")
    _, err = session.communicate(timeout=20)
    assert session.returncode == 255 and re.search(rb"shut|stop|going down|ending", err, re.I), err
    assert raw.receive("bye")["code"] == "shutdown"


def test_names_are_not_a_way_to_forge_output(hub, alice):
    for name in ("a\x1b[31mb", "x" * 300, "a\nb"):
        done = alice.ssh("-W", f"[{name}]:22", "hub", timeout=20)
        assert b"\x1b" not in done.raw + done.raw_err, done
    mark = hub.mark()
    assert "\x1b" not in hub.log() and hub.process.running() and mark


@pytest.mark.parametrize("target", ["web01:23", "web01:80", "web01:65535"])
def test_other_ports(web01, alice, target):
    done = alice.ssh("-W", target, "hub", timeout=20)
    assert b"SSH-2.0-OpenSSH" not in done.raw
    assert b"port" in done.raw.lower() or "22" in done.err, done
