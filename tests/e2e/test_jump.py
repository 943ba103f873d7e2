"""ssh -J to a machine, and all that people do with it."""
import hashlib
import os
import re
import socket
import subprocess

import pytest
from conftest import need, setup
from kit.parts import ME, SLOW, Agent, Sshd, keygen
from kit.tcp import Service
from kit.wait import free_port, listening, wait_for

MIB = 1 << 20
bench, hub, alice, admin, sshd, web01 = setup("module")


def randomfile(bench, name, size):
    path = bench.path(name)
    with open(path, "wb") as out:
        left = size
        while left:
            piece = os.urandom(min(left, 4 * MIB))
            out.write(piece)
            left -= len(piece)
    return path


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_command_output_and_exit_status(web01, alice):
    done = alice.jump("web01", "echo out; echo err >&2; exit 42")
    assert (done.status, done.out) == (42, "out\n") and "err\n" in done.err, done


def test_name_with_the_domain_and_any_case(web01, alice, hub):
    for name in (f"web01.{hub.domain}", "WEB01", f"Web01.{hub.domain.upper()}"):
        assert alice.jump(name, "echo here").ok().out == "here\n"


def test_killed_by_a_signal(web01, alice):
    assert alice.jump("web01", "kill -9 $$").status == 255
    done = alice.jump("web01", "echo alive")
    assert done.ok().out == "alive\n"


def test_the_machine_sees_the_users_own_key_exchange(web01, alice):
    """End to end: the host key that the client pinned for the machine is the machine's own."""
    alice.jump("web01", "true").ok()
    host_key = " ".join(open(f"{web01.sshd.host_key}.pub", encoding="ascii").read().split()[:2])
    lines = [line for line in alice.known_hosts.read_text().splitlines() if line.startswith("web01 ")]
    assert [line.split(" ", 1)[1] for line in lines] == [host_key]


def test_many_sessions_at_once(web01, alice):
    count = 30
    popens = [alice.jump_popen("web01", f"read line; echo {n} $line") for n in range(count)]
    for popen in popens:
        popen.stdin.write(b"said\n")
    for n, popen in enumerate(popens):
        out, err = popen.communicate(timeout=60)
        assert (popen.returncode, out) == (0, f"{n} said\n".encode()), err


def test_many_machines(bench, hub, alice):
    sshds = {}
    for n in range(1, 7):
        name = f"box{n:02}"
        sshds[name] = Sshd(bench).allow(alice)
        Agent(bench, hub, name, ssh=sshds[name], wait=False)
    for name in sshds:
        hub.wait_online(name, 20)
    assert alice.hub_says("list", "'box*'").ok().out.split() == sorted(sshds)
    for name, machine in sshds.items():
        done = alice.jump(name, "echo $SSH_CONNECTION").ok()
        assert done.out.split()[3] == str(machine.port), f"{name} is another machine: {done}"


def test_two_machines_do_not_clash_in_known_hosts(bench, hub, alice):
    """The first fault of the original program: both machines were the same name to ssh."""
    for name in ("one", "two"):
        Agent(bench, hub, name, ssh=Sshd(bench).allow(alice))
    for name in ("one", "two", "one", "two"):
        done = alice.jump(name, "echo", name, options=("-o", "StrictHostKeyChecking=accept-new"))
        assert done.ok().out == f"{name}\n"
        assert "CHANGED" not in done.err and "WARNING" not in done.err, done


def test_control_master(web01, alice, bench):
    path = bench.path("cm")
    alice.knows(alice.hub, extra_hub=["ControlMaster auto", f"ControlPath {path}", "ControlPersist 30"])
    try:
        first = alice.jump("web01", "echo one")
        assert first.ok().out == "one\n"
        assert path.exists()
        sessions = [alice.jump_popen("web01", f"echo {n}; cat") for n in range(10)]
        for n, popen in enumerate(sessions):
            assert popen.stdout.readline() == f"{n}\n".encode()
        assert len(alice.hub.fronts()) == 1, "all over one connection"
        for popen in sessions:
            popen.stdin.close()
            assert popen.wait(20) == 0
        assert alice.hub_says().ok().out.splitlines()[-1] == "web01"
    finally:
        alice.ssh("-O", "exit", "hub")


def test_control_master_of_the_inner_connection(web01, alice, bench):
    path = bench.path("cm-inner")
    options = ("-o", "ControlMaster=auto", "-o", f"ControlPath={path}", "-o", "ControlPersist=30")
    try:
        assert alice.jump("web01", "echo one", options=options).ok().out == "one\n"
        assert alice.jump("web01", "echo two", options=options).ok().out == "two\n"
    finally:
        alice.ssh("-o", f"ControlPath={path}", "-O", "exit", f"{ME}@web01")


