"""Who may log in to the built-in SSH server, and with which restrictions: authorized_keys, StrictModes, accounts, passwords through PAM.

What a person sees and what the log says are both looked at. Worlds have accounts of their own (see kit/builtin.py).
MULTISSH_TEST_SERVER=openssh runs what is about authorized_keys against OpenSSH's server."""
import os
import re
import signal
import time

import pytest
from conftest import make_world, need, worlds
from kit.builtin import REAL, BuiltIn, RealSshd, Visitor, password_hash
from kit.parts import SLOW
from kit.tcp import Service
from kit.wait import free_port, wait_for

bench, world = worlds(kinds=("root",))
TODAY = int(time.time()) // 86400
SECRET = "correct horse"
ours_only = pytest.mark.skipif(REAL, reason="about multissh-sshd")


@pytest.fixture(scope="module")
def server(world):
    return RealSshd(world, "PermitUserEnvironment yes", "StrictModes yes") if REAL else BuiltIn(world)


@pytest.fixture(scope="module")
def alice(server):
    return Visitor(server, "alice")


@pytest.fixture
def one_line(alice, world):
    """Sets the options before alice's key; the key is alone again after the test."""
    yield lambda options="", more="": world.authorize("alice", alice.public, options=options, more=more)
    world.authorize("alice", alice.public)


def serve(world, *flags):
    return BuiltIn(world, *flags)


def logs(visitor, pattern, mark):
    if not REAL:
        visitor.server.wait_log(pattern, 10, since=mark)


def refused(visitor, why, *words, options=()):
    """The key does not count: the user is told no more than that, the log says why."""
    mark = visitor.server.mark()
    done = visitor.run("true", *words, options=options).failed(255).says(r"Permission denied \(publickey\)")
    assert "authorized_keys" not in done.err, done
    logs(visitor, rf"INFO {visitor.login} from .*the key ssh-ed25519 SHA256:\S+ does not count: .*{why}", mark)
    return done


def turned_away(visitor, why, *words, options=(), **more):
    """The user has shown who it is, and is told why there is no login."""
    mark = visitor.server.mark()
    done = visitor.run("true", *words, options=options, **more).failed(255).says(rf"Received disconnect from .*: {why}")
    logs(visitor, rf"INFO {visitor.login} from \S+ may not log in, though by .* it is who it says: {why}", mark)
    return done


@pytest.fixture
def echo(bench):
    """A listener on the loopback address that says hello."""
    return Service(bench, lambda connection: connection.sendall(b"hello\n"))


# --- authorized_keys: what a key may do ---

def test_a_forced_command_sees_what_was_asked_for(alice, one_line):
    one_line(r'command="printf \"<%s>\" \"$SSH_ORIGINAL_COMMAND\"; exit 3"')
    assert alice.run("ls", "-l", "'a  b'").failed(3).out == "<ls -l 'a  b'>"
    assert alice.run().failed(3).out == "<>"  # a shell was asked for
    assert alice.run("sftp", options=("-s",)).failed(3).out.startswith("<")  # and sftp, which it does not become either
    assert alice.run("echo", "x", options=("-tt",)).failed(3).out == "<echo x>"


def test_an_empty_forced_command_is_one(alice, one_line):
    one_line('command=""')
    assert alice.run("echo", "x").ok().out == ""


def test_who_may_only_transfer_files_runs_no_rc(bench, alice, one_line, world):
    one_line('command="internal-sftp"')
    rc = world.write_home("alice", ".ssh/rc", "touch ran\n")
    try:
        for words in ((), ("true",)):
            alice.run(*words).failed(1).says("sftp connections only")
        bench.run("sftp", *alice.options(), "-b", "-", "box", input="pwd\n").ok().says("/home/alice")
        assert not (world.home("alice") / "ran").exists()
    finally:
        rc.unlink()


@ours_only
def test_who_may_only_transfer_files_sets_no_variables(bench, world, alice, one_line):
    one_line('command="internal-sftp"')
    visitor = Visitor(serve(world, "--accept-env", "*"), "alice", authorize=False, key=alice.key)
    visitor.popen("-s", "-o", "SetEnv=OF_THE_CLIENT=1", "box", "sftp")
    sftp = wait_for(lambda: world.find(r"^multissh-sshd --sftp"), 10)[0]
    environment = wait_for(lambda: open(f"/proc/{sftp}/environ", "rb").read(), 5)
    assert b"LOGNAME=alice" in environment and b"OF_THE_CLIENT" not in environment


def test_environment(alice, one_line):
    one_line(r'environment="GREETING=hello, \"you\"",environment="GREETING=no",environment="EMPTY=",environment="_a1=b=c"')
    assert alice.run("printenv GREETING _a1; echo \"[${EMPTY-unset}]\"").ok().out == 'hello, "you"\nb=c\n[]\n'


@pytest.mark.parametrize("when,out", [("20200101", True), ("202001010000", True), ("20200101000000Z", True), ("20991231", False),
                                      ("209912312359Z", False)])
