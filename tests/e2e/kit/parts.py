"""The parts of a setup: hub, agent, private sshd, user."""
import contextlib
import functools
import getpass
import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

from . import proc
from .bench import program, sanitized
from .wait import free_port, listening, wait_for

ME = getpass.getuser()
# All tests come from one address; those about these limits set their own.
OPEN_DOORS = ["--fronts-per-second", "1000", "--fronts-per-second-per-source", "1000", "--unauthenticated-per-source", "150"]


def keygen(path, kind="ed25519", comment="test", bits=None):
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", comment, "-f", str(path)]
    if bits:
        command += ["-b", str(bits)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return path


def public_key(path):
    """type and base64, without the comment"""
    return " ".join(Path(f"{path}.pub").read_text().split()[:2])


class Sshd:
    """A private sshd: own host key, own port, lets the keys in authorized_keys in as whoever runs the tests."""

    def __init__(self, bench, address="127.0.0.1", netns=None, port=None, options=(), start=True):
        self.bench, self.netns, self.address = bench, netns, address
        self.port = port or free_port()
        self.folder = bench.folder("sshd")
        self.host_key = keygen(self.folder / "host_key", comment="host")
        self.authorized = self.folder / "authorized_keys"
        self.authorized.touch(mode=0o600)
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        lines = [
            f"Port {self.port}", f"ListenAddress {address}", f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.authorized}", f"PidFile {self.folder}/pid", "StrictModes no", "UsePAM no",
            "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes", "PermitUserRC no", "PrintMotd no",
            "PrintLastLog no", "AllowAgentForwarding yes", "AllowTcpForwarding yes", "X11Forwarding no", "MaxStartups 500:30:1000", "MaxSessions 200",
            "LogLevel VERBOSE", "UseDNS no", "Subsystem sftp internal-sftp", *options,
            # The shells' start-up files of whoever runs the tests stay out of it: some wait for locks that all their shells share.
            f"SetEnv HOME={bench.home()}",
        ]
        self.config = self.folder / "config"
        self.config.write_text("\n".join(lines) + "\n")
        self.process = None
        if start:
            self.start()

    def start(self):
        self.process = self.bench.start("sshd", "/usr/sbin/sshd", "-D", "-e", "-f", self.config, netns=self.netns)
        # With LogLevel VERBOSE it says so.
        self.process.wait_log(r"Server listening on")
        return self

    def stop(self):
        self.process.stop()

    def allow(self, user):
        with open(self.authorized, "a", encoding="ascii") as keys:
            keys.write(user.public + "\n")
        return self

    @property
    def at(self):
        return f"{self.address}:{self.port}"

    def log(self):
        return self.process.log()


