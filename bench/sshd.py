#!/usr/bin/python3
"""multissh-sshd against OpenSSH's sshd: how fast, and for how much CPU, scp and sftp move a big file and many small ones.

Both servers are started alike for each connection, by a listener that hands them the socket; the client is the stock one.
Runs alternate between the two, so that whatever else the machine does meets both."""
import argparse
import functools
import getpass
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from inetd import Inetd
from report import ROOT, Progress, facts, table, write_section

TITLE = "multissh-sshd and OpenSSH's sshd"
CIPHERS = {"default": None, "aes128-gcm": "aes128-gcm@openssh.com"}
PROGRAMS = ("scp", "sftp", "scp-O", "cat")
CHUNK = 1 << 20
RUN_MAX = 300  # seconds of one transfer


class Failed(Exception):
    """Something that ends the measurement, in words for whoever started it."""


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--build", default=os.environ.get("BUILD", "build"), help="the folder with multissh-sshd")
    parser.add_argument("--server", metavar="PROGRAM", help="another program than multissh-sshd of the build folder, called like it")
    parser.add_argument("--programs", default="scp,sftp", help=f"which clients, of {','.join(PROGRAMS)}")
    parser.add_argument("--directions", default="up,down", help="up (to the server), down")
    parser.add_argument("--loads", default="big,small", help="big (one file), small (many files)")
    parser.add_argument("--ciphers", default="default,aes128-gcm", help="default (the client's), aes128-gcm")
    parser.add_argument("--pairs", type=int, default=5, help="how often each is measured with each server")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="of the big file")
    parser.add_argument("--files", type=int, default=10000, help="how many small files, of 4 KiB each")
    parser.add_argument("--folder", default="/dev/shm", help="where the data goes: memory, lest the disk decides")
    parser.add_argument("--results", default=str(ROOT / "bench" / "RESULTS.md"), help="the file whose section is replaced")
    parser.add_argument("--no-results", action="store_true", help="print only")
    parser.add_argument("--quick", action="store_true", help="a small run that shows that everything works; not written down")
    args = parser.parse_args()
    if args.quick:
        args.pairs, args.size, args.files = 1, 4, 20
    args.no_results = args.no_results or (args.quick and args.results == parser.get_default("results"))
    for name, known in (("programs", PROGRAMS), ("directions", ("up", "down")), ("loads", ("big", "small")), ("ciphers", tuple(CIPHERS))):
        chosen = [word for word in getattr(args, name).split(",") if word]
        unknown = [word for word in chosen if word not in known]
        if unknown or not chosen:
            parser.error(f"--{name}: {', '.join(unknown) or 'nothing'} is not one of {', '.join(known)}")
        setattr(args, name, chosen)
    if min(args.pairs, args.size, args.files) < 1:
        parser.error("--pairs, --size and --files must be at least 1")
    return args


def need_room(folder, wanted):
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    if free < wanted:
        raise Failed(f"{folder} has {free >> 20} MiB free and {wanted >> 20} MiB are needed: free some, or choose --folder or a smaller --size")