def test_expiry(alice, one_line, when, out):
    one_line(f'expiry-time="{when}"')
    if out:
        refused(alice, r"authorized_keys, line 1: the key has expired \(expiry-time=, (2019-12-31|2020-01-01)T")
    else:
        alice.run("true").ok()


FROM = [("127.0.0.1", True), ("127.0.0.0/8", True), ("127.*", True), ("!127.0.0.1,*", False), ("10.0.0.0/8,192.0.2.?", False),
        ("!10.0.0.0/8,127.0.0.?", True), ("::1", False)]


@pytest.mark.parametrize("addresses,may", FROM)
def test_from(alice, one_line, addresses, may):
    one_line(f'from="{addresses}"')
    if may:
        alice.run("true").ok()
    else:
        refused(alice, rf"authorized_keys, line 1: the key may not be used from 127\.0\.0\.1 \(from=\"{re.escape(addresses)}\"\)")


def test_from_host_names_says_that_they_are_not_looked_up(alice, one_line):
    one_line('from="*.example.com,!web01"')
    refused(alice, r"authorized_keys, line 1: from=.* has nothing but host names, and addresses are not looked up")


@ours_only
@pytest.mark.parametrize("peer,addresses,may", [("192.0.2.7", "192.0.2.0/24", True), ("192.0.2.7", "127.0.0.1", False),
                                                ("192.0.2.7:4711", "192.0.2.7", True), ("2001:db8::7", "2001:db8::/32", True),
                                                ("[2001:db8::7]:22", "2001:db9::/32", False)])
def test_from_is_about_the_peer_that_is_named(alice, world, peer, addresses, may):
    behind = Visitor(serve(world, "--peer", peer), "alice")
    world.authorize("alice", alice.public, more=f'from="{addresses}" {behind.public}\n')
    if may:
        behind.run("true").ok()
    else:
        refused(behind, r"line 2: the key may not be used from ")
    world.authorize("alice", alice.public)


def open_through(visitor, target):
    return visitor.run(options=("-W", target))


@pytest.mark.parametrize("options,may", [
    ('permitopen="127.0.0.1:{port}"', True), ('permitopen="localhost:{port}"', False), ('permitopen="127.0.0.1:1"', False),
    ('permitopen="127.0.0.1:*"', True), ('permitopen="*:{port}"', True), ('permitopen="[::1]:{port}",permitopen="127.0.0.1:{port}"', True),
    ('permitopen="127.0.0.1:1",permitopen="localhost:*"', False), ("no-port-forwarding", False), ("restrict", False),
    ("restrict,port-forwarding", True), ('no-port-forwarding,permitopen="127.0.0.1:{port}"', False), ("port-forwarding", True)])
def test_permitopen(alice, one_line, echo, options, may):
    one_line(options.format(port=echo.port))
    mark = alice.server.mark()
    if may:
        assert open_through(alice, f"127.0.0.1:{echo.port}").ok().out == "hello\n"
    else:
        open_through(alice, f"127.0.0.1:{echo.port}").failed(255).says(r"open failed: administratively prohibited")
        logs(alice, rf"127\.0\.0\.1.*{echo.port}", mark)


@ours_only
def test_permitopen_none(alice, one_line, echo):
    one_line('permitopen="none"')
    open_through(alice, f"127.0.0.1:{echo.port}").failed(255).says(r"open failed: administratively prohibited")


@pytest.mark.parametrize("options,may", [
    ('permitlisten="{port}"', True), ('permitlisten="localhost:{port}"', True), ('permitlisten="1"', False),
    ('permitlisten="localhost:*"', True), ('permitlisten="10.0.0.1:{port}"', False), ('permitlisten="l*t:{port}"', True),
    ("no-port-forwarding", False), ("restrict", False), ("restrict,port-forwarding", True)])
def test_permitlisten(alice, one_line, options, may):
    port = free_port()
    one_line(options.format(port=port))
    mark = alice.server.mark()
    done = alice.run("true", options=("-R", f"{port}:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes"))
    if may:
        done.ok()
    else:
        done.failed(255).says(rf"remote port forwarding failed for listen port {port}")
        logs(alice, str(port), mark)


def has_terminal(visitor):
    """Is there a terminal when one is asked for?"""
    done = visitor.run("tty", options=("-tt",))
    if done.status == 0:
        assert "/dev/pts/" in done.out, done
        return True
    done.failed(255).says("PTY allocation request failed")  # and then the client gives up
    return False


@pytest.fixture
def has_agent(bench):
    """Is there an agent when one is brought?"""
    path = bench.path(f"agent.{bench.number()}")
    agent = bench.start("ssh-agent", "ssh-agent", "-D", "-a", path)
    wait_for(path.exists, 10, f"{path} is there")
    yield lambda visitor: visitor.run("[ -S \"$SSH_AUTH_SOCK\" ] && echo yes", options=("-A", "-o", f"IdentityAgent={path}")).out == "yes\n"
    agent.stop()


def runs_rc(visitor):
    """Is ~/.ssh/rc run?"""
    visitor.server.world.write_home("alice", ".ssh/rc", "echo rc >&2\n")
    done = visitor.run("true").ok()
    visitor.server.world.path("/home/alice/.ssh/rc").unlink()
    return "rc\n" in done.err


