"""The SFTP server by itself: `multissh-sshd --sftp` on a socket or a pipe, with the clients people use and with one that says odd things."""
import contextlib
import errno
import hashlib
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from conftest import need
from kit import proc
from kit.bench import program, sanitized
from kit.wait import wait_for

OPENSSH = "/usr/lib/openssh/sftp-server"
EPOCH = 1_600_000_000
NOBODY = 65534
ROOT = os.geteuid() == 0

INIT, VERSION, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT, OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, \
    SYMLINK = range(1, 21)
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED, REPLY = 101, 102, 103, 104, 105, 200, 201
R, W, APPEND, CREAT, TRUNC, EXCL = 1, 2, 4, 8, 16, 32
OK, EOF, NO_SUCH_FILE, DENIED, FAILURE, BAD_MESSAGE, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8


@pytest.fixture
def place():
    """A folder that every account may enter, and a copy of the program in it that every account may run."""
    root = Path(tempfile.mkdtemp(prefix="ms-sftp-", dir="/tmp"))
    root.chmod(0o755)
    (root / "home").mkdir()
    shutil.copy(program("multissh-sshd"), root / "multissh-sshd")
    yield root
    subprocess.run(["chmod", "-R", "u+rwx", root], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(root)


class Server:
    """A server of SFTP with a socket to it, and what it logged."""

    def __init__(self, place, *flags, argv=None, cwd=None, uid=None, **popen):
        ours, theirs = socket.socketpair()
        self.log = tempfile.TemporaryFile()
        argv = argv or [place / "multissh-sshd", "--sftp", *flags]
        if uid:
            popen.update(user=uid, group=uid, extra_groups=[])
        self.popen = subprocess.Popen([str(a) for a in argv], stdin=theirs, stdout=theirs, stderr=self.log, cwd=cwd or place / "home", **popen)
        theirs.close()
        self.sock = ours

    def logged(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def end(self):
        """Ends the session as a client does, and returns the exit code."""
        self.sock.close()
        code = self.popen.wait(timeout=20)
        assert not proc.FAULTS.search(self.logged()), self.logged()
        return code

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind is not None:
            self.sock.close()
            self.popen.wait(timeout=20)
            print(self.logged())
        else:
            code = self.end()
            assert code == 0, (code, self.logged())


def u32(n):
    return struct.pack(">I", n & 0xFFFFFFFF)


def u64(n):
    return struct.pack(">Q", n & 0xFFFFFFFFFFFFFFFF)


def text(value):
    value = os.fsencode(value)
    return u32(len(value)) + value


def attrs(size=None, owner=None, mode=None, times=None):
    flags, body = 0, b""
    if size is not None:
        flags, body = flags | 1, body + u64(size)
    if owner is not None:
        flags, body = flags | 2, body + u32(owner[0]) + u32(owner[1])
    if mode is not None:
        flags, body = flags | 4, body + u32(mode)
    if times is not None:
        flags, body = flags | 8, body + u32(times[0]) + u32(times[1])
    return u32(flags) + body


class Fields:
    def __init__(self, data):
        self.whole, self.at = data, 0

    @property
    def data(self):
        return self.whole[self.at:]

    def take(self, n):
        assert len(self.whole) >= self.at + n, "the answer is cut short"
        self.at += n
        return self.whole[self.at - n:self.at]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def text(self):
        return self.take(self.u32())

    def attrs(self):
        flags = self.u32()
        found = {}
        if flags & 1:
            found["size"] = self.u64()
        if flags & 2:
            found["owner"] = (self.u32(), self.u32())
        if flags & 4:
            found["mode"] = oct(self.u32())
        if flags & 8:
            found["times"] = (self.u32(), self.u32())
        assert flags & ~15 == 0
        return found


class Raw:
    """A client that says what it is told to, byte for byte."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(30)
        self.next = 1

    def send(self, kind, *fields):
        number, self.next = self.next, self.next + 1
        body = bytes([kind]) + u32(number) + b"".join(fields)
        self.sock.sendall(u32(len(body)) + body)
        return number

    def exactly(self, n):
        data = bytearray()
        while len(data) < n:
            got = self.sock.recv(n - len(data))
            if not got:
                raise EOFError(f"the server ended after {len(data)} of {n} bytes")
            data += got
        return bytes(data)

    def packet(self):
        return self.exactly(struct.unpack(">I", self.exactly(4))[0])

    def hello(self, version=3):
        body = bytes([INIT]) + u32(version)
        self.sock.sendall(u32(len(body)) + body)
        answer = Fields(self.packet())
        assert answer.take(1)[0] == VERSION
        assert answer.u32() == 3
        offered = {}
        while answer.data:
            name = answer.text().decode()
            offered[name] = answer.text().decode()
        return offered

    def answer(self, number):
        fields = Fields(self.packet())
        kind = fields.take(1)[0]
        assert fields.u32() == number
        if kind == STATUS:
            found = ("status", fields.u32(), fields.text().decode())
            assert fields.text() == b""
        elif kind in (HANDLE, DATA):
            found = ("handle" if kind == HANDLE else "data", fields.text())
        elif kind == NAME:
            found = ("names", [(fields.text(), fields.text(), fields.attrs()) for _ in range(fields.u32())])
        elif kind == ATTRS:
            found = ("attrs", fields.attrs())
        else:
            assert kind == REPLY
            found = ("reply", fields.take(len(fields.data)))
        assert not fields.data
        return found

    def ask(self, kind, *fields):
        return self.answer(self.send(kind, *fields))

    def extended(self, name, *fields):
        return self.ask(EXTENDED, text(name), *fields)

    def handle(self, kind, *fields):
        kind, *rest = self.ask(kind, *fields)
        assert kind == "handle", rest
        return rest[0]

    def open(self, path, flags=R, given=attrs()):
        return text(self.handle(OPEN, text(path), u32(flags), given))

    def opendir(self, path):
        return text(self.handle(OPENDIR, text(path)))

    def listing(self, path):
        handle, found = self.opendir(path), []
        while True:
            kind, *rest = self.ask(READDIR, handle)
            if kind == "status":
                assert rest[0] == EOF, rest
                assert self.ask(CLOSE, handle)[1] == OK
                return found
            found += rest[0]


@contextlib.contextmanager
def raw(place, *flags, **how):
    with Server(place, *flags, **how) as server:
        client = Raw(server.sock)
        client.server = server
        client.offered = client.hello()
        yield client


def code_of(answer):
    assert answer[0] == "status", answer
    return answer[1]


def sftp(place, commands, *, server=None, cwd=None, check=True, options=()):
    """OpenSSH's client directly on a server, without SSH. Returns what it wrote."""
    need("sftp")
    batch = place / "batch"
    batch.write_bytes(commands if isinstance(commands, bytes) else commands.encode())
    done = subprocess.run(["sftp", "-q", *options, "-b", batch, "-D", server or f"{place}/multissh-sshd --sftp"], cwd=cwd or place / "home",
                          capture_output=True, timeout=300, check=False)
    assert not proc.FAULTS.search(done.stderr.decode(errors="replace")), done.stderr
    if check:
        assert done.returncode == 0, (done.stdout, done.stderr)
    return done


def digest(path):
    with open(path, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(data.read()).hexdigest()


def tree(root):
    """Everything below root: type, mode, size, time, links and contents."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            what = os.readlink(path) if stat.S_ISLNK(info.st_mode) else digest(path) if stat.S_ISREG(info.st_mode) else None
            found[os.path.relpath(path, os.fsencode(root))] = (oct(info.st_mode), info.st_size if stat.S_ISREG(info.st_mode) else 0, what)
    return found


# OpenSSH's client

def test_files_and_folders(place):
    home = place / "home"
    data = os.urandom(700_001)
    (place / "data").write_bytes(data)
    os.utime(place / "data", (EPOCH, EPOCH))
    (place / "data").chmod(0o640)
    done = sftp(place, f"""
pwd
put -p {place}/data one
get -p one {place}/back
rename one two
ln two three
ln -s two four
chmod 0604 two
mkdir folder
put {place}/data folder/x
-mkdir folder
rm folder/x
rmdir folder
-rm nothing
df two
ls -l
""")
    assert (place / "back").read_bytes() == data
    assert stat.S_IMODE((place / "back").stat().st_mode) == 0o640
    assert int((place / "back").stat().st_mtime) == EPOCH
    assert (home / "two").stat().st_nlink == 2
    assert (home / "two").stat().st_ino == (home / "three").stat().st_ino
    assert int((home / "two").stat().st_mtime) == EPOCH
    assert stat.S_IMODE((home / "two").stat().st_mode) == 0o604
    assert os.readlink(home / "four") == "two"
    assert not (home / "folder").exists()
    assert f"Remote working directory: {home}" in done.stdout.decode()
    assert "%Capacity" in done.stdout.decode()
    assert re.search(r"-rw----r-- .* 700001 Sep 13\s+2020 two", done.stdout.decode())
    assert "No such file" in done.stderr.decode()


def test_resumed_transfers(place):
    data = os.urandom(3_000_000)
    (place / "data").write_bytes(data)
    (place / "home/half").write_bytes(data[:1_234_567])
    sftp(place, f"reput {place}/data half\n")
    assert (place / "home/half").read_bytes() == data
    (place / "got").write_bytes(data[:2_345_678])
    sftp(place, f"reget half {place}/got\n")
    assert (place / "got").read_bytes() == data


NAMES = [b"with blanks  in it", b"new\nline", b"\xff\xfe not UTF-8 \x80", b"x" * 255, "Größe €".encode(),
         b"-dash", b"'quote\"", b"back\\slash", b"*?[a]", b"\x01\x1b[31m"]


def test_names_of_any_bytes(place):
    home = os.fsencode(place / "home")
    source = os.fsencode(place / "source")
    os.mkdir(source)
    for number, name in enumerate(NAMES):
        Path(os.fsdecode(os.path.join(source, name))).write_bytes(str(number).encode())
    with raw(place) as client:
        for number, name in enumerate(NAMES):
            handle = client.open(home + b"/" + name, W | CREAT | EXCL)
            assert code_of(client.ask(WRITE, handle, u64(0), text(str(number)))) == OK
            assert code_of(client.ask(CLOSE, handle)) == OK
        listed = {entry[0]: entry for entry in client.listing(home)}
        assert set(listed) == set(NAMES) | {b".", b".."}
        assert all(long_name.endswith(b" " + name) for name, long_name, _ in listed.values())
        # And no name has the byte that no name can have.
        assert code_of(client.ask(LSTAT, text(b"a\0b"))) == BAD_MESSAGE
    assert tree(place / "home") == tree(place / "source")
    shutil.rmtree(place / "home")
    (place / "home").mkdir()
    sftp(place, f"put -r {place}/source there\nget -r there {place}/back\n")
    assert tree(place / "home/there") == tree(place / "source") == tree(place / "back")


@pytest.mark.slow
def test_a_big_file(place):
    block = os.urandom(1 << 20)
    with open(place / "big", "wb") as big:
        for i in range(300):
            big.write(i.to_bytes(8, "big") + block[8:])
    sftp(place, f"put {place}/big there\nget there {place}/back\n")
    assert digest(place / "home/there") == digest(place / "big") == digest(place / "back")
    # In the smallest pieces that people use, and many at once.
    sftp(place, f"get there {place}/back2\n", options=["-B", "32768", "-R", "200"])
    assert digest(place / "back2") == digest(place / "big")


def test_beyond_four_gibibytes(place):
    """A sparse file of 5 GiB: its ends are read and written where they are, and only what is missing of a copy is fetched."""
    size = 5 << 30
    path = place / "home/sparse"
    with open(path, "wb") as data:
        data.write(b"head")
        data.seek(size - 4)
        data.write(b"tail")
    with raw(place) as client:
        handle = client.open("sparse", R | W)
        assert client.ask(FSTAT, handle)[1]["size"] == size
        assert client.ask(READ, handle, u64(size - 6), u32(100)) == ("data", b"\0\0tail")
        assert client.ask(READ, handle, u64(0), u32(6)) == ("data", b"head\0\0")
        assert code_of(client.ask(READ, handle, u64(size), u32(1))) == EOF
        assert code_of(client.ask(WRITE, handle, u64(size - 4), text("TAIL"))) == OK
        assert code_of(client.ask(FSETSTAT, handle, attrs(size=size + 1))) == OK
        assert client.ask(LSTAT, text("sparse"))[1]["size"] == size + 1
    with open(place / "copy", "wb") as copy:
        copy.write(b"HEAD")
        copy.truncate(size - 2)
    sftp(place, f"reget sparse {place}/copy\n")
    with open(place / "copy", "rb") as copy:
        assert copy.read(4) == b"HEAD", "the part that was there was fetched again"
        copy.seek(size - 4)
        assert copy.read() == b"\0\0IL\0"


def test_ten_thousand_entries(place):
    folder = place / "home/many"
    folder.mkdir()
    names = [f"a file with number {i:05d}" for i in range(10_000)]
    for name in names:
        (folder / name).touch()
    done = sftp(place, "ls -1 many\n")
    listed = [line.rpartition("/")[2] for line in done.stdout.decode().splitlines() if not line.startswith("sftp>")]
    assert sorted(listed) == names
    with raw(place) as client:
        handle, packets, found = client.opendir("many"), 0, []
        while True:
            number = client.send(READDIR, handle)
            packet = client.packet()
            assert len(packet) <= 34000, "more than every client must be able to take"
            fields = Fields(packet)
            kind = fields.take(1)[0]
            assert fields.u32() == number
            if kind == STATUS:
                assert fields.u32() == EOF
                break
            packets += 1
            for _ in range(fields.u32()):
                found.append(fields.text())
                fields.text()
                fields.attrs()
        assert sorted(found) == sorted([b".", b".."] + [n.encode() for n in names])
        assert packets < 100


def test_the_same_batch_as_openssh(place):
    """OpenSSH's client cannot tell the two servers apart: what it prints, how it ends, and what is on the disk."""
    (place / "data").write_bytes(bytes(range(256)) * 999)
    os.utime(place / "data", (EPOCH, EPOCH))
    batch = f"""
put -p {place}/data a
put {place}/data b
ls -la
-rename a b
-rename nothing c
rename a c
ln c d
symlink c e
symlink nowhere f
-symlink x e
-ln nowhere g
-rm nowhere
-rmdir c
mkdir h
-mkdir h
put -r {place}/deep h/
ls -lan h/deep
ls -l h/deep/er
-rename h c
-rename c h
-rmdir h
-rm h
-get h/deep/er {place}/out
-cd c
cd h
pwd
lpwd
-cd nowhere
-get nowhere
-put {place}/data nowhere/x
-chmod 0400 nowhere
chmod 0751 deep
chmod 0400 ../d
ls -la ..
df -i
-df nowhere
-chmod 777 ../f
cd deep/../..
ls -l e
-get e {place}/e
-ls -l f
ls -1 h/*
-ls nowhere
-cd ~
pwd
-cd ~nobodyhere
"""
    def run(server, name):
        home = place / name
        home.mkdir()
        shutil.rmtree(place / "deep", ignore_errors=True)
        (place / "deep/er").mkdir(parents=True)
        (place / "deep/er/x").write_text("x")
        (place / "deep/y").symlink_to("er/x")
        for path in (place / "deep/er/x", place / "deep/er", place / "deep"):
            os.utime(path, (EPOCH, EPOCH))
        done = sftp(place, batch, server=server, cwd=home, check=False)
        shown = (done.stdout + b"--\n" + done.stderr).decode().replace(str(home), "HOME")
        # When a folder was changed, and how full the disk is, is nobody's choice.
        shown = re.sub(r"^\S+ multissh-sshd INFO .*\n", "", shown, flags=re.M)
        shown = re.sub(r"^(.* )\w{3} [ \d]\d (\d\d:\d\d| \d{4}) ", r"\1TIME ", shown, flags=re.M)
        shown = re.sub(r"^( +\d+){4} +\d+%$", "SPACE", shown, flags=re.M)
        return done.returncode, shown, tree(home)

    ours = run(None, "ours")
    theirs = run(OPENSSH, "theirs")
    assert ours[1].splitlines() == theirs[1].splitlines()
    assert ours == theirs


# What a client may say

def odd_requests(client, home, me):
    """A list of (what was said, what was answered), by the account whose number is me."""
    is_root = me == 0
    said = []

    def ask(label, kind, *fields):
        said.append((label, client.ask(kind, *fields)))

    def ext(label, name, *fields):
        said.append((label, client.extended(name, *fields)))

    def path(*parts):
        return text(os.path.join(os.fsencode(home), *map(os.fsencode, parts)))

    loop, long = "loop", "n" * 256
    for label, where in [
        ("empty", text("")), ("file", path("file")), ("folder", path("folder")), ("slash", path("folder/")), ("file slash", path("file/")),
        ("missing", path("missing")),
        ("missing in", path("missing/x")), ("in file", path("file/x")), ("link", path("link")), ("dangling", path("dangling")), ("loop", path(loop)),
        ("in loop", path("loop/x")),
        ("long name", path(long)), ("long path", text("/" + "d/" * 4000)), ("dots", path("folder/../file")), ("relative", text("file")),
        ("fifo", path("fifo")),
        ("closed", path("closed/in")), ("dev", text("/dev/null")), ("root", text("/")), ("tilde", text("~")), ("trailing NUL", text(b"file\0")),
        ("no UTF-8", path(b"\xff\xfe")),
        ("folder link", path("folderlink")), ("folder link slash", path("folderlink/")), ("file dots", path("file/..")),
        ("missing dots", path("missing/..")),
        ("up", text("../../../../../../../../../../")), ("slashes", text("//" + str(home)[1:] + "///file")), ("dot", text(".")),
        ("long link", path("longlink")),
    ]:
        for kind, name in [(STAT, "stat"), (LSTAT, "lstat"), (REALPATH, "realpath"), (READLINK, "readlink")]:
            ask(f"{name} {label}", kind, where)
        ext(f"expand {label}", "expand-path@openssh.com", where)
        ext(f"statvfs {label}", "statvfs@openssh.com", where)
        ask(f"opendir {label}", OPENDIR, where)
        if label != "fifo":
            ask(f"open {label}", OPEN, where, u32(R), attrs())
    for label, where in [("tilde home", "~/file"), ("tilde missing", "~/missing"), ("tilde root", "~root"), ("tilde root path", "~root/..//etc"),
    ("nobody", "~no-such-user/x"), ("tilde slash", "~/")]:
        ext(f"expand {label}", "expand-path@openssh.com", text(where))
    ext("home of nobody there", "home-directory", text("no-such-user"))
    ext("home of this user", "home-directory", text(pwd.getpwuid(me).pw_name))
    ext("home of another", "home-directory", text("daemon"))
    ext("home of no name", "home-directory", text(""))
    ext("names", "users-groups-by-id@openssh.com", text(u32(0) + u32(4_000_000) + u32(65534)), text(u32(0) + u32(4_000_001)))
    ext("no names", "users-groups-by-id@openssh.com", text(b""), text(b""))
    ext("unknown", "no-such-extension@example.org", text("x"))

    # Ways to open. What is written is looked at in the tree afterwards.
    for label, flags, given in [
        ("none", 0, attrs()), ("read", R, attrs()), ("write", W, attrs()), ("append", W | APPEND, attrs()), ("trunc", W | TRUNC, attrs()),
        ("trunc read", R | TRUNC, attrs()),
        ("creat", W | CREAT, attrs(mode=0o600)), ("excl", W | CREAT | EXCL, attrs()), ("all", R | W | CREAT | TRUNC | APPEND, attrs(mode=0o777)),
        ("size", W | CREAT, attrs(size=3, mode=0o644)),
        ("bits", W | CREAT, attrs(mode=0o107666)), ("excl alone", R | EXCL, attrs()), ("unknown flags", R | 0x700, attrs()),
        ("sticky", W | CREAT, attrs(mode=0o1755)),
    ]:
        for what in ("there", "new"):
            name = f"open-{label}-{what}".replace(" ", "-")
            if what == "there":
                (home / name).write_bytes(b"0123456789")
                if not is_root:
                    (home / name).chmod(0o666)
            answer = client.ask(OPEN, text(name), u32(flags), given)
            said.append((f"open {label} {what}", answer))
            if answer[0] != "handle":
                continue
            handle = text(answer[1])
            ask(f"read 4 of {name}", READ, handle, u64(2), u32(4))
            ask(f"write to {name}", WRITE, handle, u64(4), text("ABC"))
            ask(f"write nothing to {name}", WRITE, handle, u64(0), text(""))
            ask(f"read of {name} after", READ, handle, u64(0), u32(100))
            ask(f"read nothing of {name}", READ, handle, u64(0), u32(0))
            ask(f"read at the end of {name}", READ, handle, u64(1000), u32(1))
            ask(f"read far behind the end of {name}", READ, handle, u64(1 << 40), u32(1))
            ask(f"read before the start of {name}", READ, handle, u64(-1), u32(1))
            ask(f"write before the start of {name}", WRITE, handle, u64(-1), text("x") if flags & APPEND == 0 else text(""))
            ext(f"fsync {name}", "fsync@openssh.com", handle)
            ext(f"fstatvfs {name}", "fstatvfs@openssh.com", handle)
            ask(f"readdir of {name}", READDIR, handle)
            ask(f"fsetstat {name}", FSETSTAT, handle, attrs(mode=0o640, times=(EPOCH, EPOCH + 7)))
            ask(f"fsetstat size {name}", FSETSTAT, handle, attrs(size=5))
            ask(f"fsetstat negative {name}", FSETSTAT, handle, attrs(size=-1, mode=0o600))
            ask(f"fsetstat nothing {name}", FSETSTAT, handle, attrs())
            ask(f"fsetstat owner {name}", FSETSTAT, handle, attrs(owner=(me, os.getgid() if me == os.getuid() else me)))
            ask(f"fstat {name}", FSTAT, handle)
            ask(f"close {name}", CLOSE, handle)
    ask("read very far behind the end", READ, text(client.ask(OPEN, path("file"), u32(R), attrs())[1]), u64(1 << 62), u32(1))
    answer = client.ask(OPEN, path("folder"), u32(R), attrs())
    said.append(("open folder", answer))
    ask("read folder", READ, text(answer[1]), u64(0), u32(10))
    ask("open folder to write", OPEN, path("folder"), u32(W), attrs())

    # Handles that are none, and of the other sort.
    folder = client.opendir(os.fsencode(home) + b"/folder")
    for label, handle in [("short", text(b"\0")), ("empty", text(b"")), ("unknown", text(b"\x00\x00\x77\x77")),
    ("negative", text(b"\xff\xff\xff\xff")), ("long", text(b"x" * 300)), ("folder", folder)]:
        ask(f"read of {label} handle", READ, handle, u64(0), u32(10))
        ask(f"write to {label} handle", WRITE, handle, u64(0), text("x"))
        ask(f"fstat of {label} handle", FSTAT, handle)
        ask(f"fsetstat of {label} handle", FSETSTAT, handle, attrs(size=1))
        ext(f"fsync of {label} handle", "fsync@openssh.com", handle)
        ext(f"fstatvfs of {label} handle", "fstatvfs@openssh.com", handle)
        ask(f"close of {label} handle", CLOSE, handle)
        ask(f"readdir of {label} handle", READDIR, handle)

    # Attributes by name.
    (home / "set").write_bytes(b"x" * 100)
    if me != os.getuid():
        os.chown(home / "set", me, me)
    for label, given in [
        ("nothing", attrs()), ("size", attrs(size=50)), ("size 0", attrs(size=0)), ("negative size", attrs(size=-5)), ("mode", attrs(mode=0o4711)),
        ("type", attrs(mode=0o100640)), ("times", attrs(times=(EPOCH, 1))),
        ("times after 2038", attrs(times=(0xFFFFFFFF, 0xFFFFFFFE))), ("owner", attrs(owner=(me, os.getgid() if me == os.getuid() else me))),
        ("all", attrs(size=7, owner=(NOBODY, NOBODY), mode=0o600, times=(EPOCH, EPOCH))),
        ("to root", attrs(owner=(0, 0))), ("extended", u32(0x80000000) + u32(2) + text("a") + text("b") + text("c") + text(b"\0")),
        ("unknown bits", u32(0x00000070)),
    ]:
        for name in ("set", "link-to-set", "dangling", "missing", "folder", "fifo", "loop", "closed"):
            if name == "fifo" and "size" in label:
                continue
            ask(f"setstat {label} of {name}", SETSTAT, text(name), given)
            ext(f"lsetstat {label} of {name}", "lsetstat@openssh.com", text(name), given)
            ask(f"{label} of {name} after", LSTAT, text(name))
        os.utime(home / "folder", (EPOCH, EPOCH))
        (home / "folder").chmod(0o755)

    # Names.
    for label, kind, *fields in [
        ("mkdir", MKDIR, text("made"), attrs()), ("mkdir again", MKDIR, text("made"), attrs()), ("mkdir over a file", MKDIR, text("file"), attrs()),
        ("mkdir in nothing", MKDIR, text("missing/x"), attrs()),
        ("mkdir mode", MKDIR, text("made2"), attrs(mode=0o1700)), ("mkdir empty", MKDIR, text(""), attrs()),
        ("mkdir long", MKDIR, text(long), attrs()), ("rmdir file", RMDIR, text("file")), ("rmdir full", RMDIR, text("folder")),
        ("rmdir missing", RMDIR, text("missing")), ("rmdir link", RMDIR, text("folderlink")), ("rmdir", RMDIR, text("made2")),
        ("rmdir dot", RMDIR, text(".")), ("remove folder", REMOVE, text("folder")),
        ("remove missing", REMOVE, text("missing")), ("remove loop", REMOVE, text("loop/x")), ("remove slash", REMOVE, text("file/")),
        ("rename file", RENAME, text("file"), text("file2")), ("rename missing", RENAME, text("file"), text("file3")),
        ("rename over", RENAME, text("file2"), text("other")), ("rename to itself", RENAME, text("file2"), text("file2")),
        ("rename over folder", RENAME, text("file2"), text("folder")), ("rename into missing", RENAME, text("file2"), text("missing/x")),
        ("rename folder over", RENAME, text("made"), text("folder")), ("rename folder over empty folder", RENAME, text("folder"), text("empty")),
        ("rename folder into itself", RENAME, text("folder"), text("folder/x")),
        ("rename folder", RENAME, text("made"), text("made3")), ("rename link", RENAME, text("link"), text("link2")),
        ("rename link back", RENAME, text("link2"), text("link")), ("rename dangling", RENAME, text("dangling"), text("dangling2")),
        ("rename over link", RENAME, text("file2"), text("dangling2")), ("rename empty", RENAME, text(""), text("x")),
        ("rename to empty", RENAME, text("file2"), text("")), ("rename to another disk", RENAME, text("file2"), text("/dev/shm/ms-none/x")),
        ("symlink", SYMLINK, text("tar get"), text("sym")), ("symlink over", SYMLINK, text("x"), text("file2")),
        ("symlink empty", SYMLINK, text(""), text("sym2")), ("symlink to empty", SYMLINK, text("x"), text("")),
        ("symlink in nothing", SYMLINK, text("x"), text("missing/x")), ("readlink sym", READLINK, text("sym")), ("remove sym", REMOVE, text("sym")),
        ("remove fifo", REMOVE, text("fifo")),
    ]:
        ask(label, kind, *fields)
    for label, name, a, b in [
        ("posix-rename over", "posix-rename@openssh.com", "file2", "other"), ("posix-rename missing", "posix-rename@openssh.com", "missing", "x"),
        ("posix-rename folder over file", "posix-rename@openssh.com", "folder", "other"),
        ("posix-rename over full folder", "posix-rename@openssh.com", "made3", "folder"),
        ("posix-rename over empty folder", "posix-rename@openssh.com", "folder", "empty"), ("hardlink", "hardlink@openssh.com", "other", "hard"),
        ("hardlink over", "hardlink@openssh.com", "other", "hard"), ("hardlink missing", "hardlink@openssh.com", "missing", "x"),
        ("hardlink folder", "hardlink@openssh.com", "empty", "x"), ("hardlink link", "hardlink@openssh.com", "link", "hardlink"),
    ]:
        ext(label, name, text(a), text(b))

    # Folders.
    said.append(("listing", sorted(client.listing("empty"))))
    said.append(("listing of all", sorted(client.listing("."))))
    vanishing = client.opendir("vanishing")
    ask("rmdir of an open folder", RMDIR, text("vanishing"))
    ask("readdir of a folder that vanished", READDIR, vanishing)
    ask("open with trailing bytes", OPEN, text("other"), u32(R), attrs(), b"and more")
    return said


def make_tree(home, owner):
    home.mkdir()
    (home / "file").write_bytes(b"contents")
    (home / "other").write_bytes(b"other")
    (home / b"\xff\xfe".decode(errors="surrogateescape")).write_bytes(b"")
    for name in ("folder", "folder/sub", "empty", "vanishing", "closed"):
        (home / name).mkdir()
    (home / "folder/in").write_bytes(b"in")
    for name, target in [("link", "file"), ("dangling", "nowhere"), ("loop", "loop2"), ("loop2", "loop"), ("folderlink", "folder"),
    ("link-to-set", "set"), ("longlink", "x" * 4000)]:
        (home / name).symlink_to(target)
    os.mkfifo(home / "fifo")
    (home / "closed/in").write_bytes(b"")
    found = [os.path.join(folder, name) for folder, folders, files in os.walk(home) for name in folders + files]
    for path in [*found, home]:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
        if owner:
            os.chown(path, owner, owner, follow_symlinks=False)
    os.chown(home / "closed", 0, 0) if owner else None
    (home / "closed").chmod(0o700 if owner else 0)


# What differs from OpenSSH's server and is meant to.
MEANT = {
    "home of another": "theirs gives its own account's",
    "home of no name": "theirs knows only its name",
    "read very far behind the end": "theirs takes it for a bad request when the disk could have no such file",
}


def normal(answer, home):
    """An answer without what is nobody's choice: where the tree is, numbers of handles, how full the disk is, times of now."""
    if isinstance(answer, list):
        return [normal(("names", [entry]), home) for entry in answer]
    kind, *rest = answer
    if kind == "status":
        # Ours says why where the code does not.
        return (kind, rest[0], rest[1] if rest[0] in (OK, EOF, DENIED, UNSUPPORTED) else None)
    if kind == "handle":
        return (kind,)
    if kind == "reply" and len(rest[0]) == 88:
        numbers = list(struct.unpack(">11Q", rest[0]))
        return (kind, numbers[0], numbers[1], numbers[2], numbers[5], *numbers[8:])
    if kind == "names":
        where = os.fsencode(home)
        return (kind, [(name.replace(where, b"HOME"), re.sub(rb"\w{3} [ \d]\d (\d\d:\d\d| \d{4}) ", b"TIME ", long_name.replace(where, b"HOME")),
                        normal_attrs(found)) for name, long_name, found in rest[0]])
    if kind == "attrs":
        return (kind, normal_attrs(rest[0]))
    return answer


def normal_attrs(found):
    found = dict(found)
    if "times" in found:
        found["times"] = tuple("now" if abs(t - time.time()) < 3600 else t for t in found["times"])
        if found["mode"].startswith("0o4") or found["mode"].startswith("0o12"):
            found["times"] = found["times"][1:]
            found.pop("size")
    return found


@pytest.mark.parametrize("uid", [None, pytest.param(NOBODY, marks=pytest.mark.skipif(not ROOT, reason="needs root"))], ids=["self", "nobody"])
def test_every_answer_is_openssh_s(place, uid):
    if not os.path.exists(OPENSSH):
        pytest.skip("no sftp-server of OpenSSH")
    answers = {}
    for name, argv in [("ours", None), ("theirs", [OPENSSH])]:
        # The same path for both, as some answers depend on its length.
        home = place / "tree"
        make_tree(home, uid)
        with raw(place, argv=argv, cwd=home, uid=uid) as client:
            said = odd_requests(client, home, uid or os.getuid())
            answers[name] = [(label, normal(answer, home)) for label, answer in said]
            answers[name, "offered"] = client.offered
        (home / "closed").chmod(0o700)
        answers[name, "tree"] = tree(home)
        subprocess.run(["chmod", "-R", "u+rwx", home], check=True)
        shutil.rmtree(home)
    for label, told in [("home of another", b"/usr/sbin"), ("home of no name", os.fsencode(pwd.getpwuid(uid or os.getuid()).pw_dir))]:
        assert dict(answers["ours"])[label][1][0][0] == told
    different = {label: (ours, theirs) for (label, ours), (_, theirs) in zip(answers["ours"], answers["theirs"])
                 if ours != theirs and label not in MEANT}
    assert not different, "\n".join(f"{label}:\n   ours {a}\n theirs {b}" for label, (a, b) in different.items())
    assert len(answers["ours"]) == len(answers["theirs"]) > 700
    assert answers["ours", "tree"] == answers["theirs", "tree"]
    theirs = answers["theirs", "offered"]
    assert theirs.pop("copy-data", "1") == "1"
    assert answers["ours", "offered"] == theirs


def test_limits(place):
    with raw(place, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))) as client:
        packet, read, write, handles = struct.unpack(">4Q", client.extended("limits@openssh.com")[1])
        assert (packet, read, write) == (262144, 261120, 261120)
        opened = []
        while len(opened) <= handles:
            answer = client.ask(OPEN, text(f"file{len(opened)}"), u32(W | CREAT), attrs())
            if answer[0] == "status":
                break
            opened.append(text(answer[1]))
        assert len(opened) == handles == 48
        assert answer == ("status", FAILURE, "Too many open files: close some first")
        assert not (place / f"home/file{handles}").exists(), "a file was made for nobody"
        assert code_of(client.ask(OPENDIR, text("."))) == FAILURE
        # One that is closed makes room for one, and its number is not that of the next.
        assert code_of(client.ask(CLOSE, opened[7])) == OK
        again = client.open("again", W | CREAT)
        assert code_of(client.ask(WRITE, opened[7], u64(0), text("stale"))) == FAILURE
        assert code_of(client.ask(WRITE, again, u64(0), text("fresh"))) == OK
        client.sock.shutdown(socket.SHUT_WR)
        assert client.sock.recv(1) == b""
        client.server.popen.wait(timeout=10)
        logged = client.server.logged()
        assert "48 handle(s) never closed" in logged
        assert "1 file(s) written, 5 bytes" in logged
        assert "may not have more" in logged
    assert (place / "home/again").read_text() == "fresh"


def test_the_largest_packets(place):
    with raw(place) as client:
        handle = client.open("large", R | W | CREAT)
        data = os.urandom(262144 - 1 - 4 - 8 - 8 - 4)
        assert code_of(client.ask(WRITE, handle, u64(0), text(data))) == OK
        assert (place / "home/large").read_bytes() == data
        kind, got = client.ask(READ, handle, u64(0), u32(0xFFFFFFFF))
        assert kind == "data"
        assert got == data[:261120]
        # A listing of numbers that would give more than fits.
        assert code_of(client.extended("users-groups-by-id@openssh.com", text(u32(0) * 30000), text(u32(0) * 30000))) == FAILURE
        assert client.ask(FSTAT, handle)[0] == "attrs"


BROKEN = {
    "too long": u32(262145),
    "far too long": b"\xff\xff\xff\xff",
    "empty": u32(0),
    "no number": u32(3) + b"\x11\0\0",
    "no number in the version": u32(3) + b"\x01\0\0",
    "somebody else's protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_sftp_ends_the_session(place, what):
    server = Server(place)
    client = Raw(server.sock)
    client.hello()
    server.sock.sendall(BROKEN[what])
    assert server.sock.recv(1) == b""
    assert server.end() == 1
    assert "its session ends" in server.logged()


def test_a_request_before_the_version(place):
    server = Server(place)
    Raw(server.sock).send(LSTAT, text("/"))
    assert server.sock.recv(1) == b""
    assert server.end() == 1
    assert "a request before its version" in server.logged()


def test_a_malformed_request_is_refused_and_the_next_one_served(place):
    kinds = range(OPEN, SYMLINK + 1)
    with raw(place) as client:
        for kind in kinds:
            for body in (b"", b"\0\0", u32(100) + b"short", u32(0xFFFFFFFF), text("x")[:-1]):
                assert client.ask(kind, body) == ("status", BAD_MESSAGE, "Bad message"), (kind, body)
        for kind in (RENAME, SYMLINK, OPEN, MKDIR, SETSTAT):
            assert code_of(client.ask(kind, text("x"))) == BAD_MESSAGE
        assert code_of(client.ask(SETSTAT, text("x"), u32(0x80000000) + u32(0xFFFFFFFF) + text("a") + text("b"))) == BAD_MESSAGE
        assert code_of(client.ask(EXTENDED, u32(9) + b"x")) == BAD_MESSAGE
        for name in client.offered:
            if name != "limits@openssh.com":
                assert code_of(client.extended(name, u32(50) + b"x")) == BAD_MESSAGE, name
        assert code_of(client.extended("users-groups-by-id@openssh.com", text(b"123"), text(b""))) == BAD_MESSAGE
        for kind in (0, 2, 21, 99, 101, 199, 201, 255):
            assert client.ask(kind, b"whatever") == ("status", UNSUPPORTED, "Operation unsupported")
        assert client.ask(LSTAT, text("."))[0] == "attrs"
    assert os.listdir(place / "home") == []


def test_byte_by_byte(place):
    with raw(place) as client:
        asked = [(REALPATH, text(".")), (MKDIR, text("m") + attrs()), (LSTAT, text("m"))]
        packets = [bytes([kind]) + u32(n) + body for n, (kind, body) in enumerate(asked)]
        for byte in b"".join(u32(len(p)) + p for p in packets):
            client.sock.send(bytes([byte]))
        assert client.answer(0)[1][0][0] == os.fsencode(place / "home")
        assert code_of(client.answer(1)) == OK
        assert client.answer(2)[0] == "attrs"


def test_a_client_that_asks_and_does_not_listen(place):
    """3,000 reads of 200,000 bytes: the server holds what it must, and answers each in its turn when somebody listens."""
    count, size = 3_000, 200_000
    (place / "home/data").write_bytes(os.urandom(size))
    with raw(place) as client:
        handle = client.open("data")
        requests = b"".join(u32(25) + bytes([READ]) + u32(n) + handle + u64(0) + u32(size) for n in range(count))

        def ask():
            client.sock.sendall(requests)

        asker = threading.Thread(target=ask)
        asker.start()
        pid = client.server.popen.pid
        # It has stopped when it waits and takes nothing more.
        before = None

        def still():
            nonlocal before
            now, before = before, Path(f"/proc/{pid}/status").read_text().partition("voluntary_ctxt_switches")[2]
            time.sleep(0.1)
            return now == before

        wait_for(still, timeout=20)
        assert sanitized() or proc.memory_kib(pid) < 16 * 1024
        expected = hashlib.sha256((place / "home/data").read_bytes()).digest()
        for number in range(count):
            kind, data = client.answer(number)
            assert kind == "data"
            assert hashlib.sha256(data).digest() == expected
        asker.join()


def test_a_client_that_vanishes(place):
    """In the middle of a packet, and with answers under way: the server ends, without a word of fault."""
    (place / "home/data").write_bytes(os.urandom(1_000_000))
    server = Server(place)
    client = Raw(server.sock)
    client.hello()
    handle = client.open("data")
    for _ in range(100):
        client.send(READ, handle, u64(0), u32(200_000))
    server.sock.sendall(b"\0\0")
    assert server.end() == 0
    assert "ERROR" not in server.logged()


def test_pipes(place):
    """Not a socket but two pipes, as a server of SSH gives them."""
    pipe = subprocess.PIPE
    popen = subprocess.Popen([place / "multissh-sshd", "--sftp"], stdin=pipe, stdout=pipe, stderr=pipe, cwd=place / "home")
    data = os.urandom(5_000_000)
    (place / "home/data").write_bytes(data)
    body = bytes([OPEN]) + u32(1) + text("data") + u32(R) + attrs()
    asked = u32(5) + bytes([INIT]) + u32(3) + u32(len(body)) + body
    for n in range(50):
        asked += u32(25) + bytes([READ]) + u32(2 + n) + text(b"\0\0\0\0") + u64(n * 100_000) + u32(100_000)
    out, err = popen.communicate(asked, timeout=20)
    assert popen.returncode == 0, err
    got = b""
    while out:
        packet, out = out[4:4 + struct.unpack(">I", out[:4])[0]], out[4 + struct.unpack(">I", out[:4])[0]:]
        if packet[0] == DATA:
            got += packet[9:]
    assert got == data
    assert b"1 file(s) read, 5000000 bytes" in err


def test_a_fifo_holds_nobody_up(place):
    os.mkfifo(place / "home/fifo")
    with raw(place) as client:
        number = client.send(OPEN, text("fifo"), u32(R), attrs())
        kind, handle = client.answer(number)
        assert kind == "handle"
        assert code_of(client.ask(READ, text(handle), u64(0), u32(10))) == FAILURE
        assert code_of(client.ask(CLOSE, text(handle))) == OK
        assert code_of(client.ask(OPEN, text("fifo"), u32(W), attrs())) == FAILURE
        assert code_of(client.ask(OPENDIR, text("fifo"))) == NO_SUCH_FILE


def test_its_own_memory_is_out_of_reach(place):
    """Whoever may only transfer files gets no code run by writing into the server."""
    if not ROOT:
        pytest.skip("needs root, to be somebody else")
    with raw(place, uid=NOBODY) as client:
        assert code_of(client.ask(OPEN, text("/proc/self/mem"), u32(R | W), attrs())) == DENIED


def test_read_only(place):
    home = place / "home"
    (home / "file").write_bytes(b"contents")
    (home / "folder").mkdir()
    before = tree(home)
    with raw(place, "--read-only") as client:
        assert not {"posix-rename@openssh.com", "hardlink@openssh.com", "fsync@openssh.com", "lsetstat@openssh.com"} & set(client.offered)
        assert "statvfs@openssh.com" in client.offered
        handle = client.open("file")
        assert client.ask(READ, handle, u64(0), u32(100)) == ("data", b"contents")
        assert client.ask(WRITE, handle, u64(0), text("x")) == ("status", DENIED, "Permission denied")
        for flags in (W, R | W, W | CREAT, R | CREAT, R | TRUNC, W | APPEND, W | CREAT | EXCL):
            assert code_of(client.ask(OPEN, text("file"), u32(flags), attrs())) == DENIED
        for kind, *fields in [(SETSTAT, text("file"), attrs(mode=0)), (FSETSTAT, handle, attrs(size=0)), (REMOVE, text("file")),
                              (MKDIR, text("new"), attrs()),
                              (RMDIR, text("folder")),
                              (RENAME, text("file"), text("new")), (SYMLINK, text("file"), text("new"))]:
            assert code_of(client.ask(kind, *fields)) == DENIED
        for name in ("posix-rename@openssh.com", "hardlink@openssh.com"):
            assert code_of(client.extended(name, text("file"), text("new"))) == DENIED
        assert code_of(client.extended("lsetstat@openssh.com", text("file"), attrs(mode=0))) == DENIED
        assert code_of(client.extended("fsync@openssh.com", handle)) == DENIED
        assert len(client.listing(".")) == 4
    assert tree(home) == before


def test_a_limit_on_the_size_of_files(place):
    """The system's limit ends the write, not the server."""
    with raw(place, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))) as client:
        handle = client.open("large", W | CREAT)
        assert client.ask(WRITE, handle, u64(2 << 20), text("x")) == ("status", FAILURE, os.strerror(errno.EFBIG))
        assert code_of(client.ask(WRITE, handle, u64(0), text("x"))) == OK


