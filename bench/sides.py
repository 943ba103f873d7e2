"""What is compared: each side is one way to a machine behind a NAT, started on loopback in the run's folder, private and complete.

    Openssh   the bastion: sshd, to which the machine keeps `ssh -N -R` and through which the user says `ssh -J`
    Ours      multissh-hub and multissh-agent; the user says `ssh -J`, or, with connect=True, has `multissh connect` as ProxyCommand
    Floor     a raw TCP relay (relay.c) between the user's ssh and the machine's sshd
    Direct    nothing between the two

All lead to one sshd, the machine's own. How a side is set up is the way its users know best: README.md says it in words."""
import os
import pwd
import subprocess
import sys
import time
import types
from pathlib import Path

import group
from frame import Failed
from report import ROOT

CIPHERS = {"default": None, "aes128-gcm": "aes128-gcm@openssh.com"}
KEXES = {"default": None, "curve25519": "curve25519-sha256", "sntrup761": "sntrup761x25519-sha512@openssh.com"}
GROUP = [sys.executable, ROOT / "bench" / "group.py"]
SSHD = "/usr/sbin/sshd"


def bastion_user():
    """Whose account the bastion's users share: not root's, for whom sshd keeps one process and not two."""
    return "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def machine(context):
    """The machine's own SSH server, the same for all sides."""
    def make():
        from kit.parts import Sshd, keygen, public_key  # pylint: disable=import-outside-toplevel
        if not os.access(SSHD, os.X_OK):
            raise Failed(f"{SSHD} is not there: install openssh-server")
        sshd = Sshd(context.bench, options=["LoginGraceTime 0"])
        sshd.user_key = keygen(context.folder / "user", comment="user")
        sshd.user_public = public_key(sshd.user_key)
        sshd.authorized.write_text(sshd.user_public + "\n")
        return sshd
    return context.once("machine", make)


class Side:
    """What all have: a user's settings, the processes of the hub's side and of the machine's side, and what they use."""
    name = "?"

    def __init__(self, context):
        self.context, self.bench = context, context.bench
        self.machine = machine(context)
        self.folder = self.bench.folder(self.name)
        self.folder.chmod(0o711)
        self.hubs, self.machines = [], []  # the pids of group.py
        self.idle = None
        self.mark = self.bench.mark()

    def close(self):
        complaints = self.bench.close(self.mark)
        if complaints:
            raise Failed(f"{self.name}: " + "\n".join(complaints))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    # --- the user's ---

    def route(self, cipher):
        """The lines of ssh_config that lead to the hosts `hub` and `machine`."""
        raise NotImplementedError

    def config(self, cipher="default", kex="curve25519"):
        """ssh_config of a user who takes this cipher and this key exchange everywhere (or what ssh takes by itself)."""
        path = self.folder / f"config-{cipher}-{kex}"
        if not path.exists():
            lines = self.route(cipher) + [
                "Host *", f"  IdentityFile {self.machine.user_key}", "  IdentitiesOnly yes", "  IdentityAgent none",
                f"  UserKnownHostsFile {self.folder}/known_hosts", "  GlobalKnownHostsFile /dev/null", "  StrictHostKeyChecking accept-new",
                "  BatchMode yes", "  UpdateHostKeys no", "  LogLevel ERROR", "  GSSAPIAuthentication no"]
            if CIPHERS[cipher]:
                lines.append(f"  Ciphers {CIPHERS[cipher]}")
            if KEXES[kex]:
                lines.append(f"  KexAlgorithms {KEXES[kex]}")
            path.write_text("\n".join(lines) + "\n", encoding="ascii")
        return path

    def _machine_lines(self, *lines):
        login = pwd.getpwuid(os.geteuid()).pw_name
        return ["Host machine", f"  User {login}", "  HostKeyAlias machine", *(f"  {line}" for line in lines)]

    def ssh(self, *words, cipher="default", kex="curve25519"):
        """The command that runs these words on the machine."""
        return ["ssh", "-F", str(self.config(cipher, kex)), "machine", *map(str, words)]

    def hop(self, kex="curve25519", cipher="default"):
        """The command that joins its standard input and output with the machine's SSH server."""
        return ["ssh", "-F", str(self.config(cipher, kex)), "-W", self.target(), "hub"]

    def target(self):
        """HOST:PORT as the hub is asked for it."""
        raise NotImplementedError

    def algorithms(self, cipher="default", kex="default"):
        """What the client and the hub agree upon: (key exchange, cipher)."""
        argv = self.hop(kex, cipher)
        done = subprocess.run([*argv[:1], "-v", "-o", "LogLevel=DEBUG1", *argv[1:]], stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                              check=False, env=self.bench.env())
        words = done.stderr.decode(errors="replace")
        try:
            return (words.split("kex: algorithm: ")[1].split()[0], words.split("kex: server->client cipher: ")[1].split()[0])
        except IndexError:
            raise Failed(f"'{' '.join(argv)}' does not say what it uses:\n{words}") from None

    # --- what it costs ---

    def settle(self):
        """Waits until what came with the last connections has gone."""
        if self.idle is None:
            return
        end = time.monotonic() + 30
        while len(self.hub_pids()) > self.idle:
            if time.monotonic() > end:
                raise Failed(f"{self.name}: {len(self.hub_pids())} processes of the hub are there 30 s after the last session, {self.idle} before the first")
            time.sleep(0.01)

    def rests(self):
        """From here on settle() waits for as many processes as there are now."""
        self.idle = len(self.hub_pids())

    def hub_pids(self):
        return [pid for root in self.hubs for pid in group.below(root)]

    def hub_cpu(self):
        """Seconds, user and system, of all processes that the hub's side ever had."""
        return sum(group.cpu(root) for root in self.hubs)

    @staticmethod
    def spent(before, after):
        """The difference of two such readings: what cannot be told from nothing counts as one tick of the kernel's clock."""
        return max(after - before, 1 / group.TICK)

    def hub_pss(self):
        """KiB, with each page shared out among those who map it."""
        return sum(self._memory(root, "Pss:") for root in self.hubs)

    def machine_cpu(self):
        """As hub_cpu, of what the machine runs to be reached; its SSH server not included."""
        return sum(group.cpu(root) for root in self.machines)

    def machine_private(self):
        """KiB that would be free if what the machine runs to be reached were gone."""
        return sum(self._memory(root, ("Private_Clean:", "Private_Dirty:")) for root in self.machines)

    def _memory(self, root, names):
        try:
            return group.memory(root, *([names] if isinstance(names, str) else names))
        except PermissionError as error:
            raise Failed(f"{error.filename} may not be read: memory is measured as root") from None

    def start(self, name, *argv):
        """Starts a program in a group of its own."""
        return self.bench.start(name, *GROUP, *argv)