@pytest.mark.parametrize("options,terminal,agent,rc", [
    ("", True, True, True), ("no-pty", False, True, True), ("no-agent-forwarding", True, False, True), ("no-user-rc", True, True, False),
    ("No-PTY,NO-Agent-Forwarding,no-X11-forwarding", False, False, True), ("restrict", False, False, False),
    ("restrict,pty", True, False, False), ("pty,restrict", False, False, False), ("restrict,agent-forwarding,user-rc", False, True, True),
    ("no-touch-required,X11-forwarding", True, True, True)])
def test_what_a_key_may_not_do(alice, one_line, has_agent, options, terminal, agent, rc):
    one_line(options)
    assert has_terminal(alice) == terminal
    assert has_agent(alice) == agent
    assert runs_rc(alice) == rc


# --- authorized_keys: which lines count ---

@pytest.mark.parametrize("options", ["frobnicate", "no-pty,frobnicate", 'command="x"x', "command=ls", 'command="a",command="b"', 'environment="=2"',
                                     'expiry-time="soon"', 'permitopen="nowhere"', 'permitlisten="nowhere"', "cert-authority"])
def test_a_line_with_what_is_not_understood_does_not_count(alice, one_line, options):
    one_line(options)
    refused(alice, r"/home/alice/\.ssh/authorized_keys, line 1: ")
    # Another line may let the key in: the bad one is passed over.
    one_line(options, more=f'environment="LINE=2" {alice.public}\n')
    assert alice.run("echo $LINE").ok().out == "2\n"


@ours_only
@pytest.mark.parametrize("options,why", [("verify-required", r'the option "verify-required" is not known or not supported here'),
                                         ('tunnel="0"', r'the option "tunnel" is not known or not supported here'),
                                         ('principals="alice"', r'the option "principals" is not known'),
                                         ('environment="1=2"', r"is not NAME=VALUE"), ('from="10.0.0.1/8"', r"is not a list of IP addresses"),
                                         ('command="open', r"a double quote is not closed")])
def test_what_cannot_be_honoured_is_named(alice, one_line, options, why):
    one_line(options)
    refused(alice, rf"authorized_keys, line 1: .*{why}")


def test_the_first_line_that_holds_counts(alice, one_line):
    one_line('from="10.0.0.1",environment="LINE=1"', more=f'expiry-time="20200101",environment="LINE=2" {alice.public}\n# {alice.public}\n\n'
             f'  \tenvironment="LINE=5" \t{alice.public}\tcomment\r\nenvironment="LINE=6" {alice.public}\n')
    assert alice.run("echo $LINE").ok().out == "5\n"


def test_no_line_at_all(alice, world, one_line):
    world.write_home("alice", ".ssh/authorized_keys", f"# {alice.public}\n")
    alice.run("true").failed(255).says(r"Permission denied \(publickey\)")
    world.path("/home/alice/.ssh/authorized_keys").unlink()
    alice.run("true").failed(255).says(r"Permission denied \(publickey\)")


@pytest.mark.parametrize("kind,bits", [("rsa", 2048), ("ecdsa", 256), ("ecdsa", 521)])
def test_other_kinds_of_keys(server, world, kind, bits):
    Visitor(server, "bob", kind=kind, bits=bits).run("true").ok()


@ours_only
def test_a_weak_key_does_not_count(server, world):
    weak = Visitor(server, "bob", kind="rsa", bits=1024, extra=("RequiredRSASize 1024",))
    mark = server.mark()
    weak.run("true").failed(255).says(r"Permission denied \(publickey\)")
    server.wait_log(r"1024 bits|too short|too weak|RSA", since=mark)


@ours_only
def test_keys_in_other_files(world, alice):
    world.mkdir("/etc/keys")
    world.write("/etc/keys/alice", alice.public + "\n")
    world.write_home("alice", "more keys%", "")
    elsewhere = Visitor(serve(world, "--authorized-keys", "nothing/here  /etc/keys/%u"), "alice", authorize=False, key=alice.key)
    elsewhere.run("true").ok()
    world.path("/etc/keys/alice").unlink()
    world.write_home("alice", "100%", alice.public + "\n")
    elsewhere.run("true").failed(255)
    Visitor(serve(world, "--authorized-keys", "%h/100%%"), "alice", authorize=False, key=alice.key).run("true").ok()


@ours_only
def test_a_file_that_is_too_large(alice, world, one_line):
    world.write_home("alice", ".ssh/authorized_keys", alice.public + "\n" + "#" * (4 << 20))
    refused(alice, r"authorized_keys is larger than 4 MiB")
    world.write_home("alice", ".ssh/authorized_keys", b"#\n" * (2 << 20) + alice.public.encode())
    refused(alice, r"authorized_keys is larger than 4 MiB")


# --- StrictModes ---

HOME, FOLDER, FILE = "/home/alice", "/home/alice/.ssh", "/home/alice/.ssh/authorized_keys"


