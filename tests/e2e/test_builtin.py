"""The built-in SSH server, multissh-sshd, through a hub: the same client, the same commands, and no sshd on the machine."""
import concurrent.futures
import os
import pwd
import re
import shutil
import signal
import socket
import threading
import time

import pytest
from conftest import need, setup
from kit import proc, tcp
from kit.bench import program
from kit.builtin import unavailable
from kit.parts import ME, SLOW, Agent, Hub, Sshd, User, keygen, public_key
from kit.wait import free_port, wait_for

bench, hub, alice, admin, _, _ = setup("module")

# The sessions here are of whoever runs the tests, whose own start-up files may do anything, and slowly: for root the agent sees none.
BARE = ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
        'for f in .bashrc .bash_profile .bash_login .profile; do [ ! -e "$0/$f" ] || mount --bind /dev/null "$0/$f"; done; exec "$@"',
        pwd.getpwuid(os.geteuid()).pw_dir]


class Builtin(Agent):
    """An agent on a machine without an SSH server; the users given get in by their keys."""

    def __init__(self, bench, hub, name="nas", users=(), ssh=None, conf="", sshd_socket="none", **more):
        state = bench.folder(f"agent-{name}")
        self.port = free_port()
        self.sshd_state = state / "sshd"
        self.sshd_state.mkdir(mode=0o700)
        self.authorized = self.sshd_state / "authorized_keys"
        self.authorized.write_text("".join(user.public + "\n" for user in users))
        # The folders above are /tmp and this test's own.
        (self.sshd_state / "sshd.conf").write_text(f"authorized-keys = {self.authorized}\nstrict-modes = no\n{conf}")
        flags = ["--sshd-socket", str(sshd_socket), *more.pop("command_flags", [])]
        super().__init__(bench, hub, name, ssh=ssh or f"127.0.0.1:{self.port}", state=state, command_flags=flags, **more)

    def _start(self, *argv):
        bare = os.geteuid() == 0 and "PATH" not in (self.env or {}) and unavailable() is None
        return super()._start(*(BARE if bare else ()), *argv)

    def own_sshd(self, *users, options=()):
        """Its own SSH server is started, where the agent looks for it."""
        server = Sshd(self.bench, port=self.port, options=options)
        for user in users:
            server.allow(user)
        return server

    def row(self):
        return self.hub.machines()[self.name]

    def wait_ssh(self, kind, state=None, timeout=20):
        def look():
            row = self.row()
            return row.get("ssh") == kind and (state is None or row.get("ssh_state") == state) and row
        return wait_for(look, timeout * SLOW, lambda: f"ssh is {kind}: {self.row()}\n{self.log()}")

    def processes(self):
        """The servers that the agent has started."""
        return [pid for keeper in self.keepers() for pid in proc.children(keeper)]

    def wait_no_processes(self, timeout=30):
        wait_for(lambda: not self.processes(), timeout * SLOW, lambda: f"no process is left: {self.processes()}\n{self.log()}")

    def set(self, **options):
        """Writes options into agent.conf and has it read."""
        path = self.state / "agent.conf"
        names = {name.replace("_", "-") for name in options}
        lines = [line for line in path.read_text().splitlines() if line.split("=")[0].strip() not in names]
        path.write_text("\n".join(lines + [f"{name.replace('_', '-')} = {value}" for name, value in options.items()]) + "\n")
        mark = self.mark()
        self.process.send(signal.SIGHUP)
        self.wait_log(r"read \S+ again|the settings stay as they were", since=mark)


def host_key(agent):
    return agent.bench.run(program("multissh-sshd"), "--print-host-key", "--state", agent.sshd_state).ok().out.strip()


@pytest.fixture(scope="module")
def nas(bench, hub, alice):
    agent = Builtin(bench, hub, "nas", [alice])
    agent.wait_ssh("built-in", "ok")
    return agent


# --- what the hub shows ---

def test_the_hub_knows_the_server_and_its_key(nas, alice, hub):
    row = nas.row()
    assert (row["ssh"], row["ssh_state"], row["host_keys_from"]) == ("built-in", "ok", "built-in"), row
    assert row["host_keys"] == [host_key(nas)]
    assert re.search(r"nas +online +.* built-in ", alice.hub_says("list", "-l").ok().out)
    why = alice.hub_says("why", "nas").ok().out
    assert "the agent's own (multissh-sshd)" in why and "1 host key is known" in why, why
    known = alice.hub_says("known-hosts", "nas").ok().out
    assert known.split(None, 1)[1].strip() == host_key(nas)