class Hub:
    """multissh-hub with a state folder of its own."""

    def __init__(self, bench, *flags, address="127.0.0.1", netns=None, port=None, state=None, public=None, start=True, config=None,
                 domain="machines.test"):
        self.bench, self.address, self.netns = bench, address, netns
        self.port = port or free_port()
        self.state = state or bench.folder("hub")
        self.flags, self.domain = list(flags), domain
        self.public = public or f"{address}:{self.port}"
        self.process = None
        self.users = {}
        self.lines = []
        if config is not None:
            (self.state / "hub.conf").write_text(config)
        if start:
            self.start()

    def argv(self):
        return [program("multissh-hub"), "--state", self.state, "--listen", f"{self.address}:{self.port}", "--public", self.public,
                "--domain", self.domain, *OPEN_DOORS, *self.flags]

    def start(self):
        old = self.process
        self.process = self.bench.start("hub", *self.argv(), netns=self.netns)
        if old is not None:
            self.bench.replace(old, self.process)
        self.wait_listening()
        if old is None:
            self.bench.closers.append(self.end)
        return self

    def wait_listening(self, port=None):
        port = port or self.port
        asked = time.monotonic()

        def look():
            nonlocal asked
            if not self.process.running():
                raise AssertionError(f"the hub ended with status {self.process.popen.returncode}:\n{self.process.log()}")
            if re.search(rf"listening on .*\(port {port}\)", self.process.log()):
                return True
            # Or it does not log that; the kernel's list may be long.
            if time.monotonic() < asked + 0.3:
                return False
            asked = time.monotonic()
            return listening(port, self.process.pid)
        wait_for(look, 15, lambda: f"the hub listens on {port}:\n{self.process.log()}")

    def end(self):
        """Ends the hub and its fronts as an operator would."""
        if self.process and self.process.running():
            done = self.command("stop", "--all", check=False)
            if done.status == 0:
                try:
                    self.process.popen.wait(10)
                    return
                except subprocess.TimeoutExpired:
                    pass
            self.process.stop()

    def restart(self, *flags, number=signal.SIGTERM):
        """Ends the hub alone (the fronts live on) and starts it again on the same port and state."""
        self.process.stop(number=number)
        if flags:
            self.flags = list(flags)
        return self.start()

    def log(self, since=0):
        return self.process.log(since)

    def wait_log(self, pattern, timeout=10.0, since=0):
        return self.process.wait_log(pattern, timeout, since)

    def mark(self):
        """Where the log ends now: for wait_log(since=...)."""
        return self.process.log_size()

    def command(self, *words, check=True, input=None, timeout=20):
        done = self.bench.run(program("multissh-hub"), "--state", self.state, *words, input=input, timeout=timeout)
        return done.ok() if check else done

    def machines(self):
        """list --json as the operator sees it: name -> row"""
        text = self.command("list", "--json").out
        rows = json.loads(text)
        if isinstance(rows, dict):
            rows = rows.get("machines", rows)
        return {row["name"]: row for row in rows}

    def is_online(self, name):
        row = self.machines().get(name)
        return bool(row) and (row.get("online") is True or row.get("state") == "online" or row.get("status") == "online")

    def _when_logged(self, condition):
        """For wait_for: asks again only when the hub has written something, or after a while: each question is a process."""
        asked = [None, 0.0]

        def look():
            now = (self.process.log_size(), time.monotonic())
            if now[0] == asked[0] and now[1] < asked[1] + 0.5:
                return False
            asked[:] = now
            return condition()
        return look

    def wait_online(self, name, timeout=15):
        wait_for(self._when_logged(lambda: self.is_online(name)), timeout, lambda: f"{name} is online; the hub's list:\n{self.command('list', '-l').out}")

    def wait_offline(self, name, timeout=15):
        wait_for(self._when_logged(lambda: not self.is_online(name)), timeout, lambda: f"{name} is offline; the hub's list:\n{self.command('list', '-l').out}")

    def invite(self, *words):
        """Returns HOST:PORT/CODE as the printed line has it."""
        line = self.command("invite", *words).out
        match = re.search(r"multissh-agent\s+(?:\S+\s+)*?join\s+(\S+/\S+)", line)
        assert match, f"no line to paste in: {line!r}"
        return match.group(1)

    # --- users ---
    def add_user(self, user, options='machines="*"'):
        self.users[user.name] = (user, options)
        self.lines.append(f"{user.name} {options + ' ' if options else ''}{user.public} {user.name}@test")
        self.write_users(tell=True)
        return user

    def write_users(self, text=None, tell=False):
        """Replaces authorized_users as an editor does, and waits until the hub has read it: when it has noticed by itself, or told."""
        path = self.state / "authorized_users"
        text = text if text is not None else "\n".join(self.lines) + "\n"
        new = self.state / ".authorized_users.new"
        new.write_text(text)
        new.chmod(0o600)
        mark = self.mark() if self.process else 0
        os.replace(new, path)
        if self.process and self.process.running():
            if tell:
                self.process.send(signal.SIGHUP)
            self.wait_log(r"authorized_users: read|the users that were read before", 10, since=mark)

    # --- its processes ---
    def fronts(self):
        return [pid for pid in proc.children(self.process.pid) if "multissh-front --serving" in proc.command_of(pid)]


