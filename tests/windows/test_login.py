"""Who may log in to the Windows machine when the agent is run by hand: the account that runs it, by the keys in its profile."""
import re

import paramiko
import pytest
from conftest import PROBE, setup
from kit.parts import User, keygen
from kit.wine import ME, WinAgent

bench, hub, alice, winbox = setup()


@pytest.fixture(autouse=True)
def keys(prefix, alice, winbox):
    """Each test finds alice's key in the file, and may change it."""
    prefix.authorize(alice)
    prefix.authorized.parent.chmod(0o700)


@pytest.fixture
def mallory(bench, hub):
    """May use the machine through the hub, and has no account there."""
    user = User(bench, "mallory").knows(hub)
    hub.add_user(user)
    return user


def test_a_strangers_key_is_refused_and_logged(winbox, mallory):
    mark = winbox.mark()
    done = mallory.jump("winbox", "echo in").failed(255)
    assert "in" not in done.out.split() and "Permission denied" in done.err, done
    winbox.wait_log(rf"\b{ME}\b", since=mark)
    assert winbox.process.running()


@pytest.mark.parametrize("login", ["somebody", "Administrator", "root2", "..", "%U"])
def test_another_account_is_refused_with_words(winbox, alice, login):
    mark = winbox.mark()
    alice.jump("winbox", "echo in", login=login).failed(255)
    winbox.wait_log(rf"{re.escape(login)}.*(no account {re.escape(login)}|only|alone)", since=mark)


def test_the_accounts_name_as_windows_has_it(winbox, alice):
    """In any case, and with the machine's name."""
    assert alice.jump("winbox", "echo in", login=ME.upper()).ok().out == "in\r\n"
    machine = alice.jump("winbox", f"{PROBE} env USERDOMAIN").ok().out.strip().partition("=")[2]
    for login in (f"{machine}\\{ME}", f".\\{ME}"):
        assert alice.jump("winbox", "echo in", login=login).ok().out == "in\r\n", login


def test_a_key_that_is_taken_away(winbox, alice, mallory, prefix):
    prefix.authorize(mallory)
    alice.jump("winbox", "echo in").failed(255)
    assert mallory.jump("winbox", "echo in").ok().out == "in\r\n"


def test_without_a_file_of_keys_the_log_says_so(winbox, alice, prefix):
    prefix.authorized.unlink()
    mark = winbox.mark()
    alice.jump("winbox", "echo in").failed(255)
    winbox.wait_log("authorized_keys", since=mark)


def test_the_file_as_an_editor_of_windows_writes_it(winbox, alice, prefix):
    prefix.authorized.write_bytes(b"\xef\xbb\xbf# keys\r\n\r\n" + alice.public.encode() + b" alice\r\n")
    assert alice.jump("winbox", "echo in").ok().out == "in\r\n"


@pytest.mark.parametrize("kind,bits", [("ecdsa", 256), ("ecdsa", 521), ("rsa", 3072)])
def test_kinds_of_keys(winbox, alice, prefix, bench, kind, bits):
    other = keygen(bench.path(f"key-{kind}-{bits}"), kind, bits=bits)
    public = " ".join((other.parent / f"{other.name}.pub").read_text().split()[:2])
    prefix.authorize(more=f"{public} other\n")
    done = bench.run("ssh", *alice.options(), "-J", "hub", "-o", f"IdentityFile={other}", f"{ME}@winbox", "echo in").ok()
    assert done.out == "in\r\n"


@pytest.mark.parametrize("options,command,out", [
    ('command="echo forced"', "echo asked", "forced\r\n"),
    (f'command="{PROBE} env SSH_ORIGINAL_COMMAND"', "echo asked", "SSH_ORIGINAL_COMMAND=echo asked\n"),
    ('environment="LC_OWN=1"', f"{PROBE} env LC_OWN", "LC_OWN=1\n"),
    ('from="127.0.0.0/8"', "echo in", "in\r\n"),
])
def test_options_of_keys(winbox, alice, prefix, options, command, out):
    prefix.authorize(alice, options=options)
    assert alice.jump("winbox", command).ok().out == out