def test_the_client_meets_the_key_that_the_hub_names(nas, alice, bench):
    known = bench.path("known-by-the-hub")
    known.write_text(alice.hub_says("known-hosts", "nas").ok().out)
    done = alice.jump("nas", "echo", "hello", options=["-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known} {alice.known_hosts}"])
    assert done.ok().out == "hello\n"


# --- sessions ---

def test_commands(nas, alice):
    done = alice.jump("nas", "cat; echo err >&2; exit 7", input="through\n")
    assert (done.status, done.out) == (7, "through\n"), done
    assert "err\n" in done.err
    assert alice.jump("nas", "id -un").ok().out == f"{ME}\n"


class Prepared(Builtin):
    """The agent is started by a shell that sets things first."""

    def argv_join(self, *more):
        return ["sh", "-ec", f'{self.before}; exec "$@"', "sh", *super().argv_join(*more)]


def test_what_the_agent_sets_for_itself_is_not_passed_on(bench, hub, alice):
    """It makes its files private and takes as many descriptors as it can; a session has neither."""
    Prepared.before = "ulimit -Sn 777"
    machine = Prepared(bench, hub, "given", [alice])
    machine.wait_ssh("built-in", "ok")
    assert alice.jump("given", "umask; ulimit -Sn; ls /proc/self/fd").ok().out.split() == ["0022", "777", "0", "1", "2", "3"]


def test_it_says_where_the_user_comes_from(nas, alice):
    """Not from the agent's machine: from where the hub saw the user."""
    client, port, *_ = alice.jump("nas", "echo $SSH_CONNECTION").ok().out.split()
    assert client == "127.0.0.1" and int(port) > 1023


def test_a_shell_with_a_terminal(nas, alice):
    done = alice.jump("nas", "tty; stty size; exit 3", options=["-tt"])
    assert done.status == 3 and "/dev/pts/" in done.out, done


def test_a_login_shell(nas, alice):
    done = alice.jump("nas", options=["-T"], input="echo in-a-shell; exit 5\n")
    assert done.status == 5 and "in-a-shell" in done.out, done


def test_sftp(nas, alice, bench):
    folder = bench.folder("sftp")
    source = folder / "source"
    source.write_bytes(os.urandom(300_000))
    script = f"put {source} {folder}/there\nget {folder}/there {folder}/back\nrename {folder}/there {folder}/moved\nls -l {folder}\n"
    done = bench.run("sftp", *alice.options(), "-b", "-", "-J", "hub", f"{ME}@nas", input=script).ok()
    assert (folder / "back").read_bytes() == (folder / "moved").read_bytes() == source.read_bytes()
    assert "moved" in done.out


@pytest.mark.parametrize("protocol", ["-s", "-O"])
def test_scp(nas, alice, bench, protocol):
    folder = bench.folder("scp")
    source = folder / "source"
    source.write_bytes(os.urandom(300_000))
    for words in ([source, f"{ME}@nas:{folder}/there"], [f"{ME}@nas:{folder}/there", folder / "back"]):
        bench.run("scp", protocol, "-q", *alice.options(), "-J", "hub", *words).ok()
    assert (folder / "back").read_bytes() == source.read_bytes()


def test_rsync(nas, alice, bench):
    need("rsync")
    tree, copy = bench.folder("tree"), bench.folder("copy")
    for i in range(30):
        (tree / f"{i:02}").write_bytes(os.urandom(3000))
    ssh = " ".join(["ssh", *alice.options(), "-J", "hub"])
    bench.run("rsync", "-a", "--delete", "-e", ssh, f"{tree}/", f"{ME}@nas:{copy}/").ok()
    assert {path.name: path.read_bytes() for path in tree.iterdir()} == {path.name: path.read_bytes() for path in copy.iterdir()}


