"""What the ssh program never sends, or not in this order, asked of OpenSSH's server and of the built-in one: each answers alike, but for INTENDED,
whose differences multissh-sshd(8) names."""
import shutil
import threading

import paramiko
import pytest
from conftest import worlds
from kit.builtin import BuiltIn, RealSshd, Visitor
from kit.message import message
from paramiko import common

bench, world = worlds()
pytestmark = pytest.mark.skipif(not shutil.which("sshd", path="/usr/sbin:/usr/local/sbin"), reason="sshd is not installed")


class Raw:
    """A connection, message by message. Answers: yes, no, gone (the connection has ended), silence."""

    def __init__(self, server, key):
        self.transport = paramiko.Transport((server.address, server.port))
        self.answers, self.condition = {}, threading.Condition()
        self.transport._channel_handler_table = {
            **self.transport._channel_handler_table, common.MSG_CHANNEL_SUCCESS: lambda channel, _: self._answered(channel, "yes"),
            common.MSG_CHANNEL_FAILURE: lambda channel, _: self._answered(channel, "no")}
        self.transport.connect(username="alice", pkey=paramiko.Ed25519Key.from_private_key_file(str(key)))

    def _answered(self, channel, answer):
        with self.condition:
            self.answers.setdefault(channel.chanid, []).append(answer)
            self.condition.notify_all()

    def open(self, kind="session", **more):
        try:
            return self.transport.open_channel(kind, timeout=10, **more)
        except paramiko.ChannelException as refused:
            return f"refused {refused.code}"
        except (paramiko.SSHException, EOFError):
            return "gone"

    def ask(self, channel, name, *fields, want=True):
        count = len(self.answers.get(channel.chanid, ()))
        self.transport._send_user_message(message(common.MSG_CHANNEL_REQUEST, channel.remote_chanid, name, want, *fields))
        if not want:
            return "asked"
        with self.condition:
            self.condition.wait_for(lambda: len(self.answers.get(channel.chanid, ())) > count or not self.transport.is_active(), 5)
        if len(self.answers.get(channel.chanid, ())) > count:
            return self.answers[channel.chanid][count]
        return "silence" if self.transport.is_active() else "gone"

    def env(self, channel, name, value):
        return self.ask(channel, "env", name, value)

    def pty(self, channel, term="vt100", columns=80, rows=24, modes=b"\0"):
        return self.ask(channel, "pty-req", term, columns, rows, 0, 0, modes)

    def exec(self, channel, command):
        return self.ask(channel, "exec", command)

    def end(self, channel):
        """All that comes until the channel is closed: output, errors, status (-1: a signal, or none)."""
        channel.settimeout(10)
        try:
            return channel.makefile("rb").read(), channel.makefile_stderr("rb").read(), channel.recv_exit_status() if channel.status_event.wait(10) else "none"
        except TimeoutError:
            return "it does not end"

    def all(self, kind, *fields):
        """A global request."""
        try:
            answer = self.transport.global_request(kind, fields, wait=True)
        except (paramiko.SSHException, EOFError):
            return "gone"
        if not self.transport.is_active():
            return "gone"
        return "no" if answer is None else "yes"

    def alive(self):
        channel = self.open()
        return not isinstance(channel, str) and self.exec(channel, "echo alive") == "yes" and self.end(channel)[0] == b"alive\n"


CASES = {}


def case(function):
    CASES[function.__name__.replace("_", " ")] = function
    return function


def ran(raw, channel, command):
    """The answer, and what came of it."""
    answer = raw.exec(channel, command)
    return answer, raw.end(channel) if answer == "yes" else None


@case
def variables(raw):
    channel = raw.open()
    answers = [raw.env(channel, *pair) for pair in (("LANG", "C"), ("LC_ONE", ""), ("OTHER", "1"), ("PATH", "/x"), ("LC_TWO", "a=b"), ("LC_ONE", "again"), ("", "x"))]
    return answers, ran(raw, channel, "env | grep ^L | grep -v LOGNAME | sort")