@pytest.mark.parametrize("path,mode,good", [(HOME, 0o775, 0o755), (HOME, 0o757, 0o755), (FOLDER, 0o770, 0o700), (FOLDER, 0o702, 0o700),
                                            (FILE, 0o660, 0o600), (FILE, 0o602, 0o644)])
def test_what_others_can_write_is_not_believed(alice, world, one_line, path, mode, good):
    if REAL and mode & 0o022 == 0o020:
        pytest.skip("Debian's OpenSSH lets a group write that has no other member")
    one_line()
    world.path(path).chmod(mode)
    refused(alice, rf"/authorized_keys is not believed: {path} can be written by others \(mode {mode:04o}\): chmod go-w {path}")
    if not REAL:
        Visitor(serve(world, "--strict-modes=no"), "alice", authorize=False, key=alice.key).run("true").ok()
    world.path(path).chmod(good)
    alice.run("true").ok()


@pytest.mark.parametrize("path", [HOME, FOLDER, FILE])
def test_what_is_somebody_elses_is_not_believed(alice, world, one_line, path):
    one_line()
    world.path(FILE).chmod(0o644)
    world.path(FOLDER).chmod(0o755)
    world.owner(path, "bob")
    refused(alice, rf"/authorized_keys is not believed: {path} belongs to uid {world.accounts['bob'].uid}, neither to the account nor to root")
    world.owner(path, "root")
    alice.run("true").ok()
    world.owner(path, "alice")
    world.path(FOLDER).chmod(0o700)


def test_links(alice, world, one_line):
    """A link to a file of one's own will do, one to somebody else's does not, whoever may read it."""
    world.write_home("alice", "keys", alice.public + "\n")
    world.write_home("bob", "keys", alice.public + "\n", mode=0o644)
    world.path(FILE).unlink()
    world.path(FILE).symlink_to("../keys")
    alice.run("true").ok()
    world.path(FILE).unlink()
    world.path(FILE).symlink_to("/home/bob/keys")
    refused(alice, r"/authorized_keys is not believed: /home/bob/keys belongs to uid")
    world.path(FILE).unlink()
    world.path(FILE).symlink_to("authorized_keys")
    refused(alice, r"authorized_keys: Too many levels of symbolic links")
    world.path(FILE).unlink()


def test_what_is_not_a_file(alice, world, one_line):
    world.path(FILE).unlink()
    os.mkfifo(world.path(FILE), 0o600)
    world.owner(FILE, "alice")
    refused(alice, r"authorized_keys is not a regular file")
    world.path(FILE).unlink()
    world.mkdir(FILE, owner="alice")
    refused(alice, r"authorized_keys is not a regular file")
    world.path(FILE).rmdir()


@ours_only
def test_a_file_that_the_account_cannot_read(alice, world, one_line):
    """It is read as the account, which is what its own rights are for."""
    world.write(FILE, alice.public + "\n", mode=0o600)  # root's
    refused(alice, r"authorized_keys: Permission denied")


@ours_only
def test_a_home_that_is_not_there(server, world):
    world.account("nomad", make_home=False)
    nomad = Visitor(serve(world, "--authorized-keys", "/etc/keys/%u"), "nomad", authorize=False)
    world.mkdir("/etc/keys")
    world.write("/etc/keys/nomad", nomad.public + "\n")
    nomad.run("pwd").ok().says(r"^/$")


@ours_only
@pytest.mark.slow
def test_a_file_system_that_hangs(bench, world, server):
    """The login fails after its time, and the next one is served meanwhile."""
    need("sshfs", "fusermount3")
    if not os.path.exists("/dev/fuse"):
        pytest.skip("there is no /dev/fuse")
    world.account("carol")
    carol, bob = Visitor(server, "carol", authorize=False), Visitor(server, "bob")
    world.mkdir("/home/carol/.ssh", owner="carol", mode=0o700)
    there = world.mkdir("/home/carol-there", owner="carol", mode=0o700)
    (there / "authorized_keys").write_text(carol.public + "\n")
    world.owner("/home/carol-there/authorized_keys", "carol")
    world.write("/mnt/bin/sftp-only", "#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n", mode=0o755)
    sshfs = bench.start("sshfs", *world.enter("sshfs", "-f", "-o", "allow_other,cache=no,ssh_command=/mnt/bin/sftp-only", "x:/home/carol-there",
                                              "/home/carol/.ssh"))
    try:
        wait_for(lambda: carol.run("true").status == 0, 10, "carol can log in")
        os.kill(sshfs.pid, signal.SIGSTOP)
        mark = server.mark()
        started = time.monotonic()
        popen = carol.talk("true")
        bob.run("true").ok()
        assert popen.wait(60) == 255
        assert 15 < time.monotonic() - started < 40 * SLOW
        server.wait_log(r"reading the authorized_keys of carol took longer than 20 s: does the file system of /home/carol answer\?", since=mark)
    finally:
        os.kill(sshfs.pid, signal.SIGCONT)
        world.run("fusermount3", "-uz", "/home/carol/.ssh")
        sshfs.popen.wait(10)


# --- accounts ---

