"""The built-in SSH server and OpenSSH's, each behind a listener that starts one process per connection, in a world of its own.

A world is a mount namespace with its own /etc, /home, /root, /run and /var/log: accounts, PAM and records of its own; the machine's
files are never changed, and all is gone with its holder process. RootWorld: the server is root. UserWorld: it is an ordinary
account (of the namespace when the tests are root, else whoever runs them, under another name). Nothing here knows how the server
works inside."""
import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from . import proc
from .bench import program
from .parts import Agent, User, keygen
from .terminal import Terminal
from .wait import free_port, wait_for

TOOLS_PATH = os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"
FIRST_UID = 41001
REAL = os.environ.get("MULTISSH_TEST_SERVER") == "openssh"
# What the server's first process says of its second one; of commands it does not speak.
CRASH = re.compile(r"speaks SSH was ended by signal (" + "|".join(str(int(number)) for number in proc.CRASHES) + r")\b")
# In the namespace; what is there before (of the machine) is only covered.
INSIDE = "/mnt"

SETUP = Path(__file__).with_name("world.sh")

@functools.lru_cache(maxsize=1)
def unavailable():
    """Why there can be no world of our own here, or None."""
    tried = subprocess.run([*_unshare(), "sh", "-c", "mount -t tmpfs x /mnt && mount --bind /mnt /home && mkdir /home/x"], capture_output=True, text=True,
                           check=False, env={"PATH": TOOLS_PATH})
    if tried.returncode != 0:
        return f"a mount namespace with files of its own is not to be had here: {tried.stderr.strip()}"
    return None


def unavailable_root():
    return "accounts of our own, and a server that is root, need root" if os.geteuid() != 0 else unavailable()


def _unshare():
    words = ["unshare", "--mount", "--propagation", "private"]
    return words if os.geteuid() == 0 else [*words, "--user", "--map-current-user", "--keep-caps"]


def password_hash(password):
    return subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password + "\n", capture_output=True, text=True, check=True).stdout.strip()


class Account:
    def __init__(self, name, uid, gid, home, shell):
        self.name, self.uid, self.gid, self.home, self.shell = name, uid, gid, home, shell