class Direct(Side):
    """The user's ssh reaches the machine's sshd: what would be if there were no NAT."""
    name = "direct"

    def route(self, cipher):
        return self._machine_lines("HostName 127.0.0.1", f"Port {self.machine.port}")


class Floor(Side):
    """A raw TCP relay in the hub's place."""
    name = "floor"

    def __init__(self, context):
        super().__init__(context)
        from kit.wait import free_port, listening, wait_for  # pylint: disable=import-outside-toplevel
        program = context.build / "bench-relay"
        if not os.access(program, os.X_OK):
            raise Failed(f"{program} is not there: make bench builds it, or name the build folder with --build")
        self.port = free_port()
        relay = self.start("relay", program, self.port, self.machine.port)
        self.hubs.append(relay.pid)
        wait_for(lambda: listening(self.port), 10, lambda: f"the relay listens:\n{relay.log()}")
        self.rests()

    def route(self, cipher):
        return self._machine_lines("HostName 127.0.0.1", f"Port {self.port}")


class Openssh(Side):
    """A bastion: sshd, `ssh -N -R` from the machine, `ssh -J` from the user."""
    name = "openssh"

    def __init__(self, context):
        super().__init__(context)
        from kit.parts import keygen  # pylint: disable=import-outside-toplevel
        from kit.wait import free_port  # pylint: disable=import-outside-toplevel
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        self.port, self.ports = free_port(), {}
        self.key = keygen(self.folder / "machine_key", comment="machine")
        host_key = keygen(self.folder / "host_key", comment="bastion")
        authorized = self.folder / "authorized_keys"
        authorized.write_text(self.machine.user_public + "\n" + Path(f"{self.key}.pub").read_text(encoding="ascii"), encoding="ascii")
        authorized.chmod(0o644)
        config = self.folder / "sshd_config"
        # All that costs and is not needed is off: PAM, DNS, terminals, message of the day.
        config.write_text("\n".join([
            f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {host_key}", f"AuthorizedKeysFile {authorized}", f"PidFile {self.folder}/pid",
            "StrictModes no", "UsePAM no", "UseDNS no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "AllowTcpForwarding yes",
            "AllowAgentForwarding no", "X11Forwarding no", "PermitTTY no", "PermitUserRC no", "PrintMotd no", "PrintLastLog no", "Compression no",
            "MaxStartups 1000", "MaxSessions 200", "ClientAliveInterval 15", "LogLevel INFO"]) + "\n", encoding="ascii")
        self.sshd = self.start("bastion", SSHD, "-D", "-e", "-f", config)
        self.sshd.wait_log(r"Server listening on")
        self.hubs.append(self.sshd.pid)
        self.tunnel("default")
        self.rests()

    def tunnel(self, cipher):
        """The port at which the bastion has the machine, through a tunnel of this cipher."""
        if cipher in self.ports:
            return self.ports[cipher]
        from kit.wait import free_port, listening, wait_for  # pylint: disable=import-outside-toplevel
        port = free_port()
        before = self.idle is not None
        argv = ["ssh", "-F", "/dev/null", "-N", "-R", f"127.0.0.1:{port}:127.0.0.1:{self.machine.port}", "-p", self.port, "-l", bastion_user(),
                "-i", self.key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", f"UserKnownHostsFile={self.folder}/known_hosts_machine",
                "-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=15"]
        if CIPHERS[cipher]:
            argv += ["-o", f"Ciphers={CIPHERS[cipher]}"]
        tunnel = self.start("tunnel", *argv, "127.0.0.1")

        def up():
            if not tunnel.running():
                raise Failed(f"the tunnel to the bastion ended:\n{tunnel.log()}\nthe bastion's log:\n{self.sshd.log()}")
            return listening(port)
        wait_for(up, 20, lambda: f"the tunnel is up:\n{tunnel.log()}\n{self.sshd.log()}")
        self.machines.append(tunnel.pid)
        self.ports[cipher] = port
        if before:
            self.rests()
        return port

    def route(self, cipher):
        return ["Host hub", "  HostName 127.0.0.1", f"  Port {self.port}", f"  User {bastion_user()}", "  HostKeyAlias hub",
                *self._machine_lines("HostName 127.0.0.1", f"Port {self.tunnel(cipher)}", "ProxyJump hub")]

    def target(self):
        return f"127.0.0.1:{self.tunnel('default')}"