@pytest.fixture(scope="module")
def dave(server):
    server.world.account("dave")
    return Visitor(server, "dave")


@pytest.fixture(scope="module", params=["PAM", "without PAM"])
def either(request, server, dave):
    """The same person with PAM and without."""
    if REAL:
        pytest.skip("about multissh-sshd")
    return dave if request.param == "PAM" else Visitor(serve(server.world, "--pam=no"), "dave", authorize=False, key=dave.key)


@pytest.fixture
def shadow(world):
    """Writes dave's line; as it was after the test."""
    yield lambda **fields: world.shadow("dave", **fields)
    world.shadow("dave")


@pytest.mark.parametrize("fields,why", [
    ({"hash": "!"}, "the account dave is locked"),
    ({"hash": "!*"}, "the account dave is locked"),
    ({"hash": "!!"}, "the account dave is locked"),
    ({"hash": "!$6$salt$hash"}, "the account dave is locked"),
    ({"expires": TODAY - 1}, "the account dave has expired"),
    ({"expires": 1}, "the account dave has expired"),
    ({"changed": 0}, "the password of dave has to be changed before its next login"),
    ({"changed": TODAY - 11, "max_days": 10}, "the password of dave has expired and has to be changed before its next login")])
def test_accounts_that_are_closed(either, shadow, fields, why):
    shadow(**fields)
    turned_away(either, why)


@pytest.mark.parametrize("fields", [{"hash": "*"}, {"hash": "$6$salt$hash"}, {"hash": ""}, {"expires": TODAY + 2}, {"changed": TODAY - 9, "max_days": 10},
                                    {"changed": "", "max_days": ""}])
def test_accounts_that_are_open(either, shadow, fields):
    shadow(**fields)
    either.run("true").ok()


@pytest.mark.parametrize("shell,why", [("/usr/sbin/nologin", r"erin is not an account to log in with \(its shell is /usr/sbin/nologin\)"),
                                       ("/bin/false", "erin is not an account to log in with"),
                                       ("/no/such/shell", "the shell of erin, /no/such/shell: No such file or directory"),
                                       ("/etc/passwd", "the shell of erin, /etc/passwd, cannot be executed"),
                                       ("bash", "the shell of erin, bash, is not an absolute path")])
@ours_only
def test_shells(server, world, shell, why):
    if "erin" not in world.accounts:
        world.account("erin")
    erin = world.accounts["erin"]
    passwd = [line for line in world.read("/etc/passwd").splitlines() if not line.startswith("erin:")]
    world.write("/etc/passwd", "\n".join([*passwd, f"erin:x:{erin.uid}:{erin.gid}::{erin.home}:{shell}"]) + "\n")
    turned_away(Visitor(server, "erin"), why)


def test_an_account_without_a_shell_has_sh(server, world):
    world.account("frank", shell="")
    assert Visitor(server, "frank").run("echo $0 $SHELL").ok().out == "sh /bin/sh\n"


def test_nologin(either, world):
    world.write("/etc/nologin", "Back at noon.\nThe operators\n")
    try:
        turned_away(either, r"nobody but root may log in now \(/etc/nologin\): Back at noon\.")
        Visitor(either.server, "root").run("true").ok()
        world.write("/etc/nologin", "")
        turned_away(either, r"nobody but root may log in now \(/etc/nologin\)")
    finally:
        world.path("/etc/nologin").unlink()
    either.run("true").ok()


@ours_only
def test_no_such_account(world, alice):
    server = serve(world, "--log-level=debug")
    stranger = Visitor(server, "mallory", authorize=False, key=alice.key)
    mark = server.mark()
    stranger.run("true").failed(255).says(r"Permission denied \(publickey\)")
    server.wait_log(r"mallory from 127\.0\.0\.1: the key .* does not count: there is no account mallory", since=mark)


@ours_only
@pytest.mark.parametrize("name", ["", ".", "..", "../alice", "-alice", "alice ", "alice:x", "al\nice", "alice/", "%h", "al\u00efce", "a" * 255, "a" * 256,
                                  "a" * 30000])
def test_names_that_no_account_has(world, alice, name):
    import paramiko
    server = serve(world)
    transport = paramiko.Transport((server.address, server.port))
    try:
        transport.start_client(timeout=10 * SLOW)
        with pytest.raises(paramiko.SSHException):
            transport.auth_publickey(name, paramiko.Ed25519Key.from_private_key_file(str(alice.key)))
    finally:
        transport.close()
    server.wait_idle()
    assert "logged in from" not in server.log()
    assert len(server.log().splitlines()) < 10, server.log()


@ours_only
def test_root(world):
    root = Visitor(serve(world), "root")
    assert root.run("id -u; pwd").ok().out == "0\n/root\n"
    turned_away(Visitor(serve(world, "--root-login=no"), "root", authorize=False, key=root.key), r"root may not log in here \(root-login = no\)")


@ours_only
@pytest.mark.parametrize("patterns,may", [("alice", True), ("bob,alice", True), ("al*", True), ("a?ice", True), ("*,!alice", False), ("bob", False),
                                          ("ALICE", False), ("!bob,*", True), ("alicea", False)])