class World:
    """The data, the keys, both servers, and a client's configuration that knows them as `openssh` and `ours`."""

    def __init__(self, args):
        # What is kept of a moment: source and target of the big file, and of the small ones (a page each at least).
        need_room(args.folder, (2 * args.size << 20) + 3 * args.files * 8192 + (64 << 20))
        self.args = args
        self.root = Path(tempfile.mkdtemp(prefix="multissh-bench-", dir=args.folder))
        self.servers = {}
        try:
            self._make_data()
            self._make_keys()
            self._start_servers()
        except BaseException:
            self.close()
            raise

    def close(self):
        for server in self.servers.values():
            server.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def _make_data(self):
        (self.root / "source").mkdir()
        with open(self.root / "source" / "big", "wb") as big:
            for _ in range(self.args.size):
                big.write(os.urandom(CHUNK))
        small = self.root / "source" / "small"
        small.mkdir()
        for number in range(self.args.files):
            # A hundred a folder, as they lie in real trees.
            folder = small / f"{number // 100:04d}"
            folder.mkdir(exist_ok=True)
            (folder / f"file-{number:05d}.dat").write_bytes(os.urandom(4096))

    def _make_keys(self):
        for name in ("user", "host_openssh"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.root / name)], check=True, stdin=subprocess.DEVNULL)
        (self.root / "authorized_keys").write_bytes((self.root / "user.pub").read_bytes())

    def _start_servers(self):
        sshd, ours = "/usr/sbin/sshd", Path(self.args.server) if self.args.server else Path(self.args.build) / "multissh-sshd"
        if not ours.is_absolute():
            ours = ROOT / ours
        for program, hint in ((Path(sshd), "install openssh-server"), (ours, "run make, or name the build folder with --build")):
            if not os.access(program, os.X_OK):
                raise Failed(f"{program} is not there: {hint}")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        keys = self.root / "authorized_keys"
        config = self.root / "sshd_config"
        config.write_text(
            f"HostKey {self.root}/host_openssh\nAuthorizedKeysFile {keys}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nUseDNS no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitUserRC no\nSubsystem sftp /usr/lib/openssh/sftp-server\n"
            # It starts sftp-server by the account's shell: that one's start-up files are nobody's speed.
            f"SetEnv HOME={self.root}\n",
            encoding="ascii")
        state = self.root / "state"
        state.mkdir(mode=0o700)
        self.servers["openssh"] = Inetd([sshd, "-i", "-e", "-f", config], self.log("openssh"))
        self.servers["ours"] = Inetd([ours, "--inetd", "--state", state, "--authorized-keys", keys, "--strict-modes", "no", "--pam", "no",
                                      "--user-rc", "no"], self.log("ours"))

    def log(self, name):
        return self.root / f"{name}.log"

    def client_config(self, cipher):
        """Curve25519 for both: what a handshake costs is not what is measured."""
        path = self.root / f"config-{cipher}"
        if not path.exists():
            lines = []
            for name, server in self.servers.items():
                lines += [f"Host {name}", "  HostName 127.0.0.1", f"  Port {server.port}", f"  HostKeyAlias {name}"]
            lines += ["Host *", f"  User {getpass.getuser()}", f"  IdentityFile {self.root}/user", "  IdentitiesOnly yes", "  IdentityAgent none",
                      f"  UserKnownHostsFile {self.root}/known_hosts", "  GlobalKnownHostsFile /dev/null", "  StrictHostKeyChecking accept-new",
                      "  BatchMode yes", "  UpdateHostKeys no", "  KexAlgorithms curve25519-sha256", "  LogLevel ERROR"]
            if CIPHERS[cipher]:
                lines.append(f"  Ciphers {CIPHERS[cipher]}")
            path.write_text("\n".join(lines) + "\n", encoding="ascii")
        return str(path)

    def run(self, name, argv, **options):
        """A client to its end: its standard error; the seconds it took; the CPU seconds of its server."""
        log = self.log(name)
        before = log.stat().st_size if log.exists() else 0
        began = time.monotonic()
        try:
            done = subprocess.run(argv, stderr=subprocess.PIPE, timeout=RUN_MAX, check=False, **{"stdout": subprocess.DEVNULL, **options})
        except subprocess.TimeoutExpired as error:
            raise Failed(f"'{' '.join(argv)}' was not done within {RUN_MAX} s:\n{self._said(error.stderr, log, before)}") from None
        took = time.monotonic() - began
        words = done.stderr.decode(errors="replace")
        if done.returncode != 0:
            raise Failed(f"'{' '.join(argv)}' ended with status {done.returncode}:\n{self._said(done.stderr, log, before)}")
        try:
            return words, took, self.servers[name].cpu_of_connection()
        except TimeoutError as error:
            raise Failed(str(error)) from None

    @staticmethod
    def _said(client, log, before):
        server = log.read_bytes()[before:].decode(errors="replace") if log.exists() else ""
        return f"{(client or b'').decode(errors='replace')}The server's log:\n{server}"

    def cipher_used(self, name, cipher):
        words, _, _ = self.run(name, ["ssh", "-v", "-F", self.client_config(cipher), "-o", "LogLevel=DEBUG1", name, "true"], stdin=subprocess.DEVNULL)
        match = re.search(r"kex: server->client cipher: (\S+)", words)
        return match.group(1) if match else "?"


