"""Faults around the built-in SSH server: disks that are full, homes and shells that are not there, no descriptors and processes left,
names of any bytes, processes that are killed. Each ends in a clear error for the client and a line in the log, and hurts nothing else."""
import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest
from conftest import worlds
from kit import builtin, proc
from kit.builtin import INSIDE, REAL, BuiltIn, RealSshd, Visitor
from kit.parts import SLOW
from kit.wait import wait_for

bench, world = worlds()
MIB = 1 << 20
EVERY_BYTE = [bytes([number]) for number in range(1, 256) if number != ord("/")]


@pytest.fixture(scope="module")
def box(world):
    return builtin.server(world)


@pytest.fixture(scope="module")
def visitor(box):
    return Visitor(box)


def serve(world, *flags, real=()):
    return RealSshd(world, *real) if REAL else BuiltIn(world, *flags)


def root_only(world):
    if not world.root:
        pytest.skip("of several accounts")


def gone(pids):
    return not any(proc.command_of(pid) for pid in pids)


def by_asyncssh(visitor, talk):
    """talk(sftp) with an SFTP client that takes any bytes for a name."""
    import asyncssh

    async def run():
        async with asyncssh.connect(visitor.server.address, visitor.server.port, username=visitor.login, known_hosts=None, client_keys=[str(visitor.key)],
                                    agent_path=None, config=None) as connection, connection.start_sftp_client(path_encoding=None) as sftp:
            return await talk(sftp)
    return asyncio.run(asyncio.wait_for(run(), 60 * SLOW))


def sftp(visitor, batch, **options):
    return visitor.bench.run("sftp", "-b", "-", *visitor.options(), "box", input=batch, **options)


@pytest.fixture
def others(visitor):
    """Another connection: it must not notice anything."""
    session = visitor.talk("echo up; cat")
    assert session.stdout.readline() == b"up\n"
    yield session
    session.stdin.write(b"lively\n")
    assert session.stdout.readline() == b"lively\n"
    session.stdin.close()
    assert session.wait(10) == 0


# --- full disks ---

@pytest.fixture
def full_disk(world):
    """A file system of one megabyte for everybody."""
    path = f"{INSIDE}/small-{world.bench.number()}"
    world.run("mkdir", path).ok()
    world.run("mount", "-t", "tmpfs", "-o", "size=1m,mode=1777", "small", path).ok()
    yield path
    world.run("umount", "-l", path).ok()


def test_a_full_disk(bench, world, box, visitor, full_disk, others):
    source = bench.path("too-big")
    source.write_bytes(os.urandom(4 * MIB))
    mark = box.mark()
    for tool in ("scp", "sftp"):
        if tool == "scp":
            done = visitor.bench.run("scp", "-q", *visitor.options(), source, f"box:{full_disk}/by-scp").failed()
        else:
            done = sftp(visitor, f"put {source} {full_disk}/by-sftp\n").failed()
        done.says("No space left on device|Failure")
        assert world.path(full_disk).exists()
        for left in world.path(full_disk).iterdir():
            left.unlink()
    if not REAL:
        box.wait_log("No space left", since=mark)
    visitor.run(f"cat >{full_disk}/by-command", input=source.read_bytes()).failed().says("No space left on device")
    visitor.bench.run("scp", "-q", "-O", *visitor.options(), source, f"box:{full_disk}/by-old-scp").failed().says("No space left on device")
    visitor.run(f"rm {full_disk}/*; echo room >{full_disk}/again; cat {full_disk}/again").ok().says("room")


def test_no_folder_can_be_made_on_a_full_disk(bench, world, box, visitor, full_disk):
    """Inodes are out, too; and what is there stays whole."""
    world.run("mount", "-o", "remount,nr_inodes=3", full_disk)
    visitor.run(f"echo old >{full_disk}/kept").ok()
    source = bench.path("small")
    source.write_bytes(b"new\n")
    done = sftp(visitor, f"-mkdir {full_disk}/one\n-mkdir {full_disk}/two\n-mkdir {full_disk}/three\nput {source} {full_disk}/kept\n").ok()
    done.says("No space left on device|Failure")
    assert world.read(f"{full_disk}/kept") == "new\n"