def test_git(nas, alice, bench):
    need("git")
    folder = bench.folder("git")
    env = {"GIT_SSH_COMMAND": " ".join(["ssh", *alice.options(), "-J", "hub"]), "GIT_CONFIG_GLOBAL": "/dev/null"}
    bench.run("git", "init", "-q", "--bare", folder / "there.git").ok()
    bench.run("git", "init", "-q", "-b", "main", folder / "here").ok()
    (folder / "here/file").write_text("content\n")
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    bench.run("git", "-C", folder / "here", "add", "file").ok()
    bench.run("git", "-C", folder / "here", *who, "commit", "-q", "-m", "one").ok()
    bench.run("git", "-C", folder / "here", "push", "-q", f"ssh://{ME}@nas{folder}/there.git", "main", env=env).ok()
    bench.run("git", "clone", "-q", "-b", "main", f"ssh://{ME}@nas{folder}/there.git", folder / "back", env=env).ok()
    assert (folder / "back/file").read_text() == "content\n"


def capitals(client):
    """Says back what it is told, in capitals."""
    client.sendall(client.recv(1000).upper())


def ask(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(10)
        return sock.recv(1000)


@pytest.mark.parametrize("direction", ["-L", "-R"])
def test_forwardings(nas, alice, bench, direction):
    port = free_port()
    there = tcp.Service(bench, capitals)
    ssh = alice.start_ssh("-N", "-J", "hub", "-o", "ExitOnForwardFailure=yes", direction, f"127.0.0.1:{port}:127.0.0.1:{there.port}", f"{ME}@nas")

    def works():
        assert ssh.running(), ssh.log()
        try:
            return ask(port) == b"HELLO"
        except OSError:
            return False

    wait_for(works, 20 * SLOW, lambda: ssh.log())


def test_sessions_on_one_connection(nas, alice, bench):
    control = bench.path("control")
    master = alice.start_ssh("-N", "-M", "-S", control, "-J", "hub", f"{ME}@nas")
    wait_for(control.exists, 20 * SLOW, master.log)
    started = len(nas.processes())
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        done = list(pool.map(lambda i: alice.ssh("-S", control, f"{ME}@nas", f"cat; exit {i}", input=f"{i}\n"), range(5)))
    assert [(d.status, d.out) for d in done] == [(i, f"{i}\n") for i in range(5)]
    assert len(nas.processes()) == started, "a connection has one server, however many sessions"


def test_twenty_at_once(nas, alice):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        done = list(pool.map(lambda i: alice.jump("nas", f"cat; exit {i}", input=f"{i}\n", timeout=60 * SLOW), range(20)))
    assert [(d.status, d.out) for d in done] == [(i, f"{i}\n") for i in range(20)]
    nas.wait_no_processes()


def test_nothing_is_left_of_a_client_that_was_killed(nas, alice, bench):
    flag = bench.path("pid")
    ssh = alice.start_ssh("-J", "hub", f"{ME}@nas", f"echo $$ > {flag}.new; mv {flag}.new {flag}; exec sleep 600")
    wait_for(flag.exists, 20 * SLOW, ssh.log)
    pid = int(flag.read_text())
    ssh.kill()
    wait_for(lambda: not proc.command_of(pid), 40 * SLOW, lambda: f"{proc.command_of(pid)} ends\n{nas.log()}")
    nas.wait_no_processes()


def test_a_session_outlives_a_restart_of_the_hub(bench, nas, alice, hub):
    flag = bench.path("go")
    ssh = alice.popen("-J", "hub", f"{ME}@nas", f"echo ready; until [ -e {flag} ]; do sleep 0.1; done; echo done")
    assert ssh.stdout.readline() == b"ready\n"
    hub.restart()
    hub.wait_online("nas")
    flag.touch()
    assert ssh.stdout.read() == b"done\n"
    assert ssh.wait(20) == 0
    assert nas.row()["ssh"] == "built-in"


def test_a_client_that_is_silent_for_long_keeps_its_session(bench, hub, alice):
    """Whether a user is gone is found out between hub and user; a session may wait for a lost connection for an hour."""
    machine = Builtin(bench, hub, "patient", [alice], conf="keepalive = 1s\n")
    machine.wait_ssh("built-in", "ok")
    ssh = alice.popen("-J", "hub", f"{ME}@patient", "echo ready; cat")
    assert ssh.stdout.readline() == b"ready\n"
    os.kill(ssh.pid, signal.SIGSTOP)
    time.sleep(6)  # what must not happen would happen after 3 s
    os.kill(ssh.pid, signal.SIGCONT)
    ssh.stdin.write(b"still here\n")
    assert ssh.stdout.readline() == b"still here\n"
    ssh.stdin.close()
    assert ssh.wait(20) == 0


def test_many_bytes_both_ways(nas, alice):
    data = os.urandom(8_000_000)
    assert alice.jump("nas", "cat", input=data, timeout=60 * SLOW).ok().raw == data


# --- which server users get ---

def test_the_machines_own_server_is_preferred_when_it_comes_and_the_built_in_one_again_when_it_goes(bench, hub, alice):
    machine = Builtin(bench, hub, "both", [alice])
    machine.wait_ssh("built-in", "ok")
    say = "ps -o args= -p $PPID"
    before = alice.hub_says("known-hosts", "both").ok().out
    assert alice.jump("both", "echo one").ok().out == "one\n"

    server = machine.own_sshd(alice)
    machine.wait_ssh("openssh", "ok", timeout=12)
    after = alice.hub_says("known-hosts", "both").ok().out
    assert after != before and server.host_key.with_suffix(".pub").read_text().split()[1] in after
    alice.known_hosts.unlink()
    known = [line.split()[1] for line in alice.jump("both", say, options=["-v"]).ok().err.splitlines() if "remote software version" in line]
    assert known
    assert "Accepted publickey" in server.log()

    server.stop()
    # At once, before the agent has looked: the refused connection tells it.
    alice.known_hosts.unlink()
    assert alice.jump("both", "echo two").ok().out == "two\n"
    machine.wait_ssh("built-in", "ok", timeout=12)
    assert alice.hub_says("known-hosts", "both").ok().out == before


def test_what_is_no_ssh_server_is_passed_over(bench, hub, alice):
    machine = Builtin(bench, hub, "web", [alice], start=False)
    listener = socket.create_server(("127.0.0.1", machine.port))
    bench.closers.append(listener.close)

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.sendall(b"220 ftp.example.com\r\n530 no\r\n")

    threading.Thread(target=serve, daemon=True).start()
    machine.join()
    hub.wait_online("web")
    machine.wait_ssh("built-in", "ok")
    assert re.search(r"SSH server at \S+: not-ssh \(220 ftp", machine.log()), machine.log()
    assert alice.jump("web", "echo hello").ok().out == "hello\n"


def test_a_server_that_does_not_answer_stays_the_one(bench, hub, alice):
    machine = Builtin(bench, hub, "mute", [alice], start=False)
    listener = socket.create_server(("127.0.0.1", machine.port), backlog=64)
    bench.closers.append(listener.close)
    machine.join()
    hub.wait_online("mute")
    machine.wait_ssh("openssh", "timeout", timeout=30)
    done = alice.jump("mute", "true").failed()
    assert "did not answer within" in done.err, done


def test_another_hosts_server_is_not_replaced_by_this_hosts(bench, net):
    """Who names a server elsewhere must not get a shell here when that one is off."""
    here, there = net.host("here"), net.host("there")
    net.link(here, "v0", "10.89.0.1/24", there, "v1", "10.89.0.2/24")
    remote_hub = Hub(bench, address="10.89.0.1", netns=here)
    user = User(bench, "bob", netns=here).knows(remote_hub)
    remote_hub.add_user(user)
    machine = Builtin(bench, remote_hub, "far", [user], ssh="10.89.0.2:22", netns=here)
    machine.wait_ssh("none", "refused")
    done = user.jump("far", "true").failed()
    assert "no SSH server listens at 10.89.0.2:22 of the machine" in done.err and "built-in" not in done.err, done
    # This host's own address, though not the loopback one, is this host.
    near = Builtin(bench, remote_hub, "near", [user], ssh="10.89.0.1:22", netns=here)
    near.wait_ssh("built-in", "ok")
    assert user.jump("near", "echo hello").ok().out == "hello\n"


def test_openssh_only(bench, hub, alice):
    machine = Builtin(bench, hub, "strict", [alice], command_flags=["--ssh-mode", "openssh"])
    machine.wait_ssh("none", "refused")
    done = alice.jump("strict", "true").failed()
    assert re.search(r"no SSH server listens at 127\.0\.0\.1:\d+ of the machine", done.err), done
    assert not machine.processes() and not (machine.sshd_state / "ssh_host_ed25519_key").exists()


def test_built_in_always(bench, hub, alice):
    machine = Builtin(bench, hub, "always", [alice], start=False, command_flags=["--ssh-mode", "built-in"])
    server = machine.own_sshd(alice)
    machine.join()
    hub.wait_online("always")
    machine.wait_ssh("built-in", "ok")
    assert alice.jump("always", "echo hello").ok().out == "hello\n"
    assert "Connection from" not in server.log(), "it was not even looked at"


def test_the_mode_is_changed_while_it_runs(bench, hub, alice):
    machine = Builtin(bench, hub, "change", [alice], start=False)
    server = machine.own_sshd(alice)
    machine.join()
    hub.wait_online("change")
    machine.wait_ssh("openssh", "ok")
    own = machine.row()["host_keys"]
    machine.set(ssh_mode="built-in")
    row = machine.wait_ssh("built-in", "ok")
    assert row["host_keys"] == [host_key(machine)] != own
    assert alice.jump("change", "echo one").ok().out == "one\n"
    machine.set(ssh_mode="openssh")
    assert machine.wait_ssh("openssh", "ok")["host_keys"] == own
    server.stop()
    machine.wait_ssh("none", "refused")
    machine.set(ssh_mode="auto")
    machine.wait_ssh("built-in", "ok")
    machine.set(ssh_mode="sometimes")
    assert "ssh-mode" in machine.log() and machine.row()["ssh"] == "built-in"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_the_agent_is_started_again(bench, hub, alice, number):
    name = f"again-{number.name.lower()}"
    machine = Builtin(bench, hub, name, [alice])
    machine.wait_ssh("built-in", "ok")
    key = machine.row()["host_keys"]
    ssh = alice.popen("-J", "hub", f"{ME}@{name}", "echo ready; read -r line; echo $line")
    assert ssh.stdout.readline() == b"ready\n"
    servers = machine.processes()
    assert len(servers) == 1
    machine.stop(number=number)
    machine.run()
    hub.wait_online(name)
    assert machine.wait_ssh("built-in", "ok")["host_keys"] == key, "the key is kept"
    assert alice.jump(name, "echo hello").ok().out == "hello\n"
    ssh.stdin.write(b"and goes on\n")
    assert ssh.stdout.readline() == b"and goes on\n"
    assert ssh.wait(30) == 0
    # They have become this process's children: dead ones keep their number, but have no command line any more.
    wait_for(lambda: not any(proc.command_of(pid) for pid in servers), 30 * SLOW, "they end by themselves")


# --- what goes wrong ---

def bare_agent(bench):
    """The agent alone, without multissh-sshd beside it."""
    folder = bench.folder("bare")
    shutil.copy(program("multissh-agent"), folder)
    return folder / "multissh-agent"


class Bare(Builtin):
    def argv_join(self, *more):
        argv = super().argv_join(*more)
        argv[0] = self.binary
        return argv


def test_without_the_program(bench, hub, alice, admin):
    Bare.binary = bare_agent(bench)
    machine = Bare(bench, hub, "bare", [alice], env={"PATH": "/nonexistent"})
    machine.wait_ssh("none", "refused")
    why = alice.hub_says("why", "bare").ok().out
    assert "no SSH server" in why and "multissh-sshd, is not installed" in why, why
    done = alice.jump("bare", "true").failed()
    assert re.search(r"no SSH server listens.*no built-in one is to be had: its program, multissh-sshd, is not installed", done.err, re.S), done
    # Put there, it is found without a restart.
    shutil.copy(program("multissh-sshd"), Bare.binary.parent)
    done = alice.jump("bare", "echo hello")
    assert done.ok().out == "hello\n"


def test_a_server_that_cannot_start_is_said_to_the_user(bench, hub, alice):
    machine = Builtin(bench, hub, "broken", [alice])
    machine.wait_ssh("built-in", "ok")
    (machine.sshd_state / "sshd.conf").write_text("nonsense = yes\n")
    done = alice.jump("broken", "true").failed()
    assert re.search(r"built-in SSH server of the machine ended before it said a word: exit status \d+", done.err), done
    assert "nonsense" in machine.log(), "its complaint is in the agent's log"
    machine.wait_ssh("none", "refused", timeout=12)
    why = alice.hub_says("why", "broken").ok().out
    assert "nonsense" in why, why


class Unprivileged(Builtin):
    """The agent runs as a user whom nobody can log in as, like the packaged service's."""

    def argv_join(self, *more):
        someone = pwd.getpwnam("games")
        folder = self.bench.folder("bin")
        for name in ("multissh-agent", "multissh-sshd"):
            shutil.copy(program(name), folder)
        for path in (self.bench.root, folder):
            path.chmod(0o755)
        for path in (self.state, self.sshd_state, *self.sshd_state.iterdir()):
            os.chown(path, someone.pw_uid, someone.pw_gid)
        argv = super().argv_join(*more)
        return ["setpriv", f"--reuid={someone.pw_uid}", f"--regid={someone.pw_gid}", "--clear-groups", folder / "multissh-agent", *argv[1:]]


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_an_agent_whose_account_has_no_shell_says_what_to_do(bench, hub, alice):
    need("setpriv")
    machine = Unprivileged(bench, hub, "service", [alice])
    machine.wait_ssh("none", "refused")
    for said in (alice.jump("service", "true").failed().err, alice.hub_says("why", "service").ok().out):
        assert "the agent runs as games, who has no shell" in said and "multissh-sshd.socket" in said, said
    assert not machine.processes()


def test_keys_that_may_not(bench, hub, alice):
    Builtin(bench, hub, "shut", []).wait_ssh("built-in", "ok")
    done = alice.jump("shut", "true").failed(255)
    assert "Permission denied" in done.err, done


def test_sessions_max_holds_for_processes_too(bench, hub, alice):
    machine = Builtin(bench, hub, "small", [alice], command_flags=["--sessions-max", "2"])
    machine.wait_ssh("built-in", "ok")
    held = [alice.popen("-J", "hub", f"{ME}@small", "echo ready; cat") for _ in range(2)]
    for ssh in held:
        assert ssh.stdout.readline() == b"ready\n"
    assert "sessions-max" in alice.jump("small", "true").failed().err
    assert len(machine.processes()) == 2
    for ssh in held:
        ssh.stdin.close()
        assert ssh.wait(20) == 0
    machine.wait_no_processes()
    assert alice.jump("small", "echo again").ok().out == "again\n"


# --- the service ---

class Service:
    """What systemd does with multissh-sshd.socket and multissh-sshd-key.socket, by systemd's own tool for trying that."""

    def __init__(self, bench, folder, state):
        need("systemd-socket-activate")
        self.socket = folder / "socket"
        sshd = program("multissh-sshd")
        activate = ["systemd-socket-activate", "--accept", "--inetd"]
        self.key = bench.start("service-key", *activate, "--listen", folder / "host-key", sshd, "--print-host-key", "--state", state)
        wait_for((folder / "host-key").exists, 10, self.key.log)
        self.server = bench.start("service", *activate, "--listen", self.socket, sshd, "--inetd", "--proxy-protocol", "--state", state)
        wait_for(self.socket.exists, 10, self.server.log)


def test_the_service_behind_a_socket(bench, hub, alice):
    folder, elsewhere = bench.folder("run"), bench.folder("service-state")
    machine = Builtin(bench, hub, "served", [alice], sshd_socket=folder / "socket")
    row = machine.wait_ssh("built-in", "ok")
    own = row["host_keys"]
    assert own == [host_key(machine)], "as long as there is no socket it is started"
    # Another state with another key, to tell them apart.
    shutil.copy(machine.authorized, elsewhere)
    other = keygen(elsewhere / "key")
    (elsewhere / "sshd.conf").write_text(f"authorized-keys = {elsewhere}/authorized_keys\nstrict-modes = no\nhost-key = {other}\n")
    service = Service(bench, folder, elsewhere)
    wait_for(lambda: machine.row()["host_keys"] == [public_key(other)], 20 * SLOW, machine.log)
    assert machine.row()["ssh"] == "built-in" and f"is there ({service.socket})" in machine.log()
    client, port, *_ = alice.jump("served", "echo $SSH_CONNECTION").ok().out.split()
    assert client == "127.0.0.1" and int(port) > 1023, "the PROXY line says where the user comes from"
    assert not machine.processes(), "the agent starts none itself"
    data = os.urandom(2_000_000)
    assert alice.jump("served", "cat", input=data).ok().raw == data
    # The socket goes: the program is started again.
    service.socket.unlink()
    alice.known_hosts.unlink()
    assert alice.jump("served", "echo hello").ok().out == "hello\n"
    wait_for(lambda: machine.row()["host_keys"] == own, 20, lambda: str(machine.row()))


def test_a_service_that_is_dead_is_named(bench, hub, alice):
    path = bench.path("dead-socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    Builtin(bench, hub, "dead", [alice], sshd_socket=path)
    done = alice.jump("dead", "true").failed()
    assert re.search(r"built-in SSH server cannot be had: \S+dead-socket: connection refused", done.err), done
