"""Clients of all kinds at the built-in SSH server, directly; those that test_builtin.py does not have, through the hub as well.

MULTISSH_TEST_SERVER=openssh runs them against OpenSSH's server, where no hub is in between."""
import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import threading

import pytest
from conftest import need, worlds
from kit import builtin as kit
from kit.builtin import InnerAgent, Visitor
from kit.parts import SLOW, Hub, User, keygen
from kit.terminal import Terminal
from kit.wait import wait_for

MIB = 1 << 20
bench, world = worlds()
HOME = "/home/alice"


@pytest.fixture(scope="module")
def server(world):
    return kit.server(world)


@pytest.fixture(scope="module")
def alice(server):
    return Visitor(server, "alice")


def wide(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def source(bench):
    """A file of every byte, that is no multiple of anything."""
    path = bench.path("source")
    path.write_bytes(os.urandom(3 * MIB) + bytes(range(256)) * 40 + b"end")
    return path


class Through:
    """The way through a hub to a machine of this world whose agent offers the built-in server."""

    def __init__(self, world, alice):
        self.bench = world.bench
        self.hub = Hub(self.bench)
        self.hub.add_user(User(self.bench, "alice", key=alice.key).knows(self.hub))
        self.agent = InnerAgent(world, self.hub)
        self.login, self.key, self.server = alice.login, alice.key, None
        self.user = alice
        folder = self.bench.folder("through")
        self.config = folder / "config"
        self.known_hosts = folder / "known_hosts"
        common = [f"IdentityFile {alice.key}", "IdentitiesOnly yes", "IdentityAgent none", f"UserKnownHostsFile {self.known_hosts}", "GlobalKnownHostsFile /dev/null",
                  "StrictHostKeyChecking accept-new", "BatchMode yes", "UpdateHostKeys no", "KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256"]
        self.config.write_text("\n".join(["Host box", "  HostName web01", f"  User {alice.login}", "  ProxyJump hub", "Host hub", f"  HostName {self.hub.address}",
                                          f"  Port {self.hub.port}", "  User alice", "Host *", *(f"  {line}" for line in common)]) + "\n")

    def options(self):
        return ["-F", str(self.config)]

    def run(self, *words, **more):
        return self.bench.run("ssh", *self.options(), "box", *words, **more)


@pytest.fixture(scope="module")
def through(world, alice):
    if kit.REAL:
        pytest.skip("the agent offers the built-in server")
    return Through(world, alice)


@pytest.fixture(scope="module", params=["direct", "through a hub"])
def box(request, alice):
    """The server as the host `box` of an OpenSSH config."""
    return alice if request.param == "direct" else request.getfixturevalue("through")


# --- OpenSSH's own ---

@pytest.mark.parametrize("protocol", ["sftp", "scp"])
def test_scp(alice, world, bench, source, protocol):
    legacy = ["-O"] if protocol == "scp" else ["-s"]
    base = ["scp", "-q", *legacy, *alice.options()]
    bench.run(*base, source, "box:there").ok()
    assert world.path(f"{HOME}/there").read_bytes() == source.read_bytes()
    bench.run(*base, "-p", "box:there", bench.path("back")).ok()
    assert bench.path("back").read_bytes() == source.read_bytes()
    tree = bench.folder("tree")
    (tree / "a b").mkdir()
    for name in ("one", "a b/two", "ü", "tab\there"):
        (tree / name).write_text(name)
    bench.run(*base, "-r", tree, "box:copied").ok()
    copied = bench.folder("copied") / "copied"
    bench.run(*base, "-r", "box:copied", copied).ok()
    bench.run("diff", "-r", tree, copied).ok()
    done = bench.run(*base, "box:/no/such", bench.path("none")).failed()
    assert "No such file" in done.err
    shutil.rmtree(world.path(f"{HOME}/copied"))


def test_sftp(alice, world, bench, source):
    back = bench.path("sftp-back")
    batch = (f"mkdir d\nput -p {source} d/x\nchmod 640 d/x\nrename d/x d/y\nsymlink y d/link\nls -l d\nget d/y {back}\ndf\nrm d/link\n"
             f"pwd\nrm d/y\nrmdir d\n")
    done = bench.run("sftp", "-b", "-", *alice.options(), "box", input=batch).ok()
    assert re.search(r"-rw-r----- .* d/y", done.out) and f"Remote working directory: {HOME}" in done.out, done
    assert back.read_bytes() == source.read_bytes()
    assert not world.path(f"{HOME}/d").exists()


def test_rsync(alice, world, bench):
    need("rsync")
    tree = bench.folder("rsync")
    for n in range(60):
        (tree / f"file {n}").write_bytes(os.urandom(n * 1000))
    shell = f"ssh {alice.quoted_config()}"
    bench.run("rsync", "-a", "-e", shell, f"{tree}/", "box:mirror/").ok()
    back = bench.path(f"rsync-back{bench.number()}")
    bench.run("rsync", "-a", "-e", shell, "box:mirror/", f"{back}/").ok()
    bench.run("diff", "-r", tree, back).ok()
    (tree / "file 7").write_bytes(b"changed")
    (tree / "file 8").unlink()
    done = bench.run("rsync", "-ai", "--delete", "-e", shell, f"{tree}/", "box:mirror/").ok()
    assert {line.split(" ", 1)[1].strip() for line in done.out.splitlines() if line[0] in "<*"} == {"file 7", "file 8"}, done
    assert world.path(f"{HOME}/mirror/file 7").read_bytes() == b"changed"


def test_git(alice, bench):
    need("git")
    env = {"GIT_SSH_COMMAND": f"ssh {alice.quoted_config()}", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@test",
           "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@test"}
    work, again = bench.path("git-work"), bench.path("git-again")
    alice.run("rm -rf bare.git && git init -q --bare -b main bare.git").ok()
    bench.run("git", "init", "-q", "-b", "main", work, env=env).ok()
    (work / "file").write_bytes(os.urandom(MIB))
    bench.run("git", "add", "file", cwd=work, env=env).ok()
    bench.run("git", "commit", "-qm", "one", cwd=work, env=env).ok()
    bench.run("git", "push", "-q", "box:bare.git", "main", cwd=work, env=env).ok()
    bench.run("git", "clone", "-q", f"ssh://box{HOME}/bare.git", again, env=env).ok()
    assert (again / "file").read_bytes() == (work / "file").read_bytes()
    shutil.rmtree(work)
    shutil.rmtree(again)


def test_ssh_copy_id(alice, world, bench):
    need("ssh-copy-id")
    before = world.read(f"{HOME}/.ssh/authorized_keys")
    new = keygen(bench.path(f"copied-id{bench.number()}"), comment="copied@test")
    (bench.home() / ".ssh").mkdir(exist_ok=True, mode=0o700)
    try:
        # -f: it would find that one can log in already, by the key that lets it in.
        done = bench.run("ssh-copy-id", "-f", "-i", f"{new}.pub", *alice.options(), "box")
        done.ok().says(r"Number of key\(s\) added: 1")
        assert "copied@test" in world.read(f"{HOME}/.ssh/authorized_keys")
        assert bench.run("ssh", *alice.options(), "-o", f"IdentityFile={new}", "-i", new, "box", "echo in").ok().out == "in\n"
    finally:
        world.authorize("alice", more=before)


def test_autossh(alice, server, bench):
    need("autossh")
    server.wait_idle()
    count, mark = len(server.connections), server.mark()
    bench.start("autossh", "autossh", "-M", "0", *alice.options(), "-N", "box", env={"AUTOSSH_GATETIME": "0", "AUTOSSH_POLL": "5"})
    wait_for(lambda: len(server.connections) > count, 10)
    server.wait_log(r"alice", 10, since=mark)
    os.kill(server.latest().pid, 15)
    wait_for(lambda: len(server.connections) > count + 1, 20)


@pytest.mark.parametrize("kind,bits", [("ed25519", None), ("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("rsa", 2048), ("rsa", 3072)])
def test_key_kinds(server, world, alice, kind, bits):
    visitor = Visitor(server, "alice", authorize=False, name="kinds", kind=kind, bits=bits)
    world.authorize("alice", alice.public, visitor.public)
    try:
        assert visitor.run("echo in").ok().out == "in\n"
    finally:
        world.authorize("alice", alice.public)


@pytest.mark.parametrize("option", [
    "KexAlgorithms=curve25519-sha256", "KexAlgorithms=ecdh-sha2-nistp256", "KexAlgorithms=ecdh-sha2-nistp521", "Ciphers=aes128-ctr", "Ciphers=aes256-ctr",
    "Ciphers=aes128-gcm@openssh.com", "Ciphers=aes256-gcm@openssh.com", "Ciphers=chacha20-poly1305@openssh.com", "MACs=hmac-sha2-256", "MACs=hmac-sha2-512",
    "MACs=hmac-sha2-256-etm@openssh.com", "MACs=hmac-sha2-512-etm@openssh.com", "Compression=yes", "HostKeyAlgorithms=ssh-ed25519"])
def test_algorithms(alice, option):
    more = ("-o", "Ciphers=aes128-ctr") if "MACs" in option else ()
    done = alice.run("cat", input=b"x" * MIB, options=("-o", option, *more))
    assert done.ok().raw == b"x" * MIB


def test_the_clients_own_choice(alice, bench):
    """No option at all: what a user types."""
    done = bench.run("ssh", "-F", "/dev/null", "-i", alice.key, "-p", alice.server.port, "-o", f"UserKnownHostsFile={alice.known_hosts}", "-o", "BatchMode=yes",
                     "-o", "StrictHostKeyChecking=accept-new", f"alice@{alice.server.address}", "echo in")
    assert done.ok().out == "in\n"


def test_keyscan(alice, server, bench):
    done = bench.run("ssh-keyscan", "-T", "10", "-p", server.port, server.address, timeout=20).ok()
    assert server.public_host_key() in done.out, done


# --- sshfs ---

def test_sshfs(box, world, bench, source):
    need("sshfs", "fusermount3")
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("sshfs needs /dev/fuse")
    inside = f"/root/fs{bench.number()}"
    world.mkdir(inside)
    mounted = world.path(inside)
    # In the world's mount namespace: nothing is left on this machine, whatever happens.
    sshfs = bench.start("sshfs", *world.enter("sshfs", "-f", *box.options(), f"box:{HOME}", inside, "-o", "dir_cache=no"), env=world.environment())
    wait_for(lambda: (mounted / ".ssh").exists() or not sshfs.running(), 20, sshfs.log)
    assert sshfs.running(), sshfs.log()
    try:
        home = world.path(HOME)
        shutil.copyfile(source, mounted / "big")
        assert (home / "big").read_bytes() == source.read_bytes()
        assert (mounted / "big").read_bytes() == source.read_bytes()
        (mounted / "folder").mkdir()
        names = {f"n{n} ü" for n in range(300)}
        for name in names:
            (mounted / "folder" / name).write_text(name)
        assert set(os.listdir(mounted / "folder")) == names
        os.rename(mounted / "big", mounted / "folder" / "moved")
        os.truncate(mounted / "folder" / "moved", 1000)
        os.chmod(mounted / "folder" / "moved", 0o600)
        os.utime(mounted / "folder" / "moved", (1000000, 2000000))
        status = (home / "folder" / "moved").stat()
        assert (status.st_size, status.st_mode & 0o777, int(status.st_mtime)) == (1000, 0o600, 2000000)
        os.symlink("folder/moved", mounted / "link")
        assert os.readlink(mounted / "link") == "folder/moved"
        os.rename(mounted / "folder" / "moved", mounted / "folder" / sorted(names)[0])  # over what is there
        with open(mounted / "appended", "ab") as out:
            out.write(b"one")
            out.flush()
            os.fsync(out.fileno())
            out.write(b"two")
        assert (home / "appended").read_bytes() == b"onetwo"
        with open(mounted / "appended", "r+b") as out:
            out.seek(100000)
            out.write(b"far")
        assert (home / "appended").read_bytes() == b"onetwo" + b"\0" * (100000 - 6) + b"far"
        assert shutil.disk_usage(mounted).total == shutil.disk_usage(home).total
        with pytest.raises(FileNotFoundError):
            (mounted / "none").read_bytes()
        shutil.rmtree(mounted / "folder")
        for name in ("appended", "link"):
            (mounted / name).unlink()
    finally:
        world.run("fusermount3", "-u", "-z", inside)
    sshfs.popen.wait(20)


# --- PuTTY ---

@pytest.fixture
def putty(box, alice, server):
    """Options of plink, psftp and pscp, and the host."""
    need("plink", "puttygen", "psftp", "pscp")
    if box is alice:
        public = server.public_host_key()
        options = ["-batch", "-i", alice.ppk(), "-hostkey", fingerprint(public), "-P", server.port, "-l", "alice"]
        return options, server.address
    box.run("true").ok()
    known = {line.split()[0]: " ".join(line.split()[1:3]) for line in box.known_hosts.read_text().splitlines()}
    hub = box.hub
    outer = ["plink", "-batch", "-ssh", "-i", alice.ppk(), "-hostkey", fingerprint(known[f"[{hub.address}]:{hub.port}"]), "-P", hub.port, "-l", "alice", "-nc",
             "%host:%port", hub.address]
    inner = ["-batch", "-i", alice.ppk(), "-hostkey", fingerprint(known["web01"]), "-proxycmd", " ".join(map(str, outer)), "-l", "alice"]
    return inner, "web01"


def fingerprint(public):
    out = subprocess.run(["ssh-keygen", "-lf", "-"], input=public + "\n", capture_output=True, text=True, check=True).stdout
    return out.split()[1]


def test_plink(putty, bench):
    options, host = putty
    done = bench.run("plink", *options, host, "cat; echo err >&2; exit 5", input=b"through plink\n" * 20000)
    assert (done.status, done.out) == (5, "through plink\n" * 20000) and "err\n" in done.err, done
    done = bench.run("plink", *options, "-t", host, "tty; exit 6")
    assert done.status == 6 and "/dev/pts/" in done.out, done
    done = bench.run("plink", *options, host, input="echo in a shell; exit 7\n")
    assert done.status == 7 and "in a shell" in done.out, done


def test_psftp_and_pscp(putty, bench, world, source):
    options, host = putty
    back = bench.path(f"psftp-back{bench.number()}")
    batch = bench.path(f"batch{bench.number()}")
    batch.write_text(f"mkdir pd\nput {source} pd/there\nchmod 600 pd/there\nmv pd/there pd/moved\nls pd\nget pd/moved {back}\nrm pd/moved\nrmdir pd\n")
    done = bench.run("psftp", *options, "-b", batch, host).ok()
    assert "moved" in done.out and back.read_bytes() == source.read_bytes()
    for protocol in ("-sftp", "-scp"):
        name = f"pscp{protocol}"
        bench.run("pscp", *options, "-q", protocol, source, f"{host}:{name}").ok()
        assert world.path(f"{HOME}/{name}").read_bytes() == source.read_bytes()
        bench.run("pscp", *options, "-q", protocol, f"{host}:{name}", back).ok()
        assert back.read_bytes() == source.read_bytes()
        world.path(f"{HOME}/{name}").unlink()


# --- dbclient ---

def until_it_ends(bench, *argv, **options):
    """dbclient 2022.83 at times misses the end of a session, one in some hundreds on a busy machine; with OpenSSH's server just the same. So it may
    try again."""
    for last in (False, False, True):
        try:
            return bench.run(*argv, timeout=10 * SLOW, **options)
        except AssertionError:
            if last:
                raise


def test_dbclient(alice, server, bench, world):
    need("dbclient", "dropbearconvert")
    key = bench.path("dropbear-key")
    bench.run("dropbearconvert", "openssh", "dropbear", alice.key, key).ok()
    base = ["dbclient", "-y", "-y", "-i", key, "-p", server.port, f"alice@{server.address}"]
    sent = "through dbclient\n" * 20000
    assert until_it_ends(bench, *base, "cat >there-db; exit 6", input=sent).status == 6
    assert world.read(f"{HOME}/there-db") == sent
    done = until_it_ends(bench, *base, "cat there-db; exit 7")
    assert (done.status, done.out) == (7, sent), done
    terminal = Terminal(bench, "dbclient", "-t", *base[1:], "tty; stty size; exit 8", rows=30, columns=90)
    terminal.expect(r"/dev/pts/\d+\s+30 90\s")
    assert terminal.wait() == 8


# --- libraries ---

OLD = {  # what a client of years ago has
    "group14": {"kex": ["diffie-hellman-group14-sha256"]}, "group16": {"kex": ["diffie-hellman-group16-sha512"]}, "nistp256": {"kex": ["ecdh-sha2-nistp256"]},
    "ctr and plain mac": {"ciphers": ["aes128-ctr"], "digests": ["hmac-sha2-256"]}, "ctr and sha512": {"ciphers": ["aes256-ctr"], "digests": ["hmac-sha2-512"]}}


@pytest.mark.parametrize("old", [None, *OLD])
def test_paramiko(alice, server, world, old):
    import paramiko

    transport = paramiko.Transport((server.address, server.port))
    try:
        for name, only in OLD.get(old, {}).items():
            setattr(transport.get_security_options(), name, only)
        transport.connect(username="alice", pkey=paramiko.Ed25519Key.from_private_key_file(str(alice.key)))
        channel = transport.open_session()
        channel.exec_command("cat; echo err >&2; exit 7")
        sent = b"through paramiko\n" * 20000
        writer = threading.Thread(target=lambda: (channel.sendall(sent), channel.shutdown_write()))
        writer.start()
        out = channel.makefile("rb").read()
        writer.join()
        assert out == sent and channel.makefile_stderr("rb").read() == b"err\n" and channel.recv_exit_status() == 7
        channel = transport.open_session()
        channel.get_pty("vt100", 90, 33)
        channel.exec_command("stty size; echo $TERM; read line; stty size")
        text = channel.makefile("rb")
        assert [text.readline(), text.readline()] == [b"33 90\r\n", b"vt100\r\n"]
        channel.resize_pty(100, 40)
        channel.sendall(b"\n")
        assert b"40 100\r\n" in text.read()
        sftp = paramiko.SFTPClient.from_transport(transport)
        with sftp.open("by-paramiko", "wb") as file:
            file.set_pipelined(True)
            file.write(os.urandom(MIB))
        assert sftp.stat("by-paramiko").st_size == MIB == world.path(f"{HOME}/by-paramiko").stat().st_size
        with sftp.open("by-paramiko", "rb") as file:
            file.prefetch()
            assert wide(file.read()) == wide(world.path(f"{HOME}/by-paramiko").read_bytes())
        assert "by-paramiko" in sftp.listdir(".") and sftp.normalize(".") == HOME
        sftp.symlink("by-paramiko", "link-paramiko")
        assert sftp.readlink("link-paramiko") == "by-paramiko"
        sftp.remove("link-paramiko")
        sftp.posix_rename("by-paramiko", "renamed")
        sftp.remove("renamed")
    finally:
        transport.close()


def test_paramiko_with_an_rsa_key_and_sha1_only(server, world, alice, bench):
    """ssh-rsa with SHA-1 is not taken any more; the answer is a refusal and no silence."""
    import paramiko

    key = keygen(bench.path(f"rsa{bench.number()}"), "rsa", bits=2048)
    world.authorize("alice", alice.public, " ".join(open(f"{key}.pub", encoding="ascii").read().split()[:2]))
    transport = paramiko.Transport((server.address, server.port), disabled_algorithms={"pubkeys": ["rsa-sha2-256", "rsa-sha2-512"]})
    transport.auth_timeout = 15
    try:
        with pytest.raises(paramiko.SSHException):
            transport.connect(username="alice", pkey=paramiko.RSAKey.from_private_key_file(str(key)))
        assert not transport.is_authenticated()
    finally:
        transport.close()
        world.authorize("alice", alice.public)


def test_asyncssh(alice, server, source):
    import asyncssh

    options = {"known_hosts": None, "client_keys": [str(alice.key)], "agent_path": None, "config": None}

    async def talk():
        async with asyncssh.connect(server.address, server.port, username="alice", **options) as connection:
            result = await connection.run("cat; exit 8", input="through asyncssh\n" * 20000)
            assert (result.exit_status, result.stdout) == (8, "through asyncssh\n" * 20000)
            async with connection.start_sftp_client() as sftp:
                await sftp.put(str(source), "by-asyncssh")
                assert (await sftp.stat("by-asyncssh")).size == source.stat().st_size
                await sftp.posix_rename("by-asyncssh", "renamed-asyncssh")
                assert (await sftp.statvfs(".")).bsize > 0
                await sftp.remove("renamed-asyncssh")
            results = await asyncio.gather(*(connection.run(f"echo {n}; exit {n}") for n in range(20)))
            assert [(result.stdout, result.exit_status) for result in results] == [(f"{n}\n", n) for n in range(20)]

    asyncio.run(asyncio.wait_for(talk(), 60 * SLOW))


# --- Ansible ---

PLAYBOOK = """
- hosts: all
  gather_facts: no
  tasks:
    - {name: raw, raw: 'echo raw $USER; exit 3', register: r, failed_when: "r.rc != 3 or r.stdout_lines != ['raw alice']"}
    - {name: command, command: 'cat', args: {stdin: "it's ü"}, register: r, failed_when: "r.stdout != \\"it's ü\\""}
    - {name: shell, shell: 'echo out; echo err >&2; exit 4', register: r, failed_when: "r.rc != 4 or r.stdout != 'out' or r.stderr != 'err'"}
    - {name: file, file: {path: ~/by-ansible, state: directory, mode: '0750'}}
    - {name: copy a text, copy: {content: "soup\\n", dest: ~/by-ansible/text, mode: '0640'}, register: r, failed_when: not r.changed}
    - {name: copy it again, copy: {content: "soup\\n", dest: ~/by-ansible/text, mode: '0640'}, register: r, failed_when: r.changed}
    - {name: copy a file, copy: {src: '{{ source }}', dest: ~/by-ansible/big}}
    - {name: fetch it, fetch: {src: '/home/alice/by-ansible/big', dest: '{{ fetched }}', flat: yes}}
    - {name: away with it, file: {path: ~/by-ansible, state: absent}}
"""


WAYS = [("user", "direct", "pipelining"), ("user", "direct", "sftp"), ("user", "direct", "scp"), ("root", "direct", "sftp"), ("user", "through a hub", "sftp"),
        ("root", "through a hub", "pipelining")]


# With the sanitizers two of them: the rest of the time is Ansible's own.
@pytest.mark.slow
@pytest.mark.parametrize("world,box,way", WAYS if SLOW == 1 else WAYS[-2:], indirect=["world", "box"], scope="module")
def test_ansible(box, world, bench, source, way):
    need("ansible-playbook")
    folder = bench.folder("ansible")
    (folder / "inventory").write_text("box ansible_python_interpreter=/usr/bin/python3\n")
    (folder / "play.yml").write_text(PLAYBOOK)
    fetched = folder / "fetched"
    env = {"ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"), "ANSIBLE_NOCOWS": "1", "ANSIBLE_NOCOLOR": "1",
           "ANSIBLE_SSH_ARGS": f"-F {box.config} -o ControlMaster=auto -o ControlPersist=30", "ANSIBLE_SSH_CONTROL_PATH": str(folder / "cm"),
           "ANSIBLE_SSH_PIPELINING": str(way == "pipelining"), "ANSIBLE_SSH_TRANSFER_METHOD": "sftp" if way == "pipelining" else way,
           "ANSIBLE_SFTP_EXTRA_ARGS": f"-F {box.config}", "ANSIBLE_SCP_EXTRA_ARGS": f"-F {box.config} -O", "ANSIBLE_DEPRECATION_WARNINGS": "False"}
    done = bench.run("ansible-playbook", "-i", folder / "inventory", "-e", f"source={source} fetched={fetched}", folder / "play.yml", env=env, timeout=120 * SLOW)
    bench.run("ssh", *box.options(), "-o", f"ControlPath={folder}/cm", "-O", "exit", "box")
    assert done.status == 0 and re.search(r"failed=0", done.out), done
    assert fetched.read_bytes() == source.read_bytes()
    assert not world.path(f"{HOME}/by-ansible").exists()