@pytest.mark.skipif(REAL, reason="OpenSSH's makes no host key")
def test_a_host_key_that_cannot_be_written(world, full_disk):
    """Nothing half-written is left, and when there is room again it works."""
    filler = world.path(f"{full_disk}/filler")
    with contextlib.suppress(OSError), open(filler, "wb") as file:
        while True:
            file.write(b"x" * 4096)
            file.flush()
    server = BuiltIn(world)
    server.state = f"{full_disk}/state"
    world.mkdir(server.state, owner=world.server_user, mode=0o700)
    before = len(list(world.path(server.state).iterdir()))
    person = Visitor(server, authorize=False)
    person.run("true").failed(255)
    server.wait_log("No space left on device|host key")
    server.wait_idle()
    assert len(list(world.path(server.state).iterdir())) == before, list(world.path(server.state).iterdir())
    filler.unlink()
    person.run("true").failed(255).says("Permission denied")


# --- homes and shells ---

@pytest.fixture
def elsewhere(world):
    """A server whose keys are not in the homes."""
    root_only(world)
    world.mkdir("/etc/keys")
    return serve(world, "--authorized-keys", "/etc/keys/%u", real=["AuthorizedKeysFile /etc/keys/%u"])


def let_in(world, server, name):
    person = Visitor(server, login=name, authorize=False)
    world.write(f"/etc/keys/{name}", person.public + "\n")
    return person


@pytest.mark.parametrize("kind", ["missing", "forbidden", "a-file"])
def test_a_home_that_is_none(world, elsewhere, kind):
    """The session is in /, and says why."""
    name = f"homeless{kind[0]}"
    if name not in world.accounts:
        world.account(name, make_home=False)
        if kind == "forbidden":
            world.mkdir(f"/home/{name}", mode=0o700)
        elif kind == "a-file":
            world.write(f"/home/{name}", "not a folder\n")
    person = let_in(world, elsewhere, name)
    done = person.run("pwd; echo $HOME").ok()
    assert done.out == f"/\n/home/{name}\n"
    done.says(rf"Could not chdir to home directory /home/{name}: ")
    terminal = person.terminal(options=["-tt"], env={"TERM": "dumb"})
    terminal.expect("Could not chdir to home directory")
    terminal.send("pwd; exit\n")
    terminal.expect(r"^/\r$")
    assert terminal.wait() == 0
    assert "/" in sftp(person, "pwd\n").ok().out


def test_keys_in_a_home_that_is_not_there(world, box):
    root_only(world)
    if "nokeys" not in world.accounts:
        world.account("nokeys", make_home=False)
    Visitor(box, login="nokeys", authorize=False).run("true").failed(255).says("Permission denied")


@pytest.mark.parametrize("kind", ["missing", "not-executable", "a-folder"])
def test_a_shell_that_is_none(world, elsewhere, kind):
    """Nobody gets in, and the log names account and shell."""
    shell = {"missing": "/nowhere/sh", "not-executable": "/etc/passwd", "a-folder": "/usr"}[kind]
    name = f"shelless{kind[0]}"
    if name not in world.accounts:
        world.account(name, shell=shell)
    mark = elsewhere.mark()
    done = let_in(world, elsewhere, name).run("echo in").failed(255)
    assert "in\n" not in done.out
    if not REAL:
        done.says("shell|Permission denied")
        elsewhere.wait_log(rf"{name}.*{shell}", since=mark)


def test_a_shell_that_goes_while_somebody_is_logged_in(bench, world, elsewhere):
    builtin.copy_in(world, "/bin/sh", "/etc/own-shell")
    if "fleeting" not in world.accounts:
        world.account("fleeting", shell="/etc/own-shell")
    person = let_in(world, elsewhere, "fleeting")
    path = bench.path(f"m{bench.number()}")
    person.start_ssh("-N", "-M", "-S", path, "box")
    wait_for(path.exists, 10)
    assert person.run("echo there", options=["-S", path]).ok().out == "there\n"
    world.path("/etc/own-shell").unlink()
    done = person.run("echo there", options=["-S", path]).failed()
    done.says("/etc/own-shell: No such file or directory")
    # Files need no shell.
    builtin.copy_in(world, "/bin/sh", "/etc/own-shell")
    assert person.run("echo back", options=["-S", path]).ok().out == "back\n"