def test_allow_users(world, alice, patterns, may):
    visitor = Visitor(serve(world, "--allow-users", patterns), "alice", authorize=False, key=alice.key)
    if may:
        visitor.run("true").ok()
    else:
        turned_away(visitor, r"alice is not among the accounts that may log in here \(allow-users\)")


@ours_only
@pytest.mark.parametrize("patterns,why", [("alice", None), ("staff-of-tests", None), ("bob,staff*", None), ("bob", "alice is in no group of allow-groups"),
                                          ("*,!staff-of-tests", "alice is in a group that allow-groups excludes"),
                                          ("Alice", "alice is in no group of allow-groups")])
def test_allow_groups(world, alice, patterns, why):
    world.group("staff-of-tests", "alice")
    visitor = Visitor(serve(world, "--allow-groups", patterns), "alice", authorize=False, key=alice.key)
    if why is None:
        assert "staff-of-tests" in visitor.run("id -Gn").ok().out
    else:
        turned_away(visitor, why)


@ours_only
def test_a_group_that_cannot_be_looked_up_is_not_passed_over(world, alice):
    before = world.read("/etc/group")
    world.group("a-crowd", "alice", *(f"member{i:06}" for i in range(100000)))  # more than 1 MiB
    try:
        turned_away(Visitor(serve(world, "--allow-groups", "*,!a-crowd"), "alice", authorize=False, key=alice.key),
                    r"group \d+ of alice could not be looked up")
    finally:
        world.write("/etc/group", before)


@ours_only
def test_it_is_the_account_for_good(server, world):
    account = world.account("ivan", groups=("crew",))
    done = Visitor(server, "ivan").run("grep -E '^(Uid|Gid|Groups|CapEff|CapPrm|NoNewPrivs):' /proc/self/status; cat /root/.ssh/authorized_keys").failed()
    assert "Permission denied" in done.err
    facts = dict(line.split(":", 1) for line in done.out.splitlines())
    assert facts["Uid"].split() == facts["Gid"].split() == [str(account.uid)] * 4
    crew = world.read("/etc/group").split("\ncrew:x:")[1].split(":")[0]
    assert sorted(facts["Groups"].split()) == sorted([str(account.gid), crew])
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
    assert facts["NoNewPrivs"].strip() == "0"  # sudo works


# --- passwords, through PAM ---

@pytest.fixture(scope="module")
def doors(world):
    """A server that takes passwords; grace has one, and so has root. As packaged, but a wrong one costs no seconds."""
    if REAL:
        pytest.skip("about multissh-sshd")
    world.account("grace", hash=password_hash(SECRET))
    world.shadow("root", password_hash(SECRET))
    world.write("/etc/pam.d/quick", "auth required pam_unix.so nodelay\n" + world.read("/etc/pam.d/multissh-sshd").replace("@include common-auth", ""))
    yield serve(world, "--passwords=yes", "--pam-service=quick")
    world.shadow("root")


def by_password(server, bench, login, *passwords, words=("id -un",), options=()):
    """ssh without keys; types these passwords, one at each prompt, then empty ones."""
    person = Visitor(server, login, authorize=False)
    answers = bench.path(f"answers.{bench.number()}")
    answers.write_text("".join(word + "\n" for word in passwords))
    askpass = bench.path(f"askpass.{bench.number()}")
    askpass.write_text(f"#!/bin/sh\nhead -n1 {answers}\nsed -i 1d {answers}\n")
    askpass.chmod(0o700)
    return person.run(*words, options=("-o", "BatchMode=no", "-o", "PubkeyAuthentication=no", "-o", f"NumberOfPasswordPrompts={len(passwords)}", *options),
                      env={"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"})


def test_passwords_are_not_offered_unless_told_to(server, bench, world, doors):
    done = by_password(server, bench, "grace", SECRET).failed(255)
    done.says(r"Permission denied \(publickey\)")
    assert "password" not in done.err.split("(publickey)")[-1]


def test_a_password(doors, bench):
    mark = doors.mark()
    assert by_password(doors, bench, "grace", SECRET).ok().out == "grace\n"
    doors.wait_log(r"INFO grace logged in from 127\.0\.0\.1 by password", since=mark)
    assert SECRET not in doors.log()


def test_a_wrong_password(world, doors, bench):
    assert by_password(doors, bench, "grace", "wrong", SECRET).ok().out == "grace\n"
    packaged = serve(world, "--passwords=yes")
    mark = packaged.mark()
    done = by_password(packaged, bench, "grace", "wrong").failed(255).says(r"Permission denied \(publickey,password\)")
    assert done.took > 1  # PAM's delay against guessing
    packaged.wait_log(r"INFO grace from 127\.0\.0\.1: the password does not count: PAM: Authentication failure", since=mark)