def test_the_umask_holds(place):
    with raw(place, umask=0o027) as client:
        client.open("made", W | CREAT)
        client.open("made2", W | CREAT, attrs(mode=0o777))
        client.ask(MKDIR, text("folder"), attrs())
    assert [oct(stat.S_IMODE((place / "home" / name).stat().st_mode)) for name in ("made", "made2", "folder")] == ["0o640", "0o750", "0o750"]


def in_own_mounts(script, *arguments, timeout=120):
    """Runs Python in mounts of its own, which end with it."""
    if not ROOT:
        pytest.skip("needs root, to mount")
    here = os.path.dirname(os.path.abspath(__file__))
    script = f"import sys; sys.path.insert(0, {here!r})\n" + script
    done = subprocess.run(["unshare", "-m", "--propagation", "private", sys.executable, "-c", script, *map(str, arguments)],
                          capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


FULL = """
import subprocess, sys
from pathlib import Path
import test_sshd_sftp as t
place = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place / "home"], check=True)
with t.raw(place) as client:
    handle = client.open("large", t.W | t.CREAT)
    data, offset, answers = b"x" * 200_000, 0, []
    while not answers or answers[-1][1] == t.OK:
        answers.append(client.ask(t.WRITE, handle, t.u64(offset), t.text(data)))
        offset += len(data)
    assert answers[-1] == ("status", t.FAILURE, "No space left on device"), answers[-1]
    assert 8 < len(answers) < 12
    # The session goes on, and with room again so do the writes.
    assert t.code_of(client.ask(t.FSETSTAT, handle, t.attrs(size=0))) == t.OK
    assert t.code_of(client.ask(t.WRITE, handle, t.u64(0), t.text(data))) == t.OK
    assert t.code_of(client.ask(t.CLOSE, handle)) == t.OK
    assert 'write "large": No space left on device' in client.server.logged(), client.server.logged()
(place / "data").write_bytes(b"y" * 5_000_000)
done = t.sftp(place, f"put {place}/data large2\\n", check=False)
assert done.returncode != 0
assert b"write remote \\"" in done.stderr and b"Failure" in done.stderr, done.stderr
"""


def test_a_full_disk(place):
    in_own_mounts(FULL, place)


SSHFS = """
import os, shutil, socket, subprocess, sys
from pathlib import Path
import test_sshd_sftp as t
from kit.wait import wait_for
place = Path(sys.argv[1])
mounted = place / "mounted"
mounted.mkdir()
ours, theirs = socket.socketpair()
log = open(place / "log", "wb")
server = subprocess.Popen([place / "multissh-sshd", "--sftp"], stdin=theirs, stdout=theirs, stderr=log, cwd=place / "home")
fs = subprocess.Popen(["sshfs", "-f", "-o", "passive", f"any:{place}/home", mounted], stdin=ours, stdout=ours, stderr=log)
ours.close(), theirs.close()
wait_for(lambda: os.path.ismount(mounted), 20, lambda: (place / "log").read_text())
try:
    data = os.urandom(3_000_001)
    (mounted / "data").write_bytes(data)
    assert (mounted / "data").read_bytes() == data == (place / "home/data").read_bytes()
    with open(mounted / "data", "r+b") as file:
        file.seek(1_000_000)
        file.write(b"in the middle")
        os.fsync(file.fileno())
    assert (place / "home/data").read_bytes()[1_000_000:1_000_013] == b"in the middle"
    with open(mounted / "data", "ab") as file:
        file.write(b"at the end")
    assert (place / "home/data").read_bytes().endswith(b"at the end")
    os.truncate(mounted / "data", 10)
    os.chmod(mounted / "data", 0o604)
    os.utime(mounted / "data", (t.EPOCH, t.EPOCH))
    os.rename(mounted / "data", mounted / "data2")
    os.symlink("data2", mounted / "link")
    os.link(mounted / "data2", mounted / "hard")
    os.mkdir(mounted / "folder")
    for i in range(300):
        (mounted / "folder" / f"file {i}").write_text(str(i))
    assert sorted(os.listdir(mounted / "folder")) == sorted(f"file {i}" for i in range(300))
    shutil.copytree(mounted / "folder", mounted / "copy")
    shutil.rmtree(mounted / "folder")
    info = (place / "home/data2").stat()
    assert (info.st_size, info.st_mode & 0o7777, int(info.st_mtime), info.st_nlink) == (10, 0o604, t.EPOCH, 2)
    assert os.readlink(mounted / "link") == "data2"
    assert os.statvfs(mounted).f_blocks > 0
    assert len(os.listdir(mounted / "copy")) == 300 and not (place / "home/folder").exists()
    # A disk that cannot rename without replacing (this one): nothing is replaced all the same.
    with t.raw(place, cwd=mounted) as client:
        assert t.code_of(client.ask(t.RENAME, t.text("data2"), t.text("hard"))) == t.FAILURE
        assert t.code_of(client.ask(t.RENAME, t.text("copy"), t.text("hard"))) == t.FAILURE
        assert t.code_of(client.ask(t.RENAME, t.text("nothing"), t.text("other"))) == t.NO_SUCH_FILE
        assert t.code_of(client.ask(t.RENAME, t.text("data2"), t.text("data3"))) == t.OK
        assert t.code_of(client.ask(t.RENAME, t.text("copy"), t.text("copy2"))) == t.OK
    assert sorted(os.listdir(place / "home")) == ["copy2", "data3", "hard", "link"]
    try:
        (mounted / "nothing").read_bytes()
        raise AssertionError("a file that is not there was read")
    except FileNotFoundError:
        pass
finally:
    subprocess.run(["umount", mounted], check=True)
    fs.wait(timeout=20)
assert server.wait(timeout=20) == 0, (place / "log").read_text()
assert not t.proc.FAULTS.search((place / "log").read_text())
"""


def test_sshfs(place):
    need("sshfs")
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse")
    in_own_mounts(SSHFS, place)


def test_paramiko(place):
    paramiko = pytest.importorskip("paramiko")

    class Channel(socket.socket):
        def get_name(self):
            return "a socket"

    with Server(place) as server:
        client = paramiko.SFTPClient(Channel(fileno=os.dup(server.sock.fileno())))
        data = os.urandom(2_000_001)
        with client.open("file", "wb") as file:
            file.set_pipelined(True)
            file.write(data)
        with client.open("file", "rb") as file:
            file.prefetch()
            assert file.read() == data
            file.seek(1000)
            assert file.read(100) == data[1000:1100]
            assert [bytes(part) for part in file.readv([(0, 10), (500_000, 70_000)])] == [data[:10], data[500_000:570_000]]
        client.rename("file", "file2")
        with pytest.raises(OSError):
            client.rename("nothing", "file3")
        client.posix_rename("file2", "file")
        client.mkdir("folder")
        client.symlink("file", "link")
        assert client.readlink("link") == "file"
        assert client.normalize("folder/..") == str(place / "home")
        assert sorted(client.listdir()) == ["file", "folder", "link"]
        assert stat.S_ISLNK(client.lstat("link").st_mode)
        client.chmod("file", 0o600)
        client.truncate("file", 5)
        client.utime("file", (EPOCH, EPOCH))
        found = client.stat("file")
        assert (found.st_size, found.st_mtime, stat.S_IMODE(found.st_mode)) == (5, EPOCH, 0o600)
        with pytest.raises(FileNotFoundError):
            client.stat("nothing")
        client.mkdir("folder/x")
        with pytest.raises(OSError, match="Directory not empty"):
            client.rmdir("folder")
        with pytest.raises(OSError, match="File exists"):
            client.mkdir("folder")
        assert [entry.filename for entry in client.listdir_iter("folder")] == ["x"]
        client.remove("link")
        client.rmdir("folder/x")
        client.close()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_to_end(place, number):
    """Hung up on by the one who started it, it ends as it does when the client goes: what was sent is done, and it is logged."""
    server = Server(place)
    client = Raw(server.sock)
    client.hello()
    client.open("file", W | CREAT)
    server.popen.send_signal(number)
    assert server.popen.wait(timeout=10) == 0
    assert "1 handle(s) never closed" in server.logged()
    server.sock.close()


def test_a_signal_to_end_one_that_cannot_get_rid_of_its_answers(place):
    (place / "home/data").write_bytes(os.urandom(200_000))
    server = Server(place)
    client = Raw(server.sock)
    client.hello()
    handle = client.open("data")
    for _ in range(20):
        client.send(READ, handle, u64(0), u32(200_000))
    wait_for(lambda: Path(f"/proc/{server.popen.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S")
    server.popen.send_signal(signal.SIGHUP)
    server.sock.close()
    assert server.popen.wait(timeout=10) == 0
    assert "1 file(s) read" in server.logged()