class World:
    """The namespace: its accounts and files."""

    root = False

    def __init__(self, bench):
        self.bench = bench
        self.folder = bench.folder("world")
        self.accounts = {}
        self._uids = FIRST_UID
        programs = [str(program(name)) for name in ("multissh-sshd", "multissh-agent") if program(name).exists()]
        self.holder = bench.start(
            "world", *_unshare(), "sh", SETUP, self.folder, *programs, stdin=subprocess.PIPE)
        self.holder.wait_log(r"^ready$", 20)
        self.namespace = os.readlink(f"/proc/{self.holder.pid}/ns/mnt")
        bench.closers.append(self.close)
        self._first_accounts()

    # --- accounts ---
    def _first_accounts(self):
        if os.geteuid() == 0:
            self._keep("passwd", lambda fields: int(fields[2]) < 1000 or fields[0] == "nobody")
            self._keep("group", lambda fields: int(fields[2]) < 1000 or fields[0] == "nogroup")
            names = [line.split(":")[0] for line in self.read("/etc/passwd").splitlines()]
            self.write("/etc/shadow", "".join(f"{name}:*:19000:0:99999:7:::\n" for name in names), mode=0o640)
            self.write("/etc/gshadow", "", mode=0o640)
            self.accounts["root"] = Account("root", 0, 0, "/root", "/bin/bash")
            self._replace_line("/etc/passwd", "root", "root:x:0:0:root:/root:/bin/bash")
        else:
            self._keep("passwd", lambda fields: int(fields[2]) != os.getuid())  # who it is here is another name

    def _keep(self, name, wanted):
        lines = self.read(f"/etc/{name}").splitlines()
        self.write(f"/etc/{name}", "".join(line + "\n" for line in lines if line.count(":") >= 3 and wanted(line.split(":"))))

    def _replace_line(self, path, name, line):
        lines = [old for old in self.read(path).splitlines() if old.split(":")[0] != name]
        target = self.path(path)
        status = target.stat() if target.exists() else None
        new = target.with_name(target.name + ".new")
        new.write_text("\n".join([*lines, line] if line else lines) + "\n")
        if status:
            new.chmod(status.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.chown(new, status.st_uid, status.st_gid)
        os.replace(new, target)

    def account(self, name, shell="/bin/bash", home=None, make_home=True, hash="*", expires="", changed="19000", max_days="99999", groups=()):
        """A new account. hash: as in shadow ("!…" is locked; see password_hash); expires, changed: days since 1970."""
        uid = self._uids if os.geteuid() == 0 else os.getuid()
        gid = uid if os.geteuid() == 0 else os.getgid()
        self._uids += 1
        made = self.accounts[name] = Account(name, uid, gid, home or f"/home/{name}", shell)
        self._replace_line("/etc/passwd", name, f"{name}:x:{uid}:{gid}:{name} of the tests,,,:{made.home}:{shell}")
        if os.geteuid() == 0:
            self._replace_line("/etc/group", name, f"{name}:x:{gid}:")
            self.shadow(name, hash, expires, changed, max_days)
            for group in groups:
                self.group(group, name)
        if make_home:
            self.mkdir(made.home, owner=name, mode=0o755)
        return made

    def shadow(self, name, hash="*", expires="", changed="19000", max_days="99999"):
        self._replace_line("/etc/shadow", name, f"{name}:{hash}:{changed}:0:{max_days}:7::{expires}:")

    def group(self, group, *members):
        self._uids += 1
        self._replace_line("/etc/group", group, f"{group}:x:{self._uids + 1000}:{','.join(members)}")

    @property
    def login(self):
        """Who usually logs in here."""
        return next(name for name in self.accounts if name != "root")

    def owner(self, path, name):
        if os.geteuid() == 0 and name is not None:
            account = self.accounts[name]
            os.chown(self.path(path), account.uid, account.gid, follow_symlinks=False)

    # --- files: an absolute path of the namespace, seen from here ---
    def path(self, inside):
        assert str(inside).startswith("/"), inside
        return Path(f"/proc/{self.holder.pid}/root{inside}")

    def home(self, name=None):
        return self.path(self.accounts[name or self.login].home)

    def read(self, path):
        return self.path(path).read_text()

    def write(self, path, text, owner=None, mode=0o644):
        """Owner None: root (or whoever runs the tests)."""
        if isinstance(text, str):
            text = text.encode()
        # At once: a server may be reading what was there.
        fresh = f"{path}.new-{self.bench.number()}"
        self.path(fresh).write_bytes(text)
        self.path(fresh).chmod(mode)
        self.owner(fresh, owner)
        return self.path(fresh).replace(self.path(path))

    def mkdir(self, path, owner=None, mode=0o755):
        target = self.path(path)
        target.mkdir(parents=True, exist_ok=True)
        target.chmod(mode)
        self.owner(path, owner)
        return target

    def write_home(self, name, path, text, mode=0o600):
        """A file of the account's, in its home, with the folders to it."""
        home = self.accounts[name].home
        folder = ""
        for part in path.split("/")[:-1]:
            folder += "/" + part
            if not self.path(home + folder).exists():
                self.mkdir(home + folder, owner=name, mode=0o700)
        return self.write(f"{home}/{path}", text, owner=name, mode=mode)

    def authorize(self, name, *publics, options="", more=""):
        """Replaces the account's authorized_keys: these keys (texts "type base64"), each with options; more: lines as they are."""
        lines = "".join(f"{options + ' ' if options else ''}{public} test\n" for public in publics)
        return self.write_home(name, ".ssh/authorized_keys", lines + more)

    # --- processes ---
    def enter(self, *argv, user=None):
        """The words that run argv inside (user: an account's name; None: as what the tests are)."""
        words = ["nsenter", "--target", str(self.holder.pid), "--mount"]
        if os.geteuid() != 0:
            words += ["--user", "--preserve-credentials"]
        elif user is not None and user != "root":
            account = self.accounts[user]
            words += ["--", "setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups"]
        return [*words, "--", *map(str, argv)]

    def environment(self, user=None, extra=None):
        account = self.accounts.get(user or "root")
        env = {"HOME": account.home, "USER": account.name, "LOGNAME": account.name} if account else {}
        return {**env, **(extra or {})}

    def run(self, *argv, user=None, env=None, **options):
        return self.bench.run(*self.enter(*argv, user=user), env=self.environment(user, env), **options)

    def processes(self, uid=None):
        """All that live in this world (of one account), but its holder: pid -> command line."""
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == self.holder.pid:
                continue
            try:
                if os.readlink(f"/proc/{entry}/ns/mnt") != self.namespace:
                    continue
                if uid is not None and os.stat(f"/proc/{entry}").st_uid != uid:
                    continue
            except OSError:
                continue
            found[int(entry)] = proc.command_of(int(entry)) or "(gone)"
        return found

    def find(self, pattern):
        """The pids here whose command line matches."""
        return [pid for pid, command in self.processes().items() if re.search(pattern, command)]

    def zombies(self):
        """Dead children that a process of this world has not reaped (their own namespace cannot be seen any more)."""
        found = []
        parents = set(self.processes())
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError, IndexError, ValueError), open(f"/proc/{entry}/stat", encoding="latin-1") as stat:
                    fields = stat.read().rpartition(")")[2].split()
                    if fields[0] == "Z" and int(fields[1]) in parents:
                        found.append(int(entry))
        return found

    def end_processes(self):
        """What is left (nohup'd ones of tests) is ended, by pid."""
        end = time.monotonic() + 10
        while True:
            left = self.processes()
            if not left:
                return
            if time.monotonic() > end:
                raise AssertionError(f"these cannot be ended: {left}")
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.01)

    def close(self):
        self.end_processes()
        if self.holder.popen.stdin:
            with contextlib.suppress(OSError):
                self.holder.popen.stdin.close()
        self.holder.popen.wait(10)


