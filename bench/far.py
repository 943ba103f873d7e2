"""The sides with distance between hub and machine: each on hosts of its own kind, network namespaces joined as a user, a hub and a machine would be.

    user —— hub —— the line —— machine

The line (tests/e2e/helpers/wide_link.c) delays, loses and slows down what hub and machine say to each other; user and hub are neighbours. All sides use the
same hosts and the same line, one after the other. Every host uses cubic, as Linux does by itself, whatever this machine is set to."""
import contextlib
import hashlib
import os
import subprocess
import threading
import time
import types
from pathlib import Path

from frame import Failed
from sides import SSHD, Side, bastion_user

HUB_FOR_USER, USER = "10.9.1.1", "10.9.1.2"
HUB, MACHINE = "10.9.2.1", "10.9.2.2"
CONGESTION = "cubic"
SESSION_MAX = 300  # seconds


def unavailable():
    """Why there can be no distance here, or None."""
    from kit import net  # pylint: disable=import-outside-toplevel
    return net.unavailable()


class Place:
    """The hosts, the line, and the machine's SSH server. settings: of the line, see wide_link --help; none: a plain cable."""

    def __init__(self, context, congestion=CONGESTION, **settings):
        from kit import net, parts  # pylint: disable=import-outside-toplevel
        self.context, self.bench = context, context.bench
        self.net = net.Net(self.bench)
        self.user, self.hub, self.machine = (self.net.host(name) for name in ("user", "hub", "machine"))
        self.net.link(self.user, "eth0", f"{USER}/30", self.hub, "eth0", f"{HUB_FOR_USER}/30")
        ends = (self.hub, "eth1", f"{HUB}/30", self.machine, "eth0", f"{MACHINE}/30")
        self.line = self.net.wide_link(*ends, **settings) if settings else self.net.link(*ends)
        # By the routes: a namespace may only be set to what the whole machine allows everybody.
        for host, interface, ours, theirs in ((self.user, "eth0", USER, HUB_FOR_USER), (self.hub, "eth0", HUB_FOR_USER, USER), (self.hub, "eth1", HUB, MACHINE),
                                              (self.machine, "eth0", MACHINE, HUB)):
            host.run("ip", "route", "add", theirs, "dev", interface, "src", ours, "congctl", congestion)
        self.user.run("ip", "route", "add", HUB, "via", HUB_FOR_USER, "congctl", congestion)
        self.sshd = parts.Sshd(self.bench, netns=self.machine, options=["LoginGraceTime 0"])
        self.key = parts.keygen(self.bench.folder("far-user") / "key", comment="user")
        self.public = parts.public_key(self.key)
        self.sshd.authorized.write_text(self.public + "\n")


class Far(Side):
    """What both have: the user's ssh runs on the user's host."""

    def __init__(self, place):  # pylint: disable=super-init-not-called
        self.context, self.bench, self.place = place.context, place.bench, place
        self.machine = types.SimpleNamespace(user_key=place.key)
        self.folder = self.bench.folder(f"far-{self.name}")
        self.folder.chmod(0o711)

    def ssh(self, *words, **options):
        return ["ip", "netns", "exec", self.place.user.full, *super().ssh(*words, **options)]

    def target(self):
        return "machine:22"


class Openssh(Far):
    """The bastion's sshd on the hub's host, `ssh -N -R` on the machine's."""
    name = "openssh"

    def __init__(self, place):
        super().__init__(place)
        from kit.parts import keygen  # pylint: disable=import-outside-toplevel
        from kit.wait import listening, wait_for  # pylint: disable=import-outside-toplevel
        key = keygen(self.folder / "machine_key", comment="machine")
        host_key = keygen(self.folder / "host_key", comment="bastion")
        authorized = self.folder / "authorized_keys"
        authorized.write_text(place.public + "\n" + Path(f"{key}.pub").read_text(encoding="ascii"), encoding="ascii")
        authorized.chmod(0o644)
        config = self.folder / "sshd_config"
        config.write_text("\n".join([
            "Port 22", "ListenAddress 0.0.0.0", f"HostKey {host_key}", f"AuthorizedKeysFile {authorized}", f"PidFile {self.folder}/pid",
            "StrictModes no", "UsePAM no", "UseDNS no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "AllowTcpForwarding yes",
            "PermitTTY no", "PermitUserRC no", "PrintMotd no", "PrintLastLog no", "Compression no", "MaxStartups 1000", "MaxSessions 200",
            "ClientAliveInterval 15", "LogLevel INFO"]) + "\n", encoding="ascii")
        self.sshd = self.bench.start("far-bastion", SSHD, "-D", "-e", "-f", config, netns=place.hub)
        self.sshd.wait_log(r"Server listening on")
        tunnel = self.bench.start(
            "far-tunnel", "ssh", "-F", "/dev/null", "-N", "-R", f"127.0.0.1:2022:127.0.0.1:{place.sshd.port}", "-l", bastion_user(), "-i", key,
            "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", f"UserKnownHostsFile={self.folder}/known_hosts_machine",
            "-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=15", HUB,
            netns=place.machine)

        def up():
            if not tunnel.running():
                raise Failed(f"the tunnel to the bastion ended:\n{tunnel.log()}\nthe bastion's log:\n{self.sshd.log()}")
            return listening(2022, self.sshd.pid)
        wait_for(up, 30, lambda: f"the tunnel is up:\n{tunnel.log()}\n{self.sshd.log()}")

    def route(self, cipher):
        return ["Host hub", f"  HostName {HUB_FOR_USER}", f"  User {bastion_user()}", "  HostKeyAlias hub",
                *self._machine_lines("HostName 127.0.0.1", "Port 2022", "ProxyJump hub")]