def test_options_that_refuse(winbox, alice, prefix, bench):
    prefix.authorize(alice, options='from="192.0.2.0/24"')
    alice.jump("winbox", "echo in").failed(255)
    prefix.authorize(alice, options='expiry-time="20200101"')
    alice.jump("winbox", "echo in").failed(255)
    prefix.authorize(alice, options="no-port-forwarding,no-pty")
    assert alice.ssh("-J", "hub", "-W", "127.0.0.1:1", f"{ME}@winbox", input="x").failed().says("prohibited|not allowed|forbid|refused")
    assert "PTY allocation request failed" in alice.ssh("-J", "hub", "-tt", f"{ME}@winbox", "exit 0").err


def test_a_file_that_others_can_write_is_not_believed(winbox, alice, prefix):
    prefix.authorized.chmod(0o666)
    mark = winbox.mark()
    alice.jump("winbox", "echo in").failed(255)
    winbox.wait_log(r"authorized_keys.*", since=mark)
    prefix.authorized.chmod(0o600)
    assert alice.jump("winbox", "echo in").ok().out == "in\r\n"


def test_that_check_may_be_left_out(bench, hub, alice, prefix):
    agent = WinAgent(bench, hub, prefix, users=[alice], sshd_conf="strict-modes = no\n")
    agent.wait_ssh("built-in", "ok")
    prefix.authorized.chmod(0o666)
    assert alice.jump(agent.name, "echo in").ok().out == "in\r\n"


@pytest.mark.parametrize("where", ["absolute", "%h/own/%u.keys", "own\\keys"])
def test_keys_elsewhere(bench, hub, alice, prefix, where):
    folder = prefix.folder("keys") if where == "absolute" else prefix.profile / "own"
    folder.mkdir(exist_ok=True, mode=0o700)
    file = folder / (f"{ME}.keys" if "%u" in where else "keys")
    file.write_text(alice.public + "\n")
    file.chmod(0o600)
    prefix.authorize()
    agent = WinAgent(bench, hub, prefix, sshd_conf=f"authorized-keys = {prefix.windows(file) if where == 'absolute' else where}\n")
    agent.wait_ssh("built-in", "ok")
    assert alice.jump(agent.name, "echo in").ok().out == "in\r\n"


@pytest.mark.parametrize("conf,welcome", [(f"allow-users = {ME}", True), (f"allow-users = {ME.upper()}", True), ("allow-users = other", False),
                                          (f"allow-users = *,!{ME}", False)])
def test_allowed_users(bench, hub, alice, prefix, conf, welcome):
    agent = WinAgent(bench, hub, prefix, users=[alice], sshd_conf=conf + "\n")
    agent.wait_ssh("built-in", "ok")
    done = alice.jump(agent.name, "echo in")
    assert (done.status, done.out) == ((0, "in\r\n") if welcome else (255, "")), done


def test_passwords_do_not_count_by_hand(bench, hub, alice, prefix, winbox):
    """Whatever the settings say: only a service can check them."""
    agent = WinAgent(bench, hub, prefix, users=[alice], sshd_conf="passwords = yes\n")
    agent.wait_ssh("built-in", "ok")
    outer = paramiko.SSHClient()
    outer.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    outer.connect(hub.address, hub.port, "alice", pkey=paramiko.Ed25519Key.from_private_key_file(str(alice.key)), allow_agent=False, look_for_keys=False)
    bench.closers.append(outer.close)
    transport = paramiko.Transport(outer.get_transport().open_channel("direct-tcpip", (agent.name, 22), ("127.0.0.1", 0)))
    try:
        transport.start_client(timeout=20)
        with pytest.raises(paramiko.AuthenticationException):
            transport.auth_password(ME, "secret", fallback=False)
    finally:
        transport.close()
    assert alice.jump(agent.name, "echo in").ok().out == "in\r\n"


def test_too_many_tries_end_the_connection(winbox, mallory, bench):
    words = [word for number in range(8) for word in ("-o", f"IdentityFile={keygen(bench.path(f'wrong{number}'))}")]
    done = mallory.jump("winbox", "echo in", options=words).failed(255)
    assert "keys were refused" in done.err, done