class RootWorld(World):
    """The server is root; alice and bob can log in, and root."""

    root = True

    def __init__(self, bench):
        super().__init__(bench)
        self.account("alice")
        self.account("bob", shell="/bin/sh")
        self.server_user = None
        packaged = Path(__file__).resolve().parents[3] / "packaging" / "multissh-sshd.pam"
        if packaged.exists():
            self.write("/etc/pam.d/multissh-sshd", packaged.read_bytes())


class UserWorld(World):
    """The server is alice, and nobody else can log in."""

    def __init__(self, bench):
        super().__init__(bench)
        self.account("alice")
        self.server_user = "alice"


class Listener:
    """Starts a server for each connection, as inetd does: the connection is descriptor 0 and 1, the log 2 (classic: the connection, too). One of a
    bench's processes."""

    def __init__(self, world, name, env=None, classic=False):
        self.world, self.bench, self.name = world, world.bench, name
        self.log_path = self.bench.path(f"{name}.{self.bench.number()}.log")
        self.log_path.touch()
        self.env, self.classic = env, classic
        self.port = free_port()
        self.address = "127.0.0.1"
        self.connections = []  # Popen, in the order in which they came
        self._starting = threading.Lock()  # held until one that is being started is among them
        self.faults_expected = False
        self._searched = 0
        self._told = set()
        self._closed = False
        self.listener = socket.create_server((self.address, self.port), backlog=500)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        self.bench.procs.append(self)

    def command(self):
        raise NotImplementedError

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                if not self._closed:
                    self._start(connection)

    def _start(self, connection):
        connection.setblocking(True)
        # Its session may be over before this thread comes to run again.
        with self._starting, open(self.log_path, "ab") as log:
            popen = subprocess.Popen(
                self.world.enter(*self.command(), user=self.world.server_user), stdin=connection,
                stdout=connection, stderr=connection if self.classic else log, cwd="/", start_new_session=True,
                env=self.bench.env(self.world.environment(self.world.server_user, self.env)))
            self.connections.append(popen)
        threading.Thread(target=popen.wait, daemon=True).start()  # so that none stays a zombie

    # --- as other processes of a bench ---
    @property
    def pid(self):
        return -1

    @property
    def popen(self):
        return self

    @property
    def returncode(self):
        return 0 if self._closed else None

    @property
    def argv(self):
        return [str(word) for word in self.command()]

    def running(self):
        return not self._closed

    def log(self, since=0):
        with open(self.log_path, "rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def log_size(self):
        return os.path.getsize(self.log_path)

    mark = log_size

    def wait_log(self, pattern, timeout=10.0, since=0):
        compiled = re.compile(pattern, re.M | re.I)
        return wait_for(lambda: compiled.search(self.log(since)), timeout, lambda: f"{pattern!r} in the log of {self.name}:\n{self.log(since)}")

    def stop(self, timeout=10.0, number=signal.SIGTERM):
        """No new connections; the servers of those that are there are told to end."""
        self._closed = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)
        for popen in self.connections:
            if popen.poll() is None:
                popen.send_signal(number)
        end = time.monotonic() + timeout
        stubborn = []
        for popen in self.connections:
            try:
                popen.wait(max(0.01, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()
                stubborn.append(popen.pid)
        if stubborn:
            raise AssertionError(f"{self.name}: {stubborn} did not end within {timeout} s of signal {number}:\n{self.log()[-3000:]}")
        return 0

    def complaint(self):
        text = self.log(self._searched)
        self._searched = self.log_size()
        found = proc.FAULTS.search(text)
        if found:
            return f"{self.name}: {found.group(0)}:\n{text[max(0, found.start() - 500):found.start() + 6000]}"
        if self.faults_expected:
            return None
        found = CRASH.search(text)
        if found:
            return f"{self.name}: {found.group(0)}:\n{text[-4000:]}"
        for popen in self.connections:
            if popen.returncode is not None and popen.returncode < 0 and -popen.returncode in proc.CRASHES and popen.pid not in self._told:
                self._told.add(popen.pid)
                return f"{self.name} (pid {popen.pid}) was ended by signal {-popen.returncode}:\n{text[-4000:]}"
        return None

    # --- for tests ---
    @property
    def at(self):
        return f"{self.address}:{self.port}"

    def live(self):
        """The servers of connections that are there."""
        with self._starting:
            return [popen for popen in self.connections if popen.poll() is None]

    def latest(self):
        with self._starting:
            return self.connections[-1]

    def wait_idle(self, timeout=10.0):
        """Until every connection's server has ended; returns their statuses."""
        wait_for(lambda: not self.live(), timeout, lambda: f"{self.name}: all connections have ended; {[p.pid for p in self.live()]} have not:\n"
                 f"{self.world.processes()}\n{self.log()[-3000:]}")
        return [popen.returncode for popen in self.connections]


class BuiltIn(Listener):
    """multissh-sshd --inetd. Flags may be changed between connections."""

    def __init__(self, world, *flags, config=None, env=None, classic=False):
        self.flags = [str(flag) for flag in flags]
        self.binary = f"{INSIDE}/bin/multissh-sshd"
        number = world.bench.number()
        user = world.server_user
        self.state = f"{world.accounts[user].home}/.state-{number}" if user else f"/root/state-{number}"
        world.mkdir(self.state, owner=user, mode=0o700)
        self.config = None
        if config is not None:
            self.config = f"{self.state}/sshd.conf"
            world.write(self.config, config, owner=user, mode=0o600)
        super().__init__(world, "multissh-sshd", env, classic)

    def command(self):
        return [self.binary, "--inetd", "--state", self.state, *self.flags]

    def run(self, *words, **options):
        """The program by hand, with this state."""
        return self.world.run(self.binary, "--state", self.state, *words, user=self.world.server_user, **options)

    def public_host_key(self):
        """type and base64"""
        return " ".join(self.run("--print-host-key").ok().out.split()[:2])


class RealSshd(Listener):
    """OpenSSH's, configured as Debian has it (but for passwords and X11), with its host key and log here."""

    def __init__(self, world, *lines, env=None):
        user = world.server_user
        self.state = f"{world.accounts[user].home}/.sshd-{world.bench.number()}" if user else f"/root/sshd-{world.bench.number()}"
        world.mkdir(self.state, owner=user, mode=0o700)
        key = keygen(world.bench.path(f"sshd-key.{world.bench.number()}"), comment="host")
        self.public = " ".join(Path(f"{key}.pub").read_text().split()[:2])
        world.write(f"{self.state}/host_key", key.read_bytes(), owner=user, mode=0o600)
        self.config = f"{self.state}/config"
        wanted = [*lines, f"HostKey {self.state}/host_key", "PidFile none", f"UsePAM {'no' if user else 'yes'}", "PasswordAuthentication no",
                  "KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password", f"PrintMotd {'yes' if user else 'no'}", "AcceptEnv LANG LC_*",
                  "LogLevel VERBOSE", "MaxSessions 100", "Subsystem sftp internal-sftp"]
        world.write(self.config, "\n".join(wanted) + "\n", owner=user)
        super().__init__(world, "sshd", env)

    def command(self):
        return ["/usr/sbin/sshd", "-i", "-e", "-f", self.config]

    def public_host_key(self):
        return self.public


class InnerAgent(Agent):
    """multissh-agent in a world, as its server's user; users reach the built-in SSH server."""

    def __init__(self, world, hub, name="web01", flags=(), **more):
        self.world = world
        user = world.server_user
        state = f"{world.accounts[user].home}/.agent-{world.bench.number()}" if user else f"/root/agent-{world.bench.number()}"
        world.mkdir(state, owner=user, mode=0o700)
        super().__init__(world.bench, hub, name, state=state, env=world.environment(user), flags=["--ssh-mode", "built-in", "--sshd-socket", "none", *flags],
                         **more)

    def argv_join(self, *more):
        argv = [f"{INSIDE}/bin/multissh-agent", *map(str, super().argv_join(*more)[1:])]
        return self.world.enter(*argv, user=self.world.server_user)


def server(world, **options):
    """The server that is tested: multissh-sshd; or OpenSSH's when MULTISSH_TEST_SERVER is "openssh", for what both must do."""
    return RealSshd(world, **options) if REAL else BuiltIn(world, **options)


class Visitor(User):
    """A person with a key and an ssh config in which `box` is the server. login: the account (default: the world's usual one), which lets the key
    in unless authorize is false."""

    def __init__(self, server, login=None, authorize=True, name="visitor", extra=(), **more):
        super().__init__(server.bench, name, **more)
        self.server, self.extra = server, list(extra)
        self.login = login or server.world.login
        if authorize:
            server.world.authorize(self.login, self.public)
        self.write_config()

    def write_config(self):
        lines = [*self.extra, f"HostName {self.server.address}", f"Port {self.server.port}", f"User {self.login}", f"IdentityFile {self.key}",
                 "IdentitiesOnly yes", "IdentityAgent none", f"UserKnownHostsFile {self.known_hosts}", "GlobalKnownHostsFile /dev/null",
                 "StrictHostKeyChecking accept-new", "BatchMode yes", "LogLevel INFO", "UpdateHostKeys no",
                 "KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256"]
        self.config.write_text("\n".join(["Host box", *(f"  {line}" for line in lines)]) + "\n")
        return self

    def run(self, *words, options=(), **more):
        """ssh box WORDS..."""
        return self.ssh(*options, "box", *words, **more)

    def terminal(self, *words, options=(), rows=24, columns=80, env=None):
        """ssh box WORDS... at a terminal of its own."""
        return Terminal(self.bench, "ssh", *self.options(), *options, "box", *words, rows=rows, columns=columns, env=env)

    def talk(self, *words, options=(), env=None):
        """ssh box WORDS... with pipes."""
        return self.popen(*options, "box", *words, env=env)


def copy_in(world, source, inside, owner=None, mode=0o755):
    """A file of the machine's, for accounts that cannot reach it where it is."""
    shutil.copyfile(source, world.path(inside))
    world.path(inside).chmod(mode)
    world.owner(inside, owner)
    return inside