class Case:
    """One transfer, with either server."""

    def __init__(self, world, program, direction, load, cipher):
        self.world, self.program, self.direction, self.load, self.cipher = world, program, direction, load, cipher
        self.times = {name: [] for name in world.servers}
        self.cpu = {name: [] for name in world.servers}

    def describe(self):
        what = f"{self.world.args.size} MiB" if self.load == "big" else f"{self.world.args.files} files"
        return f"{self.program} {self.direction}, {what}"

    def measure(self, name):
        source, target = self.world.root / "source" / self.load, self.world.root / "target"
        try:
            took, cpu = self._transfer(name, source, target)
            # Right, or it does not count.
            same = subprocess.run(["diff", "-rq", str(source), str(target)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if same.returncode != 0:
                raise Failed(f"{self.describe()} with {name}: what arrived is not what was sent: {same.stdout.decode()[:500]}")
        finally:
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
        self.times[name].append(took)
        self.cpu[name].append(cpu)

    def _transfer(self, name, source, target):
        config, run = self.world.client_config(self.cipher), functools.partial(self.world.run, name)
        tree = self.load == "small"
        if self.program.startswith("scp"):
            flags = ["-q", "-F", config] + (["-r"] if tree else []) + (["-O"] if self.program == "scp-O" else [])
            ends = [f"{source}", f"{name}:{target}"] if self.direction == "up" else [f"{name}:{source}", f"{target}"]
            _, took, cpu = run(["scp", *flags, *ends], stdin=subprocess.DEVNULL)
        elif self.program == "sftp":
            verb = ("put" if self.direction == "up" else "get") + (" -r" if tree else "")
            if tree and self.direction == "up":
                # The client does not make the folder by itself.
                target.mkdir()
            with tempfile.TemporaryFile(dir=self.world.root) as batch:
                batch.write(f"{verb} {source} {target}\n".encode())
                batch.seek(0)
                _, took, cpu = run(["sftp", "-q", "-b", "-", "-F", config, name], stdin=batch)
            nested = target / source.name
            if tree and nested.is_dir():
                # … and puts a folder that is there below itself.
                nested.rename(target.with_name("moved"))
                target.rmdir()
                target.with_name("moved").rename(target)
        else:
            far = {"up": ["tar", "-C", target, "-xf", "-"] if tree else ["cat"], "down": ["tar", "-C", source, "-cf", "-", "."] if tree else ["cat", source]}
            return self._pipe(run, config, name, source, target, [str(word) for word in far[self.direction]])
        return took, cpu

    def _pipe(self, run, config, name, source, target, far):
        """The bare pipe: ssh and cat (tar for a tree)."""
        tree = self.load == "small"
        if tree:
            target.mkdir()
        if self.direction == "down":
            out = self.world.root / "pipe"
            with open(out, "wb") as stream:
                _, took, cpu = run(["ssh", "-F", config, name, *far], stdin=subprocess.DEVNULL, stdout=stream)
            if tree:
                subprocess.run(["tar", "-C", str(target), "-xf", str(out)], check=True)
                out.unlink()
            else:
                out.rename(target)
            return took, cpu
        packed = source
        if tree:
            packed = self.world.root / "pipe"
            subprocess.run(["tar", "-C", str(source), "-cf", str(packed), "."], check=True)
        command = far if tree else [f"cat >{target}"]
        with open(packed, "rb") as stream:
            _, took, cpu = run(["ssh", "-F", config, name, *command], stdin=stream)
        if tree:
            packed.unlink()
        return took, cpu

    def row(self):
        theirs, ours = (statistics.median(self.times[name]) for name in ("openssh", "ours"))
        ratios = [a / b for a, b in zip(self.times["openssh"], self.times["ours"])]
        cpu_theirs, cpu_ours = (statistics.median(self.cpu[name]) for name in ("openssh", "ours"))
        many, unit = (self.world.args.size, "MiB/s") if self.load == "big" else (self.world.args.files, "files/s")
        return [self.describe(), self.cipher, f"{many / theirs:.0f} {unit}", f"{many / ours:.0f} {unit}", f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}–{max(ratios):.2f}",
                f"{cpu_theirs:.2f} s", f"{cpu_ours:.2f} s", f"{cpu_ours / cpu_theirs:.2f}" if cpu_theirs > 0 else "-"]


HEAD = ["transfer", "cipher", "OpenSSH", "multissh-sshd", "ratio", "of the pairs", "CPU OpenSSH", "CPU ours", "CPU ratio"]


def measure(args):
    world = World(args)
    try:
        used = {}
        for cipher in args.ciphers:
            # Also the first login of each, which makes host keys and warms what there is to be warmed.
            used[cipher] = [world.cipher_used(name, cipher) for name in world.servers]
        cases = [Case(world, program, direction, load, cipher) for cipher in args.ciphers for load in args.loads for program in args.programs
                 for direction in args.directions]
        progress = Progress(len(cases) * args.pairs * 2)
        try:
            for pair in range(args.pairs):
                for case in cases:
                    order = ["openssh", "ours"] if pair % 2 == 0 else ["ours", "openssh"]
                    for name in order:
                        progress.say(f"{case.describe()}, {case.cipher}, {name}")
                        case.measure(name)
                        progress.step()
        finally:
            progress.clear()
        return [case.row() for case in cases], used
    finally:
        world.close()


def main():
    args = parse()
    began, before = time.monotonic(), os.getloadavg()
    try:
        rows, used = measure(args)
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; nothing was written", file=sys.stderr)
        return 130
    ours = args.server or str(ROOT / args.build / "multissh-sshd")
    lines = facts([[ours, "--version"], ["ssh", "-V"]])
    lines.append(f"load of the machine (1, 5, 15 minutes) before: {', '.join(f'{load:.1f}' for load in before)}")
    lines.append(f"medians of {args.pairs} alternating pairs, {time.monotonic() - began:.0f} s in all, data in {args.folder}")
    for cipher, names in used.items():
        lines.append(f"cipher {cipher}: " + " and ".join(dict.fromkeys(names)))
    body = "\n".join(f"* {line}" for line in lines) + "\n\n" + table(HEAD, rows)
    body += "\n\nratio: OpenSSH's time by ours (more than 1: ours is faster). CPU: the server's processes, user and system; ratio: ours by OpenSSH's."
    print(body)
    if not args.no_results:
        write_section(args.results, TITLE, body)
        print(f"\nWritten to {args.results}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