@case
def too_many_variables(raw):
    channel = raw.open()
    answers = [raw.env(channel, f"LC_{n}", "x") for n in range(200)]
    return answers[:100].count("yes"), answers[-1], ran(raw, channel, "echo here")


@case
def a_variable_after_the_start(raw):
    channel = raw.open()
    return raw.exec(channel, "read line; env | grep ^LC_"), raw.env(channel, "LC_LATE", "x"), channel.sendall(b"\n"), raw.end(channel)


@case
def a_second_command(raw):
    channel = raw.open()
    return raw.exec(channel, "read line; echo $line"), raw.exec(channel, "echo second"), raw.ask(channel, "shell"), channel.sendall(b"first\n"), raw.end(channel)


@case
def an_empty_command(raw):
    return ran(raw, raw.open(), "")


@case
def a_command_after_an_unknown_subsystem(raw):
    channel = raw.open()
    return raw.ask(channel, "subsystem", "nosuch"), ran(raw, channel, "echo here")


@case
def unknown_requests(raw):
    channel = raw.open()
    return [raw.ask(channel, name) for name in ("nosuch@example.com", "", "x" * 1000, "xon-xoff")], ran(raw, channel, "echo here"), raw.alive()


@case
def an_unknown_request_without_an_answer(raw):
    channel = raw.open()
    return raw.ask(channel, "nosuch@example.com", want=False), ran(raw, channel, "echo here")


@case
def a_window_change_without_a_terminal(raw):
    channel = raw.open()
    raw.ask(channel, "window-change", 80, 24, 0, 0, want=False)
    return ran(raw, channel, "echo here"), raw.alive()


@case
def strange_windows(raw):
    found = []
    for columns, rows in ((0, 0), (1, 1), (65535, 65535), (500, 1)):
        channel = raw.open()
        found.append((raw.pty(channel, columns=columns, rows=rows), ran(raw, channel, "stty size")))
    return found


@case
def a_window_change(raw):
    channel = raw.open()
    return raw.pty(channel), raw.exec(channel, "read line; stty size"), raw.ask(channel, "window-change", 100, 40, 0, 0), channel.sendall(b"\n"), raw.end(channel)


@case
def signals(raw):
    channel = raw.open()
    raw.ask(channel, "signal", "TERM", want=False)
    started = raw.exec(channel, "trap 'echo caught; exit 3' USR1; echo up; while :; do read -t 1; done")
    assert channel.recv(3) == b"up\n"
    for name in ("NOSUCH", "", "9", "USR1"):
        raw.ask(channel, "signal", name, want=False)
    return started, raw.end(channel)


@case
def a_signal_after_the_end(raw):
    channel = raw.open()
    answer = ran(raw, channel, "exit 4")
    raw.ask(channel, "signal", "TERM", want=False)
    return answer, raw.alive()


@case
def a_break(raw):
    channel, other = raw.open(), raw.open()
    return raw.exec(channel, "cat"), raw.ask(channel, "break", 100), raw.pty(other), raw.exec(other, "cat"), raw.ask(other, "break", 100)


@case
def the_agent(raw):
    channel = raw.open()
    return raw.ask(channel, "auth-agent-req@openssh.com"), ran(raw, channel, "[ -S $SSH_AUTH_SOCK ] && stat -c '%U %a' $(dirname $SSH_AUTH_SOCK)")


@case
def the_agent_twice(raw):
    first, second = raw.open(), raw.open()
    raw.ask(first, "auth-agent-req@openssh.com")
    raw.ask(second, "auth-agent-req@openssh.com")
    return ran(raw, second, "[ -S $SSH_AUTH_SOCK ] && echo there")


@case
def x11(raw):
    channel = raw.open()
    return raw.ask(channel, "x11-req", False, "MIT-MAGIC-COOKIE-1", "00" * 16, 0), ran(raw, channel, "echo [$DISPLAY]")