@pytest.mark.parametrize("login,password,why", [
    ("root", SECRET, r"root from 127\.0\.0\.1: the password does not count: root logs in by key only"),
    ("grace", "", r"grace from 127\.0\.0\.1: the password does not count"),
    ("alice", "*", r"alice from 127\.0\.0\.1: the password does not count"),
    ("nobody-here", SECRET, r"nobody-here from 127\.0\.0\.1: the password does not count: there is no account nobody-here"),
    ("grace", SECRET + " ", r"grace from 127\.0\.0\.1: the password does not count"),
    ("grace", "x" * 2000, r"grace from 127\.0\.0\.1: the password does not count"),
], ids=["root", "empty", "hash", "nobody", "blank", "long"])
def test_passwords_that_never_count(doors, bench, login, password, why):
    mark = doors.mark()
    by_password(doors, bench, login, password).failed(255).says(r"Permission denied \(publickey,password\)")
    doors.wait_log(why, since=mark)


def test_an_account_without_a_password_has_no_empty_one(doors, bench, world):
    world.account("heidi", hash="")
    by_password(doors, bench, "heidi", "").failed(255).says(r"Permission denied")


@pytest.mark.parametrize("fields,why", [
    ({"expires": TODAY - 1}, "the account grace has expired"),
    ({"changed": 0}, "the password of grace has to be changed before its next login"),
    ({"changed": TODAY - 11, "max_days": 10}, "the password of grace has expired and has to be changed before its next login")])
def test_the_right_password_of_a_closed_account(doors, bench, world, fields, why):
    world.shadow("grace", password_hash(SECRET), **fields)
    mark = doors.mark()
    by_password(doors, bench, "grace", SECRET).failed(255).says(rf"Received disconnect from .*: {why}")
    doors.wait_log(rf"INFO grace from \S+ may not log in, though by password it is who it says: {why}", since=mark)
    world.shadow("grace", password_hash(SECRET))


def test_a_locked_account_has_no_password(doors, bench, world):
    world.shadow("grace", "!" + password_hash(SECRET))
    by_password(doors, bench, "grace", SECRET).failed(255).says(r"Permission denied \(publickey,password\)")
    world.shadow("grace", password_hash(SECRET))


def test_tries_are_counted(world, doors, bench):
    strict = serve(world, "--passwords=yes", "--tries-max=2", "--pam-service=quick")
    by_password(strict, bench, "grace", "wrong", "worse", SECRET).failed(255).says(r"Too many|Permission denied|disconnect")
    assert "logged in" not in strict.log()


@ours_only
def test_passwords_without_pam_are_refused_at_the_start(world):
    serve(world, "--passwords=yes", "--pam=no").run("--passwords=yes", "--pam=no", "--check").failed().says(r"passwords = yes needs PAM")


# --- PAM ---

WITNESS = "#!/bin/sh\necho \"$PAM_TYPE $PAM_SERVICE $PAM_USER $PAM_RHOST $PAM_TTY $PAM_RUSER.\" >>/mnt/witness\n"


@pytest.fixture
def pam(world):
    """A server whose PAM service is these lines."""
    if REAL:
        pytest.skip("about multissh-sshd")
    world.write("/mnt/bin/witness", WITNESS, mode=0o755)

    def make(*lines, flags=()):
        world.write("/etc/pam.d/of-tests", "".join(line + "\n" for line in lines))
        world.path("/mnt/witness").unlink(missing_ok=True)
        return serve(world, "--pam-service", "of-tests", *flags)
    return make


PERMIT = ("auth required pam_permit.so", "account required pam_permit.so", "session required pam_permit.so")


def test_a_pam_session(pam, alice, world):
    there = Visitor(pam(*PERMIT, "session required pam_exec.so /mnt/bin/witness", "session required pam_env.so conffile=/etc/of-tests.env"), "alice",
                    authorize=False, key=alice.key)
    world.write("/etc/of-tests.env", "FROM_PAM DEFAULT=yes\n")
    assert there.run("cat /mnt/witness; echo $FROM_PAM").ok().out == "open_session of-tests alice 127.0.0.1 ssh .\nyes\n"
    there.server.wait_idle()
    assert world.read("/mnt/witness").splitlines() == ["open_session of-tests alice 127.0.0.1 ssh .", "close_session of-tests alice 127.0.0.1 ssh ."]


def test_a_pam_session_is_one_for_the_connection(pam, alice, world, bench):
    there = Visitor(pam(*PERMIT, "session required pam_exec.so /mnt/bin/witness"), "alice", authorize=False, key=alice.key)
    master = ("-o", f"ControlPath={bench.path('cm-pam')}")
    there.run("true", options=(*master, "-o", "ControlMaster=yes", "-o", "ControlPersist=60")).ok()
    for _ in range(3):
        there.run("true", options=master).ok()
    there.run(options=(*master, "-O", "exit"))
    there.server.wait_idle()
    assert [line.split()[0] for line in world.read("/mnt/witness").splitlines()] == ["open_session", "close_session"]


def test_what_pam_says_is_on_the_first_terminal(pam, alice):
    there = Visitor(pam(*PERMIT, "session optional pam_echo.so The disks are full, %u"), "alice", authorize=False, key=alice.key)
    assert "The disks are full, alice" in there.run(options=("-tt",), input="exit\n").out
    assert there.run("echo quiet").ok().out == "quiet\n"