@pytest.mark.skipif(REAL, reason="of the built-in server's own check")
def test_a_file_of_the_account_that_never_ends(world, box, visitor, others):
    """~/.profile, ~/.bashrc and ~/.ssh/rc are the account's own: what hangs there hangs this session alone."""
    world.write_home(visitor.login, ".ssh/rc", "sleep 1000\n")
    try:
        count = len(box.connections)
        session = visitor.talk("echo in")
        wait_for(lambda: len(box.connections) > count and len(proc.tree(box.connections[count].pid)) > 2, 10, "the file is run")
        others.stdin.write(b"meanwhile\n")
        assert others.stdout.readline() == b"meanwhile\n"
        server = box.connections[count]
        session.kill()
        wait_for(lambda: server.poll() is not None, 15, "the server ends with the client")
    finally:
        (world.home(visitor.login) / ".ssh/rc").unlink()


# --- bytes ---

def test_values_of_64_kib(visitor):
    for size in (65536, 100000):
        done = visitor.run("echo ${#LC_BIG} ${#LC_ALSO}; printenv LC_BIG | md5sum", options=["-o", "SendEnv=LC_BIG LC_ALSO"],
                           env={"LC_BIG": "v" * size, "LC_ALSO": "w" * 65536}).ok()
        assert done.out.split()[:2] == [str(size), "65536"], done


@pytest.mark.skipif(REAL, reason="OpenSSH's server ends such a session in its own way")
def test_values_that_the_system_does_not_take(box, visitor, others):
    """More than MAX_ARG_STRLEN in one, which no program could be started with."""
    names = " ".join(f"LC_{number}" for number in range(8))
    done = visitor.run("echo started", options=["-o", f"SendEnv={names}"], env={name: "v" * 120000 for name in names.split()})
    assert done.out in ("started\n", ""), done
    if done.out == "":
        done.failed().says("too long|too large|too much|Argument list")
    assert visitor.run("echo on").ok().out == "on\n"


def test_names_with_every_byte(bench, world, visitor):
    """Made, listed, read, renamed and removed by SFTP; each byte as it was."""
    names = [b"a" + byte + b"z" for byte in EVERY_BYTE] + [b"\xff" * 255, b"-rf", b"...", b" ", b"~", b"$(id)", b"*", b"''", b'"']

    async def talk(client):
        with contextlib.suppress(Exception):
            await client.rmtree(b"bytes")
        await client.mkdir(b"bytes")
        for name in names:
            async with client.open(b"bytes/" + name, "wb") as file:
                await file.write(name)
        listed = set(await client.listdir(b"bytes")) - {b".", b".."}
        assert listed == set(names), listed ^ set(names)
        for name in names:
            async with client.open(b"bytes/" + name, "rb") as file:
                assert await file.read() == name
            assert (await client.realpath(b"bytes/" + name)).endswith(b"/bytes/" + name)
    by_asyncssh(visitor, talk)
    there = os.fsencode(world.home() / "bytes")
    assert set(os.listdir(there)) == set(names)
    # And by a stock client, as a tree.
    back = bench.path(f"back{bench.number()}")
    visitor.bench.run("scp", "-q", "-r", *visitor.options(), "box:bytes", back).ok()
    assert {name: open(os.fsencode(back) + b"/" + name, "rb").read() for name in os.listdir(os.fsencode(back))} == {name: name for name in names}

    async def away(client):
        for name in names:
            await client.rename(b"bytes/" + name, b"bytes/moved")
            await client.remove(b"bytes/moved")
        await client.rmdir(b"bytes")
    by_asyncssh(visitor, away)


def test_commands_with_every_byte(visitor):
    text = b"".join(byte for byte in EVERY_BYTE if byte not in (b"'", b"\r"))
    argv = [b"ssh", *map(os.fsencode, visitor.options()), b"box", b"printf %s '" + text + b"'"]
    done = subprocess.run(argv, capture_output=True, env=visitor.bench.env(), stdin=subprocess.DEVNULL, check=False, timeout=30)
    assert done.stdout == text and done.returncode == 0, done


# --- files ---

SECRET = "the secret of somebody else\n"


@pytest.fixture
def secret(world):
    """A file that the account cannot read, in a folder that it cannot enter."""
    root_only(world)
    world.mkdir("/etc/locked", mode=0o700)
    world.write("/etc/locked/secret", SECRET, mode=0o600)
    return "/etc/locked/secret"


