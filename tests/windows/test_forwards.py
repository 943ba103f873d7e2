"""Ports forwarded to and from the Windows machine: -L, -R, -D, -W. Its loopback address is this system's."""
import hashlib
import os
import socket
import threading

import pytest
from conftest import PROBE, setup
from kit.wait import free_port, listening, wait_for
from kit.wine import ME, WinAgent

bench, hub, alice, winbox = setup()


def ssh_n(alice, *options, machine="winbox"):
    return alice.start_ssh("-N", "-o", "ExitOnForwardFailure=yes", "-J", "hub", *options, f"{ME}@{machine}")


def talk(port, data, address="127.0.0.1"):
    """Sends it all, ends its side, and returns all that came back."""
    with socket.create_connection((address, port), timeout=30) as sock:
        got = bytearray()

        def read():
            while part := sock.recv(65536):
                got.extend(part)
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        reader.join(60)
        assert not reader.is_alive(), f"{len(got)} of {len(data)} bytes came back"
        return bytes(got)


@pytest.fixture
def echo(bench, prefix):
    """A program on the Windows machine that gives back what it gets, on one connection."""
    port = free_port()
    prefix.start(bench, "echo", PROBE, "echo", port).wait_log("listening")
    return port


@pytest.fixture
def here(bench):
    """The same here, for any number of connections."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(sock):
        with sock:
            while data := sock.recv(65536):
                sock.sendall(data)

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(sock,), daemon=True).start()
    threading.Thread(target=serve, daemon=True).start()
    bench.closers.append(listener.close)
    return listener.getsockname()[1]


DATA = os.urandom(2_000_000)


def test_to_there(winbox, alice, echo):
    port = free_port()
    ssh_n(alice, "-L", f"{port}:127.0.0.1:{echo}")
    wait_for(lambda: listening(port), 20)
    assert talk(port, DATA) == DATA


def test_to_there_by_name(winbox, alice, echo):
    port = free_port()
    ssh_n(alice, "-L", f"{port}:localhost:{echo}")
    wait_for(lambda: listening(port), 20)
    assert talk(port, DATA) == DATA


def test_to_where_nobody_listens(winbox, alice):
    port, dead = free_port(), free_port()
    client = ssh_n(alice, "-L", f"{port}:127.0.0.1:{dead}")
    wait_for(lambda: listening(port), 20)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        assert sock.recv(1) == b""
    client.wait_log("refused|failed")
    assert client.running()


def test_back_from_there(winbox, alice, here):
    port = free_port()
    ssh_n(alice, "-R", f"{port}:127.0.0.1:{here}")
    wait_for(lambda: listening(port), 20)
    threads = [threading.Thread(target=lambda: results.append(talk(port, DATA) == DATA)) for _ in range(4)]
    results = []
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [True] * 4


def test_back_from_a_port_that_it_chooses(winbox, alice, here):
    client = ssh_n(alice, "-R", f"0:127.0.0.1:{here}")
    port = int(client.wait_log(r"Allocated port (\d+)", 20).group(1))
    assert talk(port, DATA) == DATA
    client.stop()
    wait_for(lambda: not listening(port), 20, "it listens no more when the client has gone")


def test_a_port_that_is_taken(winbox, alice, here):
    client = ssh_n(alice, "-R", f"{here}:127.0.0.1:{here}")
    assert client.popen.wait(30) == 255
    assert "remote port forwarding failed" in client.log()


def test_socks(winbox, alice, echo):
    port = free_port()
    ssh_n(alice, "-D", port)
    wait_for(lambda: listening(port), 20)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(b"\x05\x01\x00")
        assert sock.recv(2) == b"\x05\x00"
        sock.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + echo.to_bytes(2, "big"))
        assert sock.recv(10)[:2] == b"\x05\x00"
        sock.sendall(b"through socks")
        assert sock.recv(100) == b"through socks"


def test_standard_input_to_there(winbox, alice, echo):
    done = alice.ssh("-J", "hub", "-W", f"127.0.0.1:{echo}", f"{ME}@winbox", input=DATA).ok()
    assert hashlib.sha256(done.raw).digest() == hashlib.sha256(DATA).digest()


def test_forwarding_may_be_forbidden(bench, hub, alice, prefix, here):
    agent = WinAgent(bench, hub, prefix, users=[alice], sshd_conf="local-forwarding = no\nremote-forwarding = no\n")
    agent.wait_ssh("built-in", "ok")
    assert alice.ssh("-J", "hub", "-W", f"127.0.0.1:{here}", f"{ME}@{agent.name}", input="x").failed().says("prohibited|not allowed|forbid|refused")
    assert ssh_n(alice, "-R", f"0:127.0.0.1:{here}", machine=agent.name).popen.wait(30) == 255