class Ours(Side):
    """multissh-hub, multissh-agent. With connect the user has `multissh connect`; both kinds share hub and agent when like is given.
    build: the folder of the hub's programs, when it is not the run's."""
    name = "multissh"

    def __init__(self, context, connect=False, like=None, flags=(), build=None):
        super().__init__(context)
        self.connect = connect
        if like is not None:
            self.hub, self.agent, self.hubs, self.machines, self.idle = like.hub, like.agent, like.hubs, like.machines, like.idle
            return
        from kit import parts  # pylint: disable=import-outside-toplevel
        from kit.wait import wait_for  # pylint: disable=import-outside-toplevel
        hubs = build or context.build
        for path in (*(hubs / f"multissh-{name}" for name in ("hub", "front", "relay")), context.build / "multissh-agent", context.build / "multissh"):
            if not os.access(path, os.X_OK):
                raise Failed(f"{path} is not there: run make, or name the build folder with --build")

        class Hub(parts.Hub):
            """The kit's, in a group."""

            def argv(self):
                return [*GROUP, hubs / "multissh-hub", *super().argv()[1:]]

        class Agent(parts.Agent):
            """The kit's, in a group."""

            def _start(self, *argv):
                return super()._start(*GROUP, *argv)

        try:
            self.hub = Hub(self.bench, *flags)
            self.hub.add_user(types.SimpleNamespace(name="user", public=self.machine.user_public))
            self.agent = Agent(self.bench, self.hub, "machine", ssh=self.machine, wait=False)
            wait_for(self._online, 20, lambda: f"the machine is online\n{self.agent.log()}")
        except AssertionError as error:
            raise Failed(f"multissh does not start: {error}") from None
        self.hubs, self.machines = [self.hub.process.pid], [self.agent.process.pid]
        self.rests()

    def _online(self):
        if not self.agent.process.running():
            raise Failed(f"the agent ended with status {self.agent.process.popen.returncode}:\n{self.agent.log()}")
        return self.hub.is_online("machine")

    def route(self, cipher):
        lines = ["Host hub", "  HostName 127.0.0.1", f"  Port {self.hub.port}", "  User user", "  HostKeyAlias hub"]
        if self.connect:
            config = self.folder / f"config-{cipher}-%%s"
            return lines + self._machine_lines(f"ProxyCommand {self.context.build}/multissh --hub hub --ssh-config {config} connect machine")
        return lines + self._machine_lines("ProxyJump hub")

    def config(self, cipher="default", kex="curve25519"):
        path = super().config(cipher, kex)
        # The program runs ssh with the same settings.
        path.write_text(path.read_text(encoding="ascii").replace(f"config-{cipher}-%%s", f"config-{cipher}-{kex}"), encoding="ascii")
        return path

    def target(self):
        return "machine:22"


def together(context):
    """All sides that move data: name -> side; started once for all figures, ended with the run."""
    def make():
        ours = Ours(context)
        sides = {"openssh": Openssh(context), "ours": ours, "connect": Ours(context, connect=True, like=ours), "floor": Floor(context),
                 "direct": Direct(context)}
        if context.has_newer():
            sides["newer"] = Ours(context, build=context.newer)
        return sides
    return context.once("sides", make)