def test_links_lead_nowhere_that_the_account_may_not_go(bench, world, visitor, secret):
    visitor.run(f"rm -rf links; mkdir links; ln -s {secret} links/file; ln -s /etc/locked links/folder").ok()
    back = bench.path("stolen")
    for batch in ("get links/file", "get links/folder/secret", "ls links/folder/", "rm links/folder/secret", "rename links/folder/secret links/mine",
                  "chmod 666 links/file", f"put {visitor.config} links/file", f"put {visitor.config} links/folder/new"):
        line = batch.replace(" links", f" {world.accounts[visitor.login].home}/links") + (f" {back}" if batch.startswith("get") else "")
        done = sftp(visitor, line + "\n").failed()
        done.says("Permission denied|not found")
    assert not back.exists() or SECRET not in back.read_text()
    assert world.read(secret) == SECRET and os.listdir(world.path("/etc/locked")) == ["secret"]


def test_a_link_that_is_swapped_all_the_time(bench, world, visitor, secret):
    """Now the account's own folder, now the forbidden one: what comes is its own file or an error, what goes lands in its own folder or nowhere."""
    account = world.accounts[visitor.login]
    visitor.run("rm -rf race; mkdir race race/own; echo mine >race/own/secret").ok()
    swapper = bench.start("swapper", *world.enter("/usr/bin/python3", "-c", f"""
import os, time
os.chdir({account.home + "/race"!r})
end = time.monotonic() + 30
while time.monotonic() < end:
    for target in ("own", "/etc/locked"):
        os.symlink(target, "new")
        os.rename("new", "folder")
""", user=visitor.login))
    wait_for(lambda: os.path.lexists(world.home() / "race/folder"), 5)
    seen = {"mine\n": 0, None: 0}

    async def talk(client):
        import asyncssh
        for number in range(500):
            try:
                async with client.open(b"race/folder/secret", "rb") as file:
                    text = (await file.read()).decode()
            except asyncssh.SFTPError:
                text = None
            seen[text] = seen.get(text, 0) + 1
            with contextlib.suppress(asyncssh.SFTPError):
                async with client.open(b"race/folder/put-%d" % number, "wb") as file:
                    await file.write(b"x")
    by_asyncssh(visitor, talk)
    swapper.kill()
    assert set(seen) == {"mine\n", None} and seen["mine\n"] > 0 and seen[None] > 0, seen
    assert os.listdir(world.path("/etc/locked")) == ["secret"] and world.read(secret) == SECRET


def test_ten_thousand_files(bench, world, box, visitor):
    """All of them, once each, soon, in bounded memory."""
    visitor.run("mkdir -p many && cd many && seq -f 'file-%05g-with-a-name-of-some-length' 10000 | xargs touch").ok()
    began = time.monotonic()
    done = sftp(visitor, "ls -1 many\n").ok()
    names = [line.rpartition("/")[2].strip() for line in done.out.splitlines() if "file-" in line]
    assert sorted(names) == [f"file-{number:05d}-with-a-name-of-some-length" for number in range(1, 10001)]
    sftp(visitor, "ls -la many\n").ok()
    assert time.monotonic() - began < 20 * SLOW
    if world.root:
        back = bench.path("many")
        visitor.bench.run("scp", "-q", "-r", *visitor.options(), "box:many", back, timeout=120).ok()
        assert len(list(back.iterdir())) == 10000
        shutil.rmtree(back)
    visitor.run("rm -r many").ok()