class Ours(Far):
    """multissh-hub on the hub's host, multissh-agent on the machine's."""
    name = "multissh"

    def __init__(self, place, connect=False, like=None, flags=(), agent_flags=()):
        super().__init__(place)
        from kit import parts  # pylint: disable=import-outside-toplevel
        self.connect = connect
        if like is not None:
            self.hub, self.agent = like.hub, like.agent
            return
        self.hub = parts.Hub(self.bench, *flags, address="0.0.0.0", port=2244, netns=place.hub, public=f"{HUB}:2244")
        self.hub.add_user(types.SimpleNamespace(name="user", public=place.public))
        self.agent = parts.Agent(self.bench, self.hub, "machine", ssh=place.sshd, netns=place.machine, command_flags=agent_flags)

    def route(self, cipher):
        lines = ["Host hub", f"  HostName {HUB_FOR_USER}", "  Port 2244", "  User user", "  HostKeyAlias hub"]
        if self.connect:
            config = self.folder / f"config-{cipher}-curve25519"
            return lines + self._machine_lines(f"ProxyCommand {self.context.build}/multissh --hub hub --ssh-config {config} connect machine")
        return lines + self._machine_lines("ProxyJump hub")


class Session:
    """A session that stands and waits for the word to move data: what is measured then is the way, not the login."""

    def __init__(self, side, way, path):
        self.side, self.way, self.path = side, way, path
        self.sum, self.failed = hashlib.sha256(), None
        remote = f"echo ready; read go; cat {path}" if way == "down" else "echo ready; sha256sum"
        self.popen = subprocess.Popen(side.ssh(remote), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=side.bench.env(),
                                      bufsize=0, start_new_session=True)
        side.bench.closers.append(self.end)
        # A session that hangs is ended, and seen as one that failed.
        self.watchdog = threading.Timer(SESSION_MAX, self.popen.kill)
        self.watchdog.daemon = True
        self.watchdog.start()
        if self._line() != b"ready\n":
            raise self._failure("did not begin")

    def _line(self):
        text = b""
        while not text.endswith(b"\n"):
            piece = self.popen.stdout.read(1)
            if not piece:
                break
            text += piece
        return text

    def _failure(self, words):
        self.popen.kill()
        said = self.popen.stderr.read().decode(errors="replace")
        return Failed(f"{self.side.name}: the session {words}:\n{said}")

    def move(self, went):
        """Moves the file and notes when it was all there."""
        try:
            if self.way == "down":
                self.popen.stdin.write(b"go\n")
                while piece := self.popen.stdout.read(1 << 18):
                    self.sum.update(piece)
                got = self.sum.hexdigest()
            else:
                with open(self.path, "rb") as data:
                    while piece := data.read(1 << 18):
                        self.popen.stdin.write(piece)
                self.popen.stdin.close()
                got = self._line().decode().split(" ")[0]
            went.append((time.monotonic(), got))
        except OSError as error:
            went.append((time.monotonic(), str(error)))

    def end(self):
        self.watchdog.cancel()
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            with contextlib.suppress(OSError):
                pipe.close()


def moved(side, way, path, count, losses):
    """That file, through so many sessions at once: MiB a second of all together. Right, or it does not count. losses: a number; all who are given the same
    one meet the same losses, the first packet that is lost is as far from the beginning, and so on."""
    sessions = [Session(side, way, path) for _ in range(count)]
    side.place.line.again(losses)
    went, began = [], time.monotonic()
    threads = [threading.Thread(target=session.move, args=(went,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = max(when for when, _ in went) - began
    wanted = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    for session in sessions:
        session.end()
    if any(got != wanted for _, got in went):
        raise Failed(f"{side.name}, {way}: what arrived is not what was sent: {[got for _, got in went]}")
    return count * os.path.getsize(path) / took / (1 << 20)