def test_agent_forwarding(web01, alice, bench):
    socket_path = bench.path("ssh-agent")
    bench.start("ssh-agent", "ssh-agent", "-D", "-a", socket_path)
    wait_for(socket_path.exists, 5)
    extra = keygen(bench.path("forwarded"), comment="forwarded@test")
    env = {"SSH_AUTH_SOCK": str(socket_path)}
    bench.run("ssh-add", "-q", extra, env=env).ok()
    done = alice.jump("web01", "ssh-add -l", options=("-A", "-o", "IdentityAgent=SSH_AUTH_SOCK"), env=env)
    assert "forwarded@test" in done.ok().out


def hello_and_echo(client):
    """Says hello, then sends back what comes."""
    client.sendall(b"hello\n")
    while data := client.recv(65536):
        client.sendall(data)


def talk(port, via_socks=None):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        if via_socks:
            sock.sendall(b"\x05\x01\x00")
            assert sock.recv(2) == b"\x05\x00"
            sock.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + via_socks.to_bytes(2, "big"))
            assert sock.recv(10)[1] == 0
        text = sock.makefile("rwb")
        assert text.readline() == b"hello\n"
        text.write(b"there and back\n")
        text.flush()
        assert text.readline() == b"there and back\n"


def test_forwardings_inside(web01, alice, bench):
    echo = Service(bench, hello_and_echo)
    local, dynamic, remote = free_port(), free_port(), free_port()
    session = alice.jump_popen("web01", "echo up; cat", options=(
        "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{local}:127.0.0.1:{echo.port}", "-D", f"127.0.0.1:{dynamic}",
        "-R", f"127.0.0.1:{remote}:127.0.0.1:{echo.port}"))
    assert session.stdout.readline() == b"up\n", session.stderr.read()
    talk(local)
    talk(dynamic, via_socks=echo.port)
    talk(remote)


@pytest.mark.parametrize("protocol", ["sftp", "scp"])
def test_scp_both_ways(web01, alice, bench, protocol):
    source = randomfile(bench, "source", 5 * MIB + 17)
    there, back = bench.path("there"), bench.path("back")
    legacy = ["-O"] if protocol == "scp" else ["-s"]
    base = ["scp", "-q", *legacy, *alice.options(), "-o", "ProxyJump=hub"]
    bench.run(*base, source, f"{ME}@web01:{there}").ok()
    bench.run(*base, f"{ME}@web01:{there}", back).ok()
    assert digest(source) == digest(there) == digest(back)


def test_sftp(web01, alice, bench):
    source = randomfile(bench, "source", 3 * MIB + 1)
    batch = f"mkdir {bench.root}/d\nput {source} {bench.root}/d/x\nrename {bench.root}/d/x {bench.root}/d/y\nls {bench.root}/d\n" \
            f"get {bench.root}/d/y {bench.root}/back\nrm {bench.root}/d/y\nrmdir {bench.root}/d\n"
    done = bench.run("sftp", "-b", "-", *alice.options(), "-o", "ProxyJump=hub", f"{ME}@web01", input=batch).ok()
    assert "/d/y" in done.out
    assert digest(source) == digest(bench.path("back"))
    assert not bench.path("d").exists()


def test_rsync(web01, alice, bench):
    need("rsync")
    tree = bench.folder("tree")
    for n in range(40):
        (tree / f"file{n}").write_bytes(os.urandom(n * 1000))
    target = bench.path("copy")
    shell = f"ssh {alice.quoted_config()} -J hub"
    bench.run("rsync", "-a", "-e", shell, f"{tree}/", f"{ME}@web01:{target}/").ok()
    assert subprocess.run(["diff", "-r", tree, target], check=False).returncode == 0
    (tree / "file7").write_bytes(b"changed")
    done = bench.run("rsync", "-ai", "--delete", "-e", shell, f"{tree}/", f"{ME}@web01:{target}/").ok()
    assert [line.split()[1] for line in done.out.splitlines() if line.startswith("<f")] == ["file7"]