def test_a_sparse_file_of_5_gib(bench, world, visitor):
    """Sizes and offsets beyond 32 bits, read and written in parts."""
    size = 5 << 30
    visitor.run(f"truncate -s {size} sparse && printf end | dd of=sparse bs=1 seek={size - 3} conv=notrunc status=none && "
                f"printf middle | dd of=sparse bs=1 seek={(4 << 30) - 3} conv=notrunc status=none").ok()

    async def talk(client):
        assert (await client.stat(b"sparse")).size == size
        async with client.open(b"sparse", "rb+") as file:
            assert await file.read(6, (4 << 30) - 3) == b"middle"
            assert await file.read(100, size - 3) == b"end"
            assert await file.read(100, size) == b"" and await file.read(10, 1 << 62) == b""
            await file.write(b"written", size + 100)
            assert (await file.stat()).size == size + 107
            await file.truncate(size - 1)
            assert await file.read(10, size - 3) == b"en"
    by_asyncssh(visitor, talk)
    assert (world.home() / "sparse").stat().st_size == size - 1
    assert f" {size - 1} " in sftp(visitor, "ls -l sparse\n").ok().out
    # The rest of a download that was broken off near its end, by the stock client.
    back = bench.path("sparse")
    with open(back, "wb") as file:
        file.truncate(size - 100)
    sftp(visitor, f"reget sparse {back}\n", timeout=120).ok()
    assert back.stat().st_size == size - 1
    with open(back, "rb") as file:
        file.seek(size - 3)
        assert file.read() == b"en"
    back.unlink()
    visitor.run("rm sparse").ok()


@pytest.mark.skipif(REAL, reason="OpenSSH's server has no such bound but that of descriptors")
def test_handles_that_are_never_closed(world, box, visitor, others):
    """Bounded, with an error that can be told from others; a closed one makes room; the log counts what was left."""
    mark = box.mark()
    visitor.run("echo text >opened").ok()

    async def talk(client):
        import asyncssh
        kept = []
        with pytest.raises(asyncssh.SFTPError):
            for number in range(5000):
                kept.append(await client.open(b"opened", "rb"))
        assert len(kept) >= 100, "an ordinary client needs some"
        await kept.pop().close()
        kept.append(await client.open(b"opened", "rb"))
        assert await kept[0].read() == b"text\n"
        with pytest.raises(asyncssh.SFTPError):
            await client.listdir(b".")
        return len(kept)
    kept = by_asyncssh(visitor, talk)
    assert int(box.wait_log(r"SFTP.*ended.* (\d+) handle\(s\) never closed", since=mark).group(1)) == kept


def test_a_file_that_is_taken_away_while_it_is_read(bench, world, visitor):
    """The file that was opened is what is read to its end, whatever its name means now."""
    data = os.urandom(8 * MIB)
    (world.home() / "fading").write_bytes(data)
    world.owner(f"{world.accounts[visitor.login].home}/fading", visitor.login)

    async def talk(client):
        async with client.open(b"fading", "rb") as file:
            first = await file.read(1000)
            await client.remove(b"fading")
            return first + await file.read(len(data), 1000)
    assert by_asyncssh(visitor, talk) == data


# --- nothing left of something ---

def limit(pid, what, number):
    """As the process's own user, who may."""
    status = os.stat(f"/proc/{pid}")
    words = ["setpriv", f"--reuid={status.st_uid}", f"--regid={status.st_gid}", "--clear-groups"] if os.geteuid() == 0 and status.st_uid != 0 else []
    subprocess.run([*words, "prlimit", "--pid", str(pid), f"--{what}={number}:"], check=True)


def own_processes(popen):
    """The server's own processes: the one that decides, then the one that speaks."""
    return [pid for pid in proc.tree(popen.pid) if "sshd" in proc.command_of(pid)]


@pytest.fixture
def master(bench, box, visitor):
    """A connection with room for sessions: options and the server's process."""
    path, count = bench.path(f"m{bench.number()}"), len(box.connections)
    visitor.start_ssh("-N", "-M", "-S", path, "box")
    wait_for(path.exists, 10)
    return ["-S", str(path)], box.connections[count]


@pytest.mark.skipif(REAL, reason="OpenSSH's server ends in its own ways")
@pytest.mark.parametrize("which", [0, 1], ids=["monitor", "speaker"])
def test_no_descriptors_left(box, visitor, others, master, which):
    options, popen = master
    assert visitor.run("echo before", options=options).ok().out == "before\n"
    pid, mark = own_processes(popen)[which], box.mark()
    wait_for(lambda: gone([child for child in proc.tree(popen.pid) if child not in own_processes(popen)]), 5)
    limit(pid, "nofile", proc.descriptors(pid) + 1)
    done = visitor.run("echo in spite", options=options)
    assert done.status != 0 and done.out == "", done
    box.wait_log("Too many open files|descriptor", since=mark)
    limit(pid, "nofile", 1024)
    assert popen.poll() is not None or visitor.run("echo again", options=options).ok().out == "again\n"
    assert visitor.run("echo new").ok().out == "new\n"