@case
def no_command_at_all(raw):
    channel = raw.open()
    channel.close()
    return raw.alive()


@case
def channels_of_other_kinds(raw):
    refused = [raw.open(kind) for kind in ("nosuch", "", "x" * 500)]
    return refused, raw.open("direct-tcpip", dest_addr=("127.0.0.1", 1), src_addr=("127.0.0.1", 0)), raw.alive()


@case
def a_name_that_is_none(raw):
    return raw.open("direct-tcpip", dest_addr=("no.such.name.invalid", 80), src_addr=("127.0.0.1", 0)), raw.alive()


@case
def requests_for_the_whole_connection(raw):
    return [raw.all(kind) for kind in ("keepalive@openssh.com", "nosuch@example.com", "")], raw.alive()


@case
def listening(raw):
    answers = [raw.all("tcpip-forward", "127.0.0.1", 0), raw.all("tcpip-forward", "localhost", 0), raw.all("cancel-tcpip-forward", "127.0.0.1", 1)]
    return answers, raw.alive()


@case
def listening_twice(raw):
    from kit.wait import free_port

    port = free_port()
    return [raw.all(kind, "127.0.0.1", port) for kind in ("tcpip-forward", "tcpip-forward", "cancel-tcpip-forward", "cancel-tcpip-forward", "tcpip-forward")]


@case
def no_more_sessions(raw):
    """What OpenSSH's client says when it will not share its connection: a session that comes all the same is somebody else's."""
    channel = raw.open()
    raw.transport.global_request("no-more-sessions@openssh.com", wait=False)
    first, second = ran(raw, channel, "echo the first"), raw.open()
    return first, second if isinstance(second, str) else "opened"


@case
def rekeying_in_the_middle(raw):
    channel = raw.open()
    answer = raw.exec(channel, "cat")
    for _ in range(3):
        channel.sendall(b"x" * 50000)
        raw.transport.renegotiate_keys()
        assert len(channel.makefile("rb").read(50000)) == 50000
    channel.shutdown_write()
    return answer, raw.end(channel)


@case
def many_sessions_one_after_the_other(raw):
    return [ran(raw, raw.open(), f"echo {n}; exit {n}") for n in range(20)]


@case
def many_channels_opened_and_closed(raw):
    for _ in range(60):
        raw.open().close()
    return raw.alive()


# Why the two differ, and what the built-in one gives.
INTENDED = {
    "a break": ("a break is refused on a terminal, too", ("yes", "no", "yes", "yes", "no")),
    "channels of other kinds": ("whatever cannot be opened is said to be prohibited", (["refused 1"] * 3, "refused 1", True)),
    "a name that is none": ("whatever cannot be opened is said to be prohibited", ("refused 1", True)),
    "requests for the whole connection": ("a sign of life is answered with success", (["yes", "no", "no"], True)),
    "no more sessions": ("no-more-sessions@openssh.com is not known", (("yes", (b"the first\n", b"", 0)), "opened")),
}


@pytest.fixture(scope="module")
def sides(world):
    """OpenSSH's server and ours, for the same key."""
    sides = RealSshd(world), BuiltIn(world)
    visitors = [Visitor(server, "alice", authorize=False) for server in sides]
    world.authorize("alice", visitors[0].public)
    return sides, visitors[0].key


@pytest.mark.parametrize("name", CASES)
def test_same(sides, name):
    servers, key = sides
    results = []
    for server in servers:
        raw = Raw(server, key)
        try:
            results.append(CASES[name](raw))
        finally:
            raw.transport.close()
    theirs, mine = results
    if name in INTENDED:
        reason, wanted = INTENDED[name]
        assert theirs != mine, f"no difference any more: {reason}"
        assert mine == wanted, f"another difference than {reason}"
        return
    if mine != theirs:
        pytest.fail(f"OpenSSH's: {theirs}\nbuilt-in:  {mine}", pytrace=False)