class User:
    """A person: a key, a known_hosts file, and an ssh_config in which `hub` is the hub."""

    def __init__(self, bench, name="alice", kind="ed25519", key=None, netns=None, bits=None):
        self.bench, self.name, self.netns = bench, name, netns
        self.folder = bench.folder(f"user-{name}")
        self.key = key or keygen(self.folder / "key", kind, f"{name}@test", bits)
        self.known_hosts = self.folder / "known_hosts"
        self.config = self.folder / "config"
        self.hub = None
        self.extra_hub, self.extra_all = [], []

    @property
    def public(self):
        return public_key(self.key)

    def knows(self, hub, extra_hub=(), extra_all=()):
        self.hub, self.extra_hub, self.extra_all = hub, list(extra_hub), list(extra_all)
        return self.write_config()

    def write_config(self):
        common = [f"IdentityFile {self.key}", "IdentitiesOnly yes", "IdentityAgent none", f"UserKnownHostsFile {self.known_hosts}",
                  "GlobalKnownHostsFile /dev/null", "StrictHostKeyChecking accept-new", "BatchMode yes", "ServerAliveInterval 0",
                  "LogLevel INFO", "UpdateHostKeys no",
                  # The default of OpenSSH 9 costs 80 ms more at each connection; test_clients.py has the others.
                  "KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256"]
        lines = ["Host hub", f"  HostName {self.hub.address}", f"  Port {self.hub.port}", f"  User {self.name}"]
        lines += [f"  {line}" for line in self.extra_hub]
        lines += ["Host *"]
        lines += [f"  {line}" for line in self.extra_all] + [f"  {line}" for line in common]
        self.config.write_text("\n".join(lines) + "\n")
        return self

    def options(self):
        return ["-F", str(self.config)]

    def ssh(self, *words, input=None, timeout=60, env=None, netns=None, stdout=None):
        return self.bench.run("ssh", *self.options(), *words, input=input, timeout=timeout, env=env, netns=netns or self.netns,
                              stdout=stdout)

    def start_ssh(self, *words, stdin=subprocess.DEVNULL, env=None):
        return self.bench.start(f"ssh-{self.name}", "ssh", *self.options(), *words, stdin=stdin, env=env, netns=self.netns)

    def hub_says(self, *words, **options):
        """ssh hub WORDS..."""
        return self.ssh("hub", *words, **options)

    def jump(self, machine, *words, login=ME, options=(), **more):
        """ssh -J hub login@machine WORDS..."""
        return self.ssh("-J", "hub", *options, f"{login}@{machine}", *words, **more)

    def popen(self, *words, env=None):
        """ssh with pipes, for conversations."""
        argv = ["ssh", *self.options(), *words]
        if self.netns is not None:
            argv = ["ip", "netns", "exec", self.netns.full] + argv
        popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.bench.env(env),
                                 cwd=self.bench.root, bufsize=0, start_new_session=True)
        self.bench.closers.append(functools.partial(_end_popen, popen))
        return popen

    def jump_popen(self, machine, *words, options=(), env=None):
        return self.popen("-J", "hub", *options, f"{ME}@{machine}", *words, env=env)

    def ppk(self):
        """The key in PuTTY's format."""
        path = self.folder / "key.ppk"
        if not path.exists():
            subprocess.run(["puttygen", str(self.key), "-O", "private", "-o", str(path)], check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL)
        return path

    def quoted_config(self):
        return " ".join(shlex.quote(word) for word in self.options())


def _end_popen(popen):
    if popen.poll() is None:
        popen.kill()
    popen.wait()
    for pipe in (popen.stdin, popen.stdout, popen.stderr):
        if pipe:
            try:
                pipe.close()
            except OSError:
                pass


class Agent:
    """multissh-agent: joins a hub and runs."""

    def __init__(self, bench, hub, name="web01", ssh=None, invite=True, flags=(), netns=None, state=None, start=True, target=None, wait=True,
                 command_flags=(), env=None):
        self.bench, self.hub, self.name, self.netns = bench, hub, name, netns
        self.state = state or bench.folder(f"agent-{name}")
        self.ssh = ssh if ssh is None or isinstance(ssh, str) else ssh.at
        self.flags, self.command_flags, self.env = list(flags), list(command_flags), env
        self.process = None
        if target is None:
            target = hub.invite(name) if invite else hub.public
        self.target = target
        if start:
            self.join()
            if wait:
                hub.wait_online(name)

    def argv_join(self, *more):
        argv = [program("multissh-agent"), "--state", self.state, *self.flags, "join", self.target, "--name", self.name]
        if self.ssh:
            argv += ["--ssh", self.ssh]
        return argv + self.command_flags + list(more)

    def join(self, *more):
        return self._start(*self.argv_join(*more))

    def _start(self, *argv):
        first = self.process is None
        self.process = self.bench.start(f"agent-{self.name}", *argv, netns=self.netns, env=self.env)
        if first:
            self.bench.closers.append(self.end)
        return self

    def run(self, *flags):
        """What a service does after the first time: run what was joined."""
        argv = [program("multissh-agent"), "--state", self.state, *self.flags, *flags]
        if self.ssh:
            argv += ["--ssh", self.ssh]
        return self._start(*argv, "run")

    def stop(self, **options):
        """Ends the agent alone: its sessions go on, as after `systemctl stop`."""
        return self.process.stop(**options)

    def end(self):
        """Ends it and all its sessions, as an operator would."""
        if self.process.running():
            self.process.stop(number=signal.SIGINT)
        if self.keepers():
            self.command("stop", "--all", check=False)

    def command(self, *words, check=True):
        done = self.bench.run(program("multissh-agent"), "--state", self.state, *words)
        return done.ok() if check else done

    def keepers(self):
        """The processes that keep its sessions: as they say it themselves."""
        found = []
        for path in (Path(self.state) / "sessions").glob("*.keeper"):
            with contextlib.suppress(FileNotFoundError):
                found.append(json.loads(path.read_text())["pid"])
        return sorted(found)

    def log(self, since=0):
        return self.process.log(since)

    def wait_log(self, pattern, timeout=10.0, since=0):
        return self.process.wait_log(pattern, timeout, since)

    def mark(self):
        return self.process.log_size()

    def fingerprint(self):
        match = re.search(r"SHA256:[A-Za-z0-9+/]{43}", self.log())
        assert match, self.log()
        return match.group(0)


SLOW = 3 if sanitized() else 1
