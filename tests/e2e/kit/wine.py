"""Windows, as Wine has it: a prefix of its own with the programs in it, its processes, and the agent that runs there.

Every Windows program is a process of this system whose environment names the prefix, so they are found, and ended, by pid."""
import contextlib
import functools
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from .bench import ROOT
from .parts import ME, Agent
from .wait import free_port, wait_for

WINE = Path("/usr/lib/wine/wine64")
SERVER = Path("/usr/lib/wine/wineserver64")
COMPILER = "x86_64-w64-mingw32-gcc"
WINDOWS_BUILD = Path(os.environ.get("MULTISSH_WINDOWS_BUILD", "build-windows"))
if not WINDOWS_BUILD.is_absolute():
    WINDOWS_BUILD = ROOT / WINDOWS_BUILD
PROGRAMS = ("multissh-agent", "multissh-sshd", "multissh")
CMD = "C:\\windows\\system32\\cmd.exe"
# Where they are installed; the space is meant.
INSTALLED = "C:\\Program Files\\multiSSH"
# What Windows itself runs, here.
SYSTEM = {"wineserver64", "services.exe", "explorer.exe", "winedevice.exe", "plugplay.exe", "svchost.exe", "rpcss.exe", "wineboot.exe"}


@functools.lru_cache(maxsize=1)
def unavailable():
    """Why there is no Windows here, or None."""
    if not WINE.exists():
        return f"Wine is not installed: there is no {WINE} (Debian: apt-get install wine64 wine)"
    if not shutil.which(COMPILER):
        return f"{COMPILER}, which compiles the tests' own programs, is not installed"
    missing = [f"{name}.exe" for name in PROGRAMS if not (WINDOWS_BUILD / f"{name}.exe").exists()]
    if missing:
        return f"not built in {WINDOWS_BUILD}: {', '.join(missing)} (make windows, or say where with MULTISSH_WINDOWS_BUILD)"
    return None


@functools.lru_cache(maxsize=1)
def words():
    """What starts a program of Windows. Without its preloader (Debian's has none) Wine finds what it needs of the address space taken now and then, in
    one of some thousand starts, if the system puts things anywhere; so not at random, where that may be chosen."""
    fixed = ["setarch", "-R"]
    return (*(fixed if subprocess.run([*fixed, "true"], capture_output=True, check=False).returncode == 0 else []), str(WINE))