@pytest.mark.skipif(REAL, reason="OpenSSH's server ends in its own ways")
def test_a_server_that_starts_with_too_few_descriptors(world, visitor):
    """It ends at once, with a line, rather than hang."""
    class Poor(BuiltIn):
        number = 3

        def command(self):
            return ["prlimit", f"--nofile={self.number}", *super().command()]
    server = Poor(world)
    person = Visitor(server, key=visitor.key)
    for Poor.number in (3, 4, 6, 8, 10, 12, 14, 16):
        mark = server.mark()
        done = person.run("echo in", timeout=30)
        server.wait_idle()
        assert done.status == 0 or server.log(mark).strip(), f"nothing in the log with {Poor.number}: {done}"
    assert done.took < 20


@pytest.mark.skipif(REAL, reason="OpenSSH's server ends in its own ways")
def test_no_processes_left(world, box, visitor, master):
    if world.root:
        pytest.skip("root is not limited")
    options, popen = master
    mark = box.mark()
    limit(popen.pid, "nproc", 1)
    done = visitor.run("echo in spite", options=options).failed()
    assert done.out == ""
    done.says("Resource temporarily unavailable|cannot")
    box.wait_log("Resource temporarily unavailable", since=mark)
    limit(popen.pid, "nproc", 10000)
    assert visitor.run("echo again", options=options).ok().out == "again\n"


@pytest.mark.skipif(REAL, reason="OpenSSH's server ends in its own ways")
def test_no_memory_left(box, visitor, others, master):
    """The address space of the process that speaks is all used: its connection may end, with a line; the others stay."""
    options, popen = master
    pid = own_processes(popen)[1]
    limit(pid, "as", 1 * MIB)
    running = [visitor.popen(*options, "box", "head -c 3000000 /dev/zero | md5sum") for _ in range(8)]
    for one in running:
        # What is never answered ends with the client's patience.
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.wait(2)
        one.kill()
    if popen.poll() is None:
        limit(pid, "as", "unlimited")
        assert visitor.run("echo again", options=options).ok().out == "again\n"
    else:
        assert popen.returncode is not None and -popen.returncode not in proc.CRASHES


# --- processes that end or stand still ---