@pytest.mark.parametrize("line,why", [
    ("account required pam_deny.so", r"alice may not log in now \(PAM: Authentication failure\)"),
    ("account required pam_access.so accessfile=/etc/of-tests.access", r"alice may not log in now \(PAM: Permission denied\)"),
    ("session required pam_deny.so", r"PAM opened no session for alice"),
    ("session required pam_exec.so /bin/false", r"PAM opened no session for alice"),
    ("account required pam_no_such_module.so", r"alice may not log in now \(PAM: "),
])
def test_pam_may_say_no(pam, alice, world, line, why):
    world.write("/etc/of-tests.access", "-:ALL:127.0.0.1\n")
    keep = [other for other in PERMIT if other.split()[0] != line.split()[0]]
    turned_away(Visitor(pam(*keep, line), "alice", authorize=False, key=alice.key), why)


def test_limits_of_pam_hold(pam, alice, world):
    world.write("/etc/of-tests.limits", "alice hard nofile 123\n")
    there = Visitor(pam(*PERMIT, "session required pam_limits.so conf=/etc/of-tests.limits"), "alice", authorize=False, key=alice.key)
    assert there.run("ulimit -n").ok().out == "123\n"


def test_a_pam_that_asks_for_more(pam, doors, bench):
    """Nothing but a password can be asked for: a stack that wants a second word is refused, and the log says why."""
    server = pam("auth required pam_unix.so nodelay", "auth required pam_userdb.so db=/etc/of-tests", *PERMIT[1:], flags=("--passwords=yes",))
    mark = server.mark()
    by_password(server, bench, "grace", SECRET).failed(255).says(r"Permission denied")
    server.wait_log(r"grace from 127\.0\.0\.1: the password does not count: PAM asked grace for more than a password, which cannot be asked for here",
                    since=mark)


def test_a_service_that_is_not_there(alice, world):
    if REAL:
        pytest.skip("about multissh-sshd")
    missing = Visitor(serve(world, "--pam-service", "no-such-service"), "alice", authorize=False, key=alice.key)
    turned_away(missing, r"pam-service: there is no /etc/pam\.d/no-such-service")


def test_which_service(world, alice):
    """Ours, else sshd's, else the one for all others."""
    if REAL:
        pytest.skip("about multissh-sshd")
    folder = world.path("/etc/pam.d")
    world.write("/mnt/bin/witness", WITNESS, mode=0o755)
    line = "session required pam_exec.so /mnt/bin/witness\n"
    saved = {name: (folder / name).read_text() if (folder / name).exists() else None for name in ("multissh-sshd", "sshd", "other")}
    there = Visitor(serve(world), "alice", authorize=False, key=alice.key)
    try:
        for name in saved:
            (folder / name).write_text("\n".join(PERMIT) + "\n" + line)
        for name in saved:
            world.path("/mnt/witness").unlink(missing_ok=True)
            there.run("true").ok()
            there.server.wait_idle()
            asked = "multissh-sshd" if name == "other" else name  # libpam takes the one for all others by itself
            assert [line.split()[:2] for line in world.read("/mnt/witness").splitlines()] == [[f"{kind}_session", asked] for kind in ("open", "close")]
            (folder / name).unlink()
        turned_away(there, r"PAM is not set up: there is neither multissh-sshd nor sshd nor other in /etc/pam\.d")
    finally:
        for name, text in saved.items():
            if text is not None:
                (folder / name).write_text(text)


# --- a server that is not root ---

@pytest.fixture(scope="module")
def user_world(bench):
    return make_world(bench, "user")


@ours_only
def test_a_user_lets_in_nobody_but_itself(user_world):
    server = BuiltIn(user_world)
    alice = Visitor(server, "alice")
    assert alice.run("id -un").ok().out == "alice\n"
    for other in ("root", "daemon"):
        refused(Visitor(server, other, authorize=False, key=alice.key),
                rf"this server runs without root's rights, as uid {user_world.accounts['alice'].uid}, and lets in nobody else: not {other}")
    Visitor(server, "mallory", authorize=False, key=alice.key).run("true").failed(255).says(r"Permission denied \(publickey\)")


@ours_only
def test_strict_modes_of_a_user(user_world):
    alice = Visitor(BuiltIn(user_world), "alice")
    user_world.path(FILE).chmod(0o664)
    refused(alice, rf"/authorized_keys is not believed: {FILE} can be written by others \(mode 0664\)")
    user_world.path(FILE).chmod(0o600)
    alice.run("true").ok()


@ours_only
def test_a_user_server_takes_no_passwords(user_world, bench):
    server = BuiltIn(user_world, "--passwords=yes")
    by_password(server, bench, "alice", SECRET).failed(255).says(r"Permission denied")


@ours_only
def test_nologin_of_a_user(user_world):
    alice = Visitor(BuiltIn(user_world), "alice")
    user_world.write("/etc/nologin", "closed\n")
    try:
        turned_away(alice, r"nobody but root may log in now \(/etc/nologin\): closed")
    finally:
        user_world.path("/etc/nologin").unlink()