class Prefix:
    """A Windows machine with an account of the name that the tests run under."""

    def __init__(self, programs=True):
        self.root = Path(tempfile.mkdtemp(prefix="ms-wine-", dir="/tmp"))
        self.path = self.root / "prefix"
        self.c = self.path / "drive_c"
        self._numbers = 0
        self._holder = None
        try:
            self._make()
            if programs:
                self.install()
        except BaseException:
            self.close()
            raise

    # --- life ---
    def _make(self):
        (self.root / "home").mkdir()
        # Programs without a window; nothing of a desktop, of .NET or of a browser is made.
        self._run(*words(), "winecfg", "-v", "win10", timeout=120)
        # While one program of a user runs, the system's own stay, and the desktop: they are not started by a test's program, with its
        # variables and (Wine's desktop does that) with its pipes. That one waits for the end of its input.
        probe = compile_program(ROOT / "tests/windows/programs/probe.c", self.root / "probe.exe")
        self._holder = subprocess.Popen([*words(), self.windows(probe), "hold"], env=self.environment(), cwd=self.root, stdin=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for(lambda: {"services.exe", "explorer.exe"} <= set(self.processes(system=True).values()), 30, "Wine's services run")

    def _run(self, *argv, timeout=60):
        done = subprocess.run([str(word) for word in argv], env=self.environment(), cwd=self.root, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout, check=False)
        assert done.returncode == 0, f"{argv}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def install(self):
        folder = self.unix(INSTALLED)
        folder.mkdir(parents=True)
        for name in PROGRAMS:
            shutil.copy(WINDOWS_BUILD / f"{name}.exe", folder)
        shutil.copy(self.root / "probe.exe", self.c)

    def close(self):
        """Ends it; returns what was still running that should not."""
        left = self.programs()
        if self._holder:
            self._holder.stdin.close()
        for number, seconds in ((signal.SIGTERM, 0 if not left else 3), (signal.SIGKILL, 10)):
            self._end(left, number, seconds)
        try:
            # The system's own end when the last user's has.
            wait_for(lambda: not self.processes(system=True), 15)
        except AssertionError:
            self._end(self.processes(system=True), signal.SIGKILL, 10)
        if self._holder:
            self._holder.wait(10)
        shutil.rmtree(self.root, ignore_errors=True)
        return left

    def _end(self, pids, number, seconds):
        end = time.monotonic() + seconds
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while any(pid in self.processes(system=True) for pid in pids) and time.monotonic() < end:
            time.sleep(0.02)

    def environment(self):
        """What makes a program run here; added to a bench's environment."""
        return {"WINEPREFIX": str(self.path), "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "winemenubuilder.exe,mscoree,mshtml=d", "PATH": "/usr/bin:/bin",
                "HOME": str(self.root / "home"), "LANG": "C.UTF-8", "LOGNAME": ME}

    def bench_environment(self, extra=None):
        """The same beside a bench's own, by whose home what it started is known."""
        return {name: value for name, value in self.environment().items() if name.startswith("WINE")} | (extra or {})

    # --- paths ---
    def windows(self, path):
        """The name of a file of this system, there."""
        path = Path(path)
        if path.is_relative_to(self.c):
            return "C:\\" + str(path.relative_to(self.c)).replace("/", "\\").removeprefix(".")
        return "Z:" + str(path).replace("/", "\\")

    def unix(self, path):
        """The file of this system that C:\\… is."""
        assert path.startswith("C:\\"), path
        return self.c / path[3:].replace("\\", "/")

    def folder(self, name):
        self._numbers += 1
        path = self.c / "ms" / f"{name}-{self._numbers}"
        path.mkdir(parents=True, mode=0o700)
        return path

    @property
    def profile(self):
        return self.c / "users" / ME

    @property
    def authorized(self):
        return self.profile / ".ssh" / "authorized_keys"

    def authorize(self, *users, options="", more=""):
        """Replaces the account's authorized_keys, at once."""
        self.authorized.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = self.authorized.with_name("new")
        fresh.write_text("".join(f"{options + ' ' if options else ''}{user.public} {user.name}\n" for user in users) + more)
        fresh.chmod(0o600)
        fresh.replace(self.authorized)

    # --- processes ---
    def argv(self, name, *arguments):
        """The words that run a program: one of ours by its name, or a path."""
        path = name if "\\" in name else f"{INSTALLED}\\{name}.exe"
        return [*words(), path, *map(str, arguments)]

    def run(self, bench, name, *arguments, env=None, **options):
        return bench.run(*self.argv(name, *arguments), env=self.bench_environment(env), **options)

    def start(self, bench, title, name, *arguments, env=None, **options):
        return bench.start(title, *self.argv(name, *arguments), env=self.bench_environment(env), **options)

    def processes(self, system=False, variable=None):
        """What runs here: pid -> the program's name (of ours alone, or Wine's too). variable: those alone that have this in their environment."""
        found = {}
        wanted = {f"WINEPREFIX={self.path}".encode()} | ({variable.encode()} if variable else set())
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/environ", "rb") as environ:
                    if not wanted <= set(environ.read().split(b"\0")):
                        continue
                with open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as comm:
                    name = comm.read().rstrip("\n")
            except OSError:
                continue
            # The system keeps 15 characters; and typed at a prompt it may come without .exe.
            name = next((known for known in (*SYSTEM, *(f"{program}.exe" for program in PROGRAMS)) if name in (known[:15], known.removesuffix(".exe"))), name)
            if system or name not in SYSTEM:
                found[int(entry)] = name
        return found

    def programs(self, variable=None):
        """What users run here, but what the kit itself keeps."""
        found = self.processes(variable=variable)
        if self._holder:
            found.pop(self._holder.pid, None)
        return found

    def find(self, name):
        return [pid for pid, program in self.programs().items() if program == f"{name}.exe"]

    def wait_gone(self, pids, timeout=15):
        """Until none of these runs any more."""
        wait_for(lambda: not set(pids) & set(self.processes()), timeout,
                 lambda: "these have ended: " + ", ".join(f"{pid} {name}" for pid, name in self.processes().items() if pid in pids))


def compile_program(source, target):
    subprocess.run([COMPILER, "-std=c17", "-municode", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-D_WIN32_WINNT=0x0A00", "-D__USE_MINGW_ANSI_STDIO=1",
                    "-static", str(source), "-o", str(target), "-lbcrypt", "-lws2_32", "-luser32"], check=True)
    return target


class WinAgent(Agent):
    """multissh-agent.exe, run by hand, in a prefix. users: who may log in by their key, as the account that runs it. What it leaves running when it
    has ended is a fault, and told at the end."""

    def __init__(self, bench, hub, prefix, name=None, users=(), ssh=None, conf=None, sshd_conf=None, env=None, state=None, **more):
        self.prefix = prefix
        self.port = free_port()
        # Each has a host key of its own, so a name of its own.
        name = name or f"win-{bench.number()}"
        state = state or prefix.folder(f"agent-{name}")
        if conf is not None:
            (state / "agent.conf").write_text(conf)
        if sshd_conf is not None:
            (state / "sshd").mkdir(mode=0o700, exist_ok=True)
            (state / "sshd" / "sshd.conf").write_text(sshd_conf)
        if users:
            prefix.authorize(*users)
        # Nobody listens there, until a test wants it.
        self.mark_of = f"MULTISSH_TEST_AGENT={state}"
        marked = dict([self.mark_of.split("=", 1)])
        bench.closers.append(self._end)
        super().__init__(bench, hub, name, ssh=ssh or f"127.0.0.1:{self.port}", state=state, env=prefix.bench_environment(marked | (env or {})), **more)

    def words_join(self):
        words = ["--state", self.prefix.windows(self.state), *self.flags, "join", self.target, "--name", self.name]
        if self.ssh:
            words += ["--ssh", self.ssh]
        return words + self.command_flags

    def argv_join(self, *more):
        return self.prefix.argv("multissh-agent", *self.words_join(), *more)

    def run(self, *flags):
        self.process = self.bench.start(
            f"agent-{self.name}", *self.prefix.argv("multissh-agent", "--state", self.prefix.windows(self.state), *self.flags, *flags, "run"), env=self.env)
        return self

    def stop(self, **options):
        """Without a console there is no event that ends it in order: this is the task manager's way."""
        return self.process.stop(**options)

    def processes(self):
        """What it runs, and what these run: pid -> the program's name."""
        return self.prefix.programs(self.mark_of)

    def others(self):
        """What it runs beside itself and its keepers: pid -> the program's name."""
        return {pid: name for pid, name in self.processes().items() if name != "multissh-agent.exe"}

    def end(self):
        pass  # _end does

    def _end(self):
        """All of that ends with it."""
        if self.process:
            self.process.kill()
        if self.keepers():
            self.command("stop", "--all")
        # Wine's own, of a program that was killed before it had said a word, may stay.
        self.prefix.wait_gone([pid for pid, name in self.processes().items() if name != "conhost.exe"])
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def keepers(self):
        """The files of the processes that keep its sessions. (The pid that one has is Windows' own.)"""
        return sorted((self.state / "sessions").glob("*.keeper"))

    def command(self, *words, check=True):
        done = self.prefix.run(self.bench, "multissh-agent", "--state", self.prefix.windows(self.state), *words)
        return done.ok() if check else done

    def row(self):
        return self.hub.machines()[self.name]

    def wait_ssh(self, kind, state=None, timeout=20):
        def look():
            row = self.row()
            return row.get("ssh") == kind and (state is None or row.get("ssh_state") == state) and row
        return wait_for(look, timeout, lambda: f"ssh is {kind}: {self.row()}\n{self.log()}")

    def servers(self):
        """The pids of the SSH servers that run."""
        return [pid for pid, name in self.processes().items() if name == "multissh-sshd.exe"]


class SystemSsh:
    """The ssh of this system, as a user has it, for the programs there: ssh.exe (tests/windows/programs/ssh.c) in the prefix calls it. variables: what
    ssh.exe needs in its environment. calls: the arguments of each, as they came."""

    def __init__(self, prefix, user):
        self.prefix, self.user, self.bench = prefix, user, user.bench
        self.folder = prefix.folder("ssh")
        compile_program(ROOT / "tests/windows/programs/ssh.c", self.folder / "ssh.exe")
        self.program = prefix.windows(self.folder / "ssh.exe")
        self.pipes = prefix.windows(compile_program(ROOT / "tests/windows/programs/pipes.c", self.folder / "pipes.exe"))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.variables = {"MULTISSH_TEST_SSH": str(self.listener.getsockname()[1])}
        self.calls = []
        self.running = []
        self.threads = [threading.Thread(target=self._serve, daemon=True)]
        self.threads[0].start()
        self.bench.closers.append(self.close)

    def client(self, kind="anonymous"):
        """The file that runs multissh.exe there, for a ProxyCommand of this system; with pipes of that kind (programs/pipes.c)."""
        path = self.bench.path(f"multissh.{self.bench.number()}")
        settings = self.prefix.bench_environment(self.variables | {"MULTISSH_SSH": self.program, "MULTISSH_HUB": "hub"})
        lines = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
        words_there = " ".join(map(shlex.quote, [*words(), self.pipes, kind, *self.prefix.argv("multissh")[len(words()):]]))
        path.write_text("\n".join(["#!/bin/sh", *lines, f'exec {words_there} "$@"']) + "\n")
        path.chmod(0o700)
        return path

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for popen in self.running:
            if popen.poll() is None:
                popen.terminate()
            popen.wait(15)
        for thread in self.threads:
            thread.join(15)

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._call, args=(connection,), daemon=True))
            self.threads[-1].start()

    def _call(self, connection):
        def exactly(size):
            data = b""
            while len(data) < size:
                more = connection.recv(size - len(data))
                if not more:
                    raise EOFError
                data += more
            return data

        def number():
            return struct.unpack(">I", exactly(4))[0]

        def words_of(call):
            # A program there cannot be run from here by its name.
            ours = f"{INSTALLED}\\multissh.exe"
            return [word.replace(f'"{ours}"', str(self.client())).replace(ours, str(self.client())) if ours in word else word for word in call]

        with connection:
            call = [exactly(number()).decode() for _ in range(number())]
            self.calls.append(call)
            popen = subprocess.Popen(["ssh", *map(str, self.user.options()), *words_of(call)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, env=self.bench.env(), cwd=self.bench.root, start_new_session=True, bufsize=0)
            self.running.append(popen)
            sending = threading.Lock()

            def output(kind, pipe):
                while data := pipe.read(65536):
                    with sending, contextlib.suppress(OSError):
                        connection.sendall(struct.pack(">II", kind, len(data)) + data)

            def take_input():
                with contextlib.suppress(OSError):
                    while data := connection.recv(65536):
                        popen.stdin.write(data)
                popen.stdin.close()

            moving = [threading.Thread(target=output, args=(1, popen.stdout), daemon=True), threading.Thread(target=output, args=(2, popen.stderr), daemon=True)]
            feeding = threading.Thread(target=take_input, daemon=True)
            for thread in (*moving, feeding):
                thread.start()
            for thread in moving:
                thread.join()
            status = popen.wait()
            with contextlib.suppress(OSError):
                connection.sendall(struct.pack(">II", 0, status & 0xff))
                connection.shutdown(socket.SHUT_RDWR)  # the one who feeds ends
            feeding.join()