@pytest.mark.skipif(REAL, reason="of the built-in server's two processes")
@pytest.mark.parametrize("which", [0, 1], ids=["monitor", "speaker"])
@pytest.mark.parametrize("kind", ["command", "terminal", "sftp", "forward"])
def test_a_process_of_the_server_is_killed(bench, world, box, visitor, others, which, kind):
    """The other one ends too, what ran is hung up on, the client hears of it at once, and no zombie stays."""
    if kind == "command":
        client = visitor.talk("echo up; exec sleep 1000")
    elif kind == "terminal":
        client = visitor.talk("echo up; sleep 1000", options=["-tt"])
    elif kind == "sftp":
        client = subprocess.Popen(["sftp", *visitor.options(), "box"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  env=bench.env(), bufsize=0, start_new_session=True)
        bench.closers.append(lambda: (client.kill(), client.wait()))
        client.stdin.write(b"pwd\n")
    else:
        client = visitor.talk("echo up; cat", options=["-R", "0:127.0.0.1:9"])
    assert client.stdout.readline()
    if kind == "sftp":
        assert b"Remote working directory" in client.stdout.readline() + client.stdout.readline()
    popen = box.latest()
    pids = proc.tree(popen.pid)
    assert len(pids) >= 3, [proc.command_of(pid) for pid in pids]
    os.kill(own_processes(popen)[which], signal.SIGKILL)
    # (The stock sftp looks only when it has something to do.)
    client.stdin.close()
    assert client.wait(15) != 0 or kind == "sftp"
    wait_for(lambda: gone(pids), 15, lambda: f"all have ended: {[proc.command_of(pid) for pid in pids]}")
    assert not [pid for pid in world.zombies() if pid in pids]
    if which == 1:
        box.wait_log("ended by signal 9|killed|has gone")


PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000


def trace(request, pid):
    """ptrace(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, pid, None, None) != 0:
        pytest.skip(f"nobody may trace here: {os.strerror(ctypes.get_errno())}")


@contextlib.contextmanager
def held(pids):
    """As if they got no processor: signals wait, and are taken together, those that are sent first perhaps last."""
    for pid in pids:
        trace(PTRACE_SEIZE, pid)
        trace(PTRACE_INTERRUPT, pid)
        os.waitpid(pid, WALL)
    yield
    for pid in pids:
        wait_for(lambda pid=pid: proc.pending(pid) & 1 << signal.SIGHUP - 1, 10, "it is hung up on")
        trace(PTRACE_DETACH, pid)


@pytest.mark.parametrize("when", ["before", "while"])
def test_sftp_that_stands_still(world, box, visitor, master, when):
    """SIGSTOP, before it is hung up on or while: the end of the connection ends it, too."""
    options, popen = master
    before = set(world.find(r"^multissh-sshd --sftp"))
    session = visitor.talk("-s", "sftp", options=options)
    session.stdin.write(b"\0\0\0\5\1\0\0\0\3")
    assert session.stdout.read(5)[4] == 2
    pids = set(world.find(r"^multissh-sshd --sftp")) - before
    assert pids or REAL
    with held(pids) if when == "while" else contextlib.nullcontext():
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        visitor.ssh("-O", "exit", *options, "box").ok()
    wait_for(lambda: popen.poll() is not None, 15, "the server has ended")
    wait_for(lambda: gone(pids), 10, "the SFTP server that stood still was hung up on")


def test_a_command_that_stands_still(box, visitor, others, master):
    """SIGSTOP: its session waits, others go on; the end of the connection ends it."""
    options, popen = master
    session = visitor.talk("echo $$; exec cat", options=options)
    pid = int(session.stdout.readline())
    os.kill(pid, signal.SIGSTOP)
    threading.Thread(target=lambda: _write_quietly(session.stdin, b"x" * (4 * MIB)), daemon=True).start()
    for _ in range(5):
        assert visitor.run("echo beside", options=options).ok().out == "beside\n"
    visitor.ssh("-O", "exit", *options, "box").ok()
    wait_for(lambda: popen.poll() is not None, 15, "the server has ended")
    if REAL:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: gone([pid]), 10, "the command that stood still was hung up on")


def _write_quietly(stream, data):
    with contextlib.suppress(OSError):
        stream.write(data)


def test_a_command_that_does_not_hear(box, visitor):
    """It ignores SIGHUP: the server ends all the same, and leaves it to itself (nohup)."""
    session = visitor.talk("trap '' HUP TERM; echo $$; while :; do sleep 0.2; done")
    pid = int(session.stdout.readline())
    popen = box.latest()
    session.kill()
    try:
        wait_for(lambda: popen.poll() is not None, 15, "the server has ended")
        os.kill(pid, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(REAL, reason="OpenSSH's server leaves what has no terminal alone")
def test_a_client_that_vanishes_in_every_kind_of_session(bench, world, box, visitor):
    """kill -9 of the client in the middle of a download, an upload, an sftp, a terminal: nothing of it stays."""
    big = world.home() / "big"
    big.write_bytes(os.urandom(32 * MIB))
    world.owner(f"{world.accounts[visitor.login].home}/big", visitor.login)
    local = bench.path("big-upload")
    local.write_bytes(os.urandom(32 * MIB))
    kinds = [["ssh", *visitor.options(), "box", "cat big; sleep 1000"], ["ssh", *visitor.options(), "-tt", "box", "sleep 1000"],
             ["scp", "-q", "-l", "8000", *visitor.options(), "box:big", bench.path("there")], ["scp", "-q", "-l", "8000", *visitor.options(), local, "box:up"]]
    for argv in kinds:
        count = len(box.connections)
        client = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=bench.env(), start_new_session=True)
        wait_for(lambda: len(box.connections) > count, 10)
        popen = box.connections[count]
        wait_for(lambda: len(proc.tree(popen.pid)) > 2 + (not world.root and REAL), 10)
        pids = proc.tree(popen.pid)
        os.killpg(client.pid, signal.SIGKILL)
        client.wait()
        wait_for(lambda: popen.poll() is not None and gone(pids), 15, lambda: f"{argv}: {[proc.command_of(pid) for pid in pids]}")
    assert not world.zombies()