def test_git(web01, alice, bench):
    need("git")
    env = {"GIT_SSH_COMMAND": f"ssh {alice.quoted_config()} -J hub", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a",
           "GIT_AUTHOR_EMAIL": "a@test", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@test"}
    bare, work, again = bench.path("bare.git"), bench.path("work"), bench.path("again")
    bench.run("git", "init", "-q", "--bare", "-b", "main", bare, env=env).ok()
    bench.run("git", "init", "-q", "-b", "main", work, env=env).ok()
    (work / "file").write_bytes(os.urandom(MIB))
    bench.run("git", "add", "file", cwd=work, env=env).ok()
    bench.run("git", "commit", "-qm", "one", cwd=work, env=env).ok()
    url = f"ssh://{ME}@web01{bare}"
    bench.run("git", "push", "-q", url, "main", cwd=work, env=env).ok()
    bench.run("git", "clone", "-q", url, again, env=env).ok()
    assert digest(work / "file") == digest(again / "file")


def test_ssh_w(web01, alice):
    """ssh -W web01:22 hub: the machine's SSH banner comes through."""
    popen = alice.popen("-W", "web01:22", "hub")
    assert popen.stdout.readline().startswith(b"SSH-2.0-OpenSSH")


def test_half_close(web01, alice, bench):
    """The end of the input reaches the machine, and the output after it still comes back."""
    done = alice.jump("web01", "cat; sleep 0.3; echo after the end", input=b"data\n")
    assert done.ok().out == "data\nafter the end\n"
    # The other way: the machine ends first, what the user still sends is not an error.
    done = alice.jump("web01", "exec >&-; wc -c", input=b"x" * 300000)
    assert done.status in (0, 1), done


def test_half_close_of_the_outer_channel(web01, alice):
    """ssh -W itself: input ends, the machine's answer to it still arrives (sshd says goodbye to a client without a version)."""
    done = alice.ssh("-W", "web01:22", "hub", input=b"not ssh\r\n", timeout=30)
    assert done.out.startswith("SSH-2.0-OpenSSH")
    assert "Invalid SSH identification string" in done.out, done


def transfer(web01, alice, bench, size, options=(), timeout=300):
    source = randomfile(bench, "source", size)
    wanted = digest(source)
    up, down = bench.path("up"), bench.path("down")
    with open(source, "rb") as data:
        popen = subprocess.Popen(["ssh", *alice.options(), "-J", "hub", *options, f"{ME}@web01", f"cat >{up}"], stdin=data, env=bench.env(),
                                 cwd=bench.root)
        assert popen.wait(timeout) == 0
    assert digest(up) == wanted
    with open(down, "wb") as out:
        alice.jump("web01", f"cat {source}", stdout=out, timeout=timeout, options=options).ok()
    assert digest(down) == wanted
    # Both at once, over one inner connection.
    with open(source, "rb") as data, open(down, "wb") as out:
        popen = subprocess.Popen(["ssh", *alice.options(), "-J", "hub", *options, f"{ME}@web01", "cat"], stdin=data, stdout=out,
                                 env=bench.env(), cwd=bench.root)
        assert popen.wait(timeout) == 0
    assert digest(down) == wanted


@pytest.mark.slow
def test_100_mb_both_ways(web01, alice, bench):
    transfer(web01, alice, bench, 100 * MIB // (4 if SLOW > 1 else 1))


@pytest.mark.slow
def test_rekey_every_megabyte(web01, alice, bench):
    """-J passes no -o on, so the limit stands in the -F file, for the hub's connection too."""
    alice.knows(alice.hub, extra_all=["RekeyLimit 1M"])
    transfer(web01, alice, bench, (60 if SLOW == 1 else 16) * MIB)


@pytest.mark.long
@pytest.mark.parametrize("rekey", [False, True])
def test_one_gib_each_way(web01, alice, bench, rekey):
    if rekey:
        alice.knows(alice.hub, extra_all=["RekeyLimit 1M"])
    transfer(web01, alice, bench, 1 << 30, timeout=1800)


def test_interactive_session_with_a_terminal(web01, alice):
    done = alice.ssh("-tt", "-J", "hub", f"{ME}@web01", "tty && stty size", input=b"")
    assert re.search(r"/dev/pts/\d+\r\n", done.out), done


def test_sessions_end_when_the_client_is_gone(web01, alice, hub):
    popen = alice.jump_popen("web01", "echo up; cat")
    assert popen.stdout.readline() == b"up\n"
    assert hub.fronts()
    mark = web01.sshd.process.log_size()
    popen.kill()
    wait_for(lambda: not hub.fronts(), 15, "the front ends with its connection")
    web01.sshd.process.wait_log(r"Connection (closed|reset)|disconnect", 15, since=mark)


def test_only_the_ssh_service_can_be_reached(web01, alice, bench, hub):
    echo = Service(bench, hello_and_echo)
    assert listening(echo.port)
    for target in (f"web01:{echo.port}", f"127.0.0.1:{echo.port}", f"localhost:{web01.sshd.port}", f"web01:{web01.sshd.port}"):
        done = alice.ssh("-W", target, "hub", timeout=20)
        assert "hello" not in done.out and "SSH-2.0-OpenSSH" not in done.out, f"{target} was reached: {done}"
