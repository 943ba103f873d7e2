"""The same sessions on OpenSSH's server and on the built-in one, in the same world: stdout, stderr, status and environment must be the same, but for
INTENDED, whose differences multissh-sshd(8) names."""
import contextlib
import dataclasses
import re
import shutil

import pytest
from conftest import worlds
from kit.builtin import BuiltIn, RealSshd, Visitor

KEYS = "/etc/keys"
bench, world = worlds()
pytestmark = pytest.mark.skipif(not shutil.which("sshd", path="/usr/sbin:/usr/local/sbin"), reason="sshd is not installed")


@dataclasses.dataclass
class Case:
    name: str
    command: object = None  # str or bytes; None: a login shell
    options: tuple = ()
    input: object = None
    env: dict = dataclasses.field(default_factory=dict)
    account: str = "alice"
    key: str = ""  # options of the line in authorized_keys
    files: dict = dataclasses.field(default_factory=dict)  # for this case only; "~/…" is in the account's home
    fresh: bool = False  # a connection of its own
    root: bool = False  # where the server is root alone
    sort: bool = False  # the lines of the output
    sftp: str = ""  # a batch, instead of a command


PTY = ("-tt",)
CASES = []


def add(name, command=None, **more):
    CASES.append(Case(name, command, **more))


def commands():
    for text in ("true", "false", ":", "   echo   leading   blanks", "echo a\necho b", "printf '%s|' \"a b\" 'c\"d' \\$HOME \"$HOME\" `echo x` '*'", "echo /et*",
                 "false | true", "exit 300", "no-such-command-here", "/etc/passwd", "/", "cd /no/such/folder; pwd", "echo $0 $- $#", "shopt -q login_shell; echo $?",
                 "pwd; id; umask", "ulimit -Sa; ulimit -Ha", "nice; cat /proc/self/oom_score_adj", "if", "echo 'open", "exec sh -c 'echo $0; exit 4'",
                 "set -e; false; echo never", "echo $((1+1)); (exit 6)", "exit", "# only a comment", "cat <<E\nhere\nE", "exit 3 & wait $!",
                 "[ \"$(ps -o sid= $$ | tr -d ' ')\" = $$ ] && echo session; [ \"$(ps -o pgid= $$ | tr -d ' ')\" = $$ ] && echo group; ps -o args= $$; :",
                 "for f in 0 1 2; do readlink /proc/$$/fd/$f | sed 's/[0-9]//g'; done", "ls /proc/self/fd",
                 "grep -E '^(Uid|Gid|Groups|SigB|SigI|SigC|Cap|Seccomp:|NoNew|Shd|Thr)' /proc/self/status", "cat /proc/self/loginuid; touch new; stat -c '%a %U %G' new",
                 "date +%Z; cat /proc/$$/cgroup >/dev/null; echo $TMOUT$BASH_ENV", "echo ~ ~root; ls -A ~ | grep -v '^\\.s'", "exec 3<>/dev/tty && echo a terminal"):
        add(f"command {text!r}"[:60], text)
    add("several words", None)
    CASES[-1].command = ("echo", "a  b", "$HOME", "'q'")
    add("not utf-8", b"printf '%s' '\xff\xfe\x80' | od -c; echo '\x01\x7f\xc3'")
    add("carriage return", "echo a\r\necho b")
    add("long command", "true " + "x" * 100 * 1024 + "; echo done")
    add("longest command", "true " + "y" * 130_800 + "; echo done")
    add("many lines", "\n".join(f"echo {n}" for n in range(3000)))


def statuses():
    for status in (0, 1, 2, 126, 127, 128, 254, 255):
        add(f"status {status}", f"echo {status}; exit {status}")
        add(f"status {status} on a terminal", f"echo {status}; exit {status}", options=PTY)
    for name in ("TERM", "KILL", "HUP", "INT", "QUIT", "USR1", "PIPE", "ABRT", "SEGV", "ALRM", "RTMIN"):
        add(f"signal {name}", f"ulimit -c 0; echo {name}; kill -{name} $$; sleep 0.2; echo lives")
    add("signal on a terminal", "echo up; kill -KILL $$", options=PTY)
    add("signal of a child", "sh -c 'kill -TERM $$'; echo $?")


def inputs():
    add("input", "cat; echo end", input="data")
    add("empty input", "wc -c", input="")
    add("no input", "cat; echo end", options=("-n",))
    add("input of every byte", "cat", input=bytes(range(256)) * 1000)
    add("a part of the input is read", "head -c 5", input="x" * 300000)
    add("nothing of the input is read", "echo unread; exit 3", input="y" * 300000)
    add("input is closed", "exec <&-; echo closed", input="y" * 300000)
    add("output is closed", "exec >&-; cat >&2; exit 2", input="to stderr\n")
    add("errors are closed", "exec 2>&-; cat; exit 2", input="to stdout\n")
    add("all is closed", "exec <&- >&- 2>&-; sleep 0.3; exit 9")
    add("output and errors", "echo out; echo err >&2; echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin", input="in\n")
    add("much output", "seq 200000; exit 3")
    add("many errors", "seq 100000 >&2; exit 3")
    add("what is behind writes late", "(sleep 0.3; echo late; echo late err >&2) & echo early")
    add("behind, closed", "sleep 0.5 >/dev/null 2>&1 </dev/null & echo early")
    add("status before the output's end", "(sleep 0.3; echo late) & exit 5")
    add("shell", input="echo $0 $-; tty; pwd; exit 3\n", options=("-T",))
    add("shell without a last newline", input="echo a; (exit 4)", options=("-T",))
    add("shell with no input", input="", options=("-T",))
    add("shell with a wrong command", input="no-such-thing\n", options=("-T",))


def environment():
    show = "env | grep -v -e ^_= -e ^MAIL="
    add("MAIL", "echo $MAIL")
    add("environment", show, sort=True)
    add("environment of a shell", input="env | grep -v -e ^_= -e ^MAIL=\n", options=("-T",), sort=True)
    add("environment on a terminal", show, options=PTY, sort=True, env={"TERM": "xterm-256color"})
    add("environment of root", show, account="root", root=True, sort=True)
    add("environment of a plain shell", show, account="bob", root=True, sort=True)
    add("sent variables", show, sort=True, env={"LANG": "de_DE.UTF-8", "LC_ALL": "C", "LC_TIME": "a b", "LC_": "x", "OTHER": "no"})
    add("sent variables on a terminal", show, options=PTY, sort=True, env={"LANG": "", "LC_PAPER": "A4"})
    add("set variables", show, options=("-o", "SetEnv LC_ONE=1 LC_TWO=\"a=b c\" PATH=/x HOME=/y LD_PRELOAD=z USER=mallory SHELL=/s"), sort=True, fresh=True)
    add("a variable with newlines", "env -0 | grep -z LC_", env={"LC_LINES": "a\nb\n"})
    add("a variable that is no utf-8", "echo $LC_BYTES | od -c", env={"LC_BYTES": b"\xff\xfe\x01"})
    add("a variable of 64 KiB", "echo ${#LC_BIG}; echo $LC_BIG | md5sum", env={"LC_BIG": "z" * 65536})
    add("variables of 100 KiB together", "env | grep ^LC_ | wc -c", env={f"LC_{n}": "z" * 2000 for n in range(50)})
    add("COLORTERM", "echo $COLORTERM", env={"COLORTERM": "truecolor"})
    add("~/.ssh/environment", "env | grep FROM_FILE; echo $?", files={"~/.ssh/environment": "FROM_FILE=1\n"})
    add("environment= of a key", "echo $FROM_KEY", key='environment="FROM_KEY=1"', fresh=True)
    add("startup files", "echo done", files={"~/.bashrc": "echo bashrc\n", "~/.profile": "echo profile\n"})
    add("startup files of a shell", input="echo done\n", options=("-T",), files={"~/.bashrc": "echo bashrc\n", "~/.profile": "echo profile\n"})


def terminals():
    add("terminal", "tty; stty size; echo $TERM; [ $SSH_TTY = $(tty) ] && echo same; echo err >&2; stat -c '%U %a' $SSH_TTY", options=PTY, env={"TERM": "vt100"})
    add("terminal modes", "stty -a", options=PTY)
    add("terminal processes", "[ $(ps -o tpgid= $$) = $$ ] && echo foreground; readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2", options=PTY)
    add("terminal without TERM", "echo \"[$TERM]\"", options=PTY, env={"TERM": ""})
    add("terminal with a strange TERM", "echo \"[$TERM]\"", options=PTY, env={"TERM": "a b;c$(x)\t" + "x" * 100})
    add("terminal: much output", "seq 20000; exit 3", options=PTY)
    add("terminal: the input ends", "timeout --foreground 0.7 cat; echo $?", options=PTY, input="x\n")
    add("terminal: ^D", "cat; echo end", options=PTY, input="x\n\x04", fresh=True)
    add("terminal: shell", options=PTY, files={"~/.profile": "echo $0 $-; tty; exit 5\n"}, fresh=True)
    add("terminal refused by the key", "tty; echo ${SSH_TTY:-none}", options=PTY, key="no-pty", fresh=True)
    add("terminal: closed by the command", "exec <&- >&- 2>&-; sleep 0.2; exit 7", options=PTY)
    motd = {"/etc/motd": "Soup.\nBread.\n", "~/.profile": "echo here; exit\n"}
    add("message of the day", options=PTY, files=motd, fresh=True)
    add("message of the day, without a terminal", options=("-T",), input="echo here\n", files={"/etc/motd": "Soup.\n"}, fresh=True)
    add("hushlogin", options=PTY, files={**motd, "~/.hushlogin": ""}, fresh=True)


def keys():
    forced = 'command="echo forced; echo [$SSH_ORIGINAL_COMMAND]; tty; exit 7"'
    add("forced command", "echo \"asked 'for'\" $HOME", key=forced, fresh=True)
    add("forced command for a shell", key=forced, fresh=True, options=("-T",))
    add("forced command on a terminal", "echo asked", key=forced, fresh=True, options=PTY)
    add("forced command for sftp", "sftp", options=("-s",), key='command="echo [$SSH_ORIGINAL_COMMAND]; exit 7"', fresh=True)
    add("forced command with input", "asked", key='command="cat; echo $SSH_ORIGINAL_COMMAND >&2"', input="given\n", fresh=True)
    add("forced internal-sftp", key='command="internal-sftp"', sftp="pwd\n", fresh=True)
    add("restrict", "tty; echo ran", key="restrict", options=PTY, fresh=True)
    add("restrict with pty", "tty; echo ran", key="restrict,pty", options=PTY, fresh=True)
    add("no-user-rc", "echo ran", key="no-user-rc", files={"~/.ssh/rc": "echo rc\n"}, fresh=True)


def rc():
    text = "echo rc $0 $# [$(cat)] >&2; env | grep -E '^(USER|HOME|SSH_TTY|PATH)=' | sed 's,pts/.*,pts,'\n"
    add("rc", "cat", input="kept\n", files={"~/.ssh/rc": text})
    add("rc of a shell", input="echo kept\n", options=("-T",), files={"~/.ssh/rc": text})
    add("rc on a terminal", "echo ran", options=PTY, files={"~/.ssh/rc": text})
    add("rc that fails", "echo ran", files={"~/.ssh/rc": "echo out; exit 9\n"})
    add("rc of the system", "echo ran", files={"/etc/ssh/sshrc": "echo sshrc\n"})
    add("rc of both", "echo ran", files={"/etc/ssh/sshrc": "echo sshrc\n", "~/.ssh/rc": "echo rc\n"})
    add("rc and sftp", sftp="pwd\n", files={"~/.ssh/rc": "echo spoils it\n"})
    add("rc and scp -t", "scp -t .", input="C0644 2 rc-scp\nhi\0E\n", files={"~/.ssh/rc": "echo rc >&2\n"})


def subsystems():
    add("unknown subsystem", "nosuch", options=("-s",))
    add("unknown subsystem with strange bytes", b"sf\xfftp; echo", options=("-s",))
    add("sftp without a word", "sftp", options=("-s",), input="")
    add("sftp that is told rubbish", "sftp", options=("-s",), input=b"\xff\xff\xff\xffrubbish" * 100)
    add("sftp", sftp="pwd\nmkdir d\ncd d\npwd\nput /etc/passwd copy\nls\nls -1 ..\nchmod 640 copy\nrename copy other\nln -s other link\nln other hard\n"
        "ls -1\nget other /dev/null\nrm hard\nrm link\nrm other\ncd ..\nrmdir d\n")
    add("sftp: a long listing", sftp="mkdir l\nchmod 711 l\nput /etc/hostname l/b\nchmod 640 l/b\nls -ln l\nls -lan l\nls -l /etc/hostname\nrm l/b\nrmdir l\n")
    for words in ("get /no/such/file", "get /etc/shadow", "put /etc/passwd /no/such/folder/x", "put /etc/passwd /etc/here", "mkdir /home", "rmdir /etc", "rm /home", "rm /no/such",
                  "chmod 777 /etc/passwd", "rename /no/such x", "ls /no/such", "cd /etc/passwd", "ln /no/such x", "df", "chgrp 0 /etc/passwd", "ls /root"):
        add(f"sftp: {words}", sftp=words + "\n")
    begin, end = "mkdir s\nput /etc/hostname s/a\nput /etc/passwd s/b\nmkdir s/f\n", "-rm s/f/*\n-rmdir s/f\n-rm s/*\nrmdir s\n"
    for name, words in (("over what is there", "put /etc/hostname s/b\nls -1 s\n"), ("rename over what is there", "rename s/a s/b\nls -1 s\n"),
                        ("the older rename over what is there", "-rename -l s/a s/b\nls -1 s\n"), ("rename over a folder", "-rename s/a s/f\n-rename s/f s/a\nls -1 s\n"),
                        ("a folder that is there", "-mkdir s/f\n-mkdir s/a\n"), ("a folder that is not empty", "put /etc/hostname s/f/x\n-rmdir s/f\n"),
                        ("remove a folder", "-rm s/f\n-rmdir s/a\n"), ("modes", "chmod 4751 s/a\nchmod 1777 s/f\nls -l s\n-chmod 600 s/none\n"),
                        ("links", "ln -s none s/dangling\nln s/a s/hard\n-ln s/a s/b\n-ln -s x s/a\nls -ln s\n-get s/dangling /dev/null\n-chmod 600 s/dangling\n"),
                        ("a link to a folder", "ln -s f s/l\ncd s/l\npwd\nput /etc/hostname here\ncd ../..\nls -1 s/f\nls -1 s/l\n"),
                        ("globs", "ls -1 s/?\nls -1 s/[ab]*\n-ls -1 s/none*\n"), ("ways of listing", "ls -1S s\nls -1r s\nls -a s\nls -n s\n"),
                        ("names", "put /etc/hostname \"s/a b\"\nput /etc/hostname s/ü\nput /etc/hostname \"s/qu'ote\"\nls -1 s\n"),
                        ("long names", f"-put /etc/hostname s/{'n' * 255}\n-put /etc/hostname s/{'n' * 256}\nls -1 s\n"),
                        ("paths", "cd s/../s/./f\npwd\n-cd ../none\n-cd ~\npwd\n-cd /\npwd\ncd\npwd\n"), ("copies", "-cp s/a s/copy\nls -1 s\n")):
        add(f"sftp: {name}", sftp=begin + words + end)
    add("scp -t", "scp -t .", input="C0600 6 by-scp\nhello\n\0E\n")
    add("scp -f", "scp -f /etc/hostname", input=b"\0\0\0\0")
    add("scp -f of nothing", "scp -f /no/such", input=b"\0\0\0\0")
    add("a port that is nobody's", "echo ran", options=("-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:1:127.0.0.1:1"), fresh=True)
    add("X11", "echo [$DISPLAY]", options=("-X",), env={"DISPLAY": "127.0.0.1:77"}, fresh=True)


def accounts():
    for name in ("nohome", "closedhome", "noshell", "badshell", "nologin", "locked", "expired", "false", "rbash", "emptyshell", "filehome"):
        add(f"account {name}", "echo $0; pwd", account=name, root=True, fresh=True)
        add(f"account {name}: shell", input="echo $0; pwd\n", options=("-T",), account=name, root=True, fresh=True)
    add("account nohome: sftp", sftp="pwd\n", account="nohome", root=True, fresh=True)
    add("account closedhome: terminal", "pwd", account="closedhome", options=PTY, root=True, fresh=True)
    add("no such account", "true", account="mallory", root=True, fresh=True)
    add("nologin file", "echo in", files={"/etc/nologin": "Closed for cleaning.\n"}, root=True, fresh=True)
    add("nologin file and root", "echo in", account="root", files={"/etc/nologin": "Closed for cleaning.\n"}, root=True, fresh=True)


for part in (commands, statuses, inputs, environment, terminals, keys, rc, subsystems, accounts):
    part()

# Where the two are not the same on purpose, each named by multissh-sshd(8): why, and a pattern of what the built-in one gives (status, output and
# errors, one after the other).
INTENDED = {
    "environment= of a key": ("environment= is honoured without PermitUserEnvironment", r"\A0\n1\n"),
    "COLORTERM": ("COLORTERM is let through, too", r"\A0\ntruecolor\n"),
    "terminal modes": ("a terminal begins with the system's usual modes, not the client's", r" iutf8\r\n"),
    "sftp: copies": ("copy-data is not among the SFTP server's extensions", r"does not support copy"),
    "sftp that is told rubbish": ("another exit status", r"\A1\n"),
}
# The same, where the server is root.
INTENDED_ROOT = {
    "MAIL": ("MAIL is set whatever PAM does", r"\A0\n/var/mail/alice\n"),
    "message of the day, without a terminal": ("what PAM says is for terminals", r"\A0\nhere\n"),
}
INTENDED_ROOT["nologin file"] = ("a refusal says why", r"\A255\n\n.*Closed for cleaning")
INTENDED_ROOT["nologin file and root"] = ("what PAM says is for terminals", r"\A0\nin\n")
for words in ("locked", "nologin", "false"):
    for kind in ("", ": shell"):
        INTENDED_ROOT[f"account {words}{kind}"] = ("does not get in", rf"\A255\n\n.*{words}")
for words in ("noshell", "badshell", "expired"):
    for kind in ("", ": shell"):
        INTENDED_ROOT[f"account {words}{kind}"] = ("a refusal says why", rf"\A255\n\n.*{words}")


class Side:
    """One of the servers."""

    def __init__(self, world, server):
        self.world, self.server = world, server
        self.visitor = Visitor(server, "alice", authorize=False, extra=("SendEnv LANG LC_* OTHER COLORTERM",))
        self.master = None

    def warm(self, bench):
        self.visitor.run("true").ok()  # it is in known_hosts now
        self.master = ("-o", f"ControlPath={bench.path(f'diff{bench.number()}')}")
        self.visitor.run("true", options=(*self.master, "-o", "ControlMaster=yes", "-o", "ControlPersist=300")).ok()

    def clear(self, text):
        """Without what differs from run to run."""
        port = str(self.server.port).encode()
        for pattern, new in ((rb"(127\.0\.0\.1(?::|\]:| port )|SSH_CLIENT=127\.0\.0\.1 \d+ |SSH_CONNECTION=127.0.0.1 \d+ 127.0.0.1 )" + port, rb"\1PORT"),
                             (rb"(SSH_C\w+=127\.0\.0\.1) \d+", rb"\1 N"), (rb"/pts/\d+", b"/pts/N"), (rb"(?<=Last login: )\w+ +\w+ +\d+ [\d:]+ \d+", b"TIME"),
                             (rb"\b\w{3} +\d+ +(?:\d\d:\d\d|20\d\d)\b", b"TIME"), (rb"Warning: Permanently added.*\r?\n", b""),
                             (rb"(Shared c|C)onnection to 127\.0\.0\.1 closed\.\r\n", b"")):
            text = re.sub(pattern, new, text)
        return text

    def run(self, case):
        self.visitor.login = case.account
        # Over a ControlMaster a client without a terminal sends terminal modes that are all off.
        shared = case.account == "alice" and not case.fresh and not case.key and case.options != PTY
        options = self.master if shared else ()
        bench = self.world.bench
        env = {"TERM": "xterm", **case.env}
        options = (*self.visitor.options(), *options, "-l", case.account, *case.options)
        if case.sftp:
            flags = [word for word in options if word not in ("-l", case.account)]
            done = bench.run("sftp", "-b", "-", *flags, "-o", f"User={case.account}", "box", input=case.sftp, env=env, timeout=30)
        else:
            words = case.command if isinstance(case.command, tuple) else [] if case.command is None else [case.command]
            done = self.ssh(options, words, case.input, env)
        out, err = self.clear(done.raw), self.clear(done.raw_err)
        if case.sort:
            out = b"\n".join(sorted(out.splitlines()))
        return {"status": done.status, "stdout": out, "stderr": err}

    def ssh(self, options, words, given, env):
        """As bench.run, for words that are bytes."""
        import subprocess

        from kit.proc import Done

        given = given.encode() if isinstance(given, str) else given
        made = {key: value for key, value in self.world.bench.env().items()}
        argv = ["ssh", *options, "box", *words]
        done = subprocess.run(argv, input=given, stdin=subprocess.DEVNULL if given is None else None, capture_output=True, timeout=60,
                              env={**made, **env}, cwd=self.world.bench.root, start_new_session=True, check=False)
        return Done(argv, done.returncode, done.stdout, done.stderr, 0)


@pytest.fixture(scope="module")
def sides(bench, world):
    """OpenSSH's server and ours, with the same accounts, keys and options."""
    world.mkdir(KEYS)
    if world.root:
        world.account("nohome", make_home=False)
        world.account("closedhome")
        world.mkdir("/home/closedhome", owner="root", mode=0o700)
        world.account("noshell", shell="/no/such/shell")
        world.account("badshell", shell="/etc/passwd")
        world.account("nologin", shell="/usr/sbin/nologin")
        world.account("locked", hash="!*")
        world.account("expired", expires="1000")
        world.account("false", shell="/bin/false")
        world.account("rbash", shell="/bin/rbash")
        world.account("emptyshell", shell="")
        world.account("filehome", home="/etc/passwd", make_home=False)
    world.mkdir("/home/alice/.ssh", owner="alice", mode=0o700)
    real = Side(world, RealSshd(world, f"AuthorizedKeysFile {KEYS}/%u"))
    ours = Side(world, BuiltIn(world, "--authorized-keys", f"{KEYS}/%u"))
    ours.visitor.key = real.visitor.key
    ours.visitor.write_config()
    authorize(world, real.visitor, "")
    for side in (real, ours):
        side.warm(bench)
    yield real, ours
    for side in (real, ours):
        side.visitor.run(options=(*side.master, "-O", "exit"))


def authorize(world, visitor, options):
    line = f"{options + ' ' if options else ''}{visitor.public}\n"
    for name in [*world.accounts, "mallory"]:
        world.write(f"{KEYS}/{name}", line)


@contextlib.contextmanager
def prepared(world, visitor, case):
    """The world as the case wants it, and after it as it was."""
    saved, home = {}, world.accounts["alice"].home
    if case.key:
        authorize(world, visitor, case.key)
    for path, text in case.files.items():
        inside = path.replace("~", home, 1)
        target = world.path(inside)
        saved[inside] = target.read_bytes() if target.exists() else None
        world.write(inside, text, owner="alice" if path.startswith("~") else None)
    try:
        yield
    finally:
        if case.key:
            authorize(world, visitor, "")
        for inside, text in saved.items():
            if text is None:
                world.path(inside).unlink()
            else:
                world.write(inside, text, owner="alice" if inside.startswith(home) else None)


@pytest.mark.parametrize("world,case", [(kind, case) for kind in ("root", "user") for case in CASES if kind == "root" or not case.root], indirect=["world"],
                         ids=lambda value: value if isinstance(value, str) else value.name, scope="module")
def test_same(sides, world, case):
    real, ours = sides
    with prepared(world, real.visitor, case):
        results = []
        for side in (real, ours):
            results.append(side.run(case))
    theirs, mine = results
    intended = {**INTENDED, **(INTENDED_ROOT if world.root else {})}
    if case.name in intended:
        reason, pattern = intended[case.name]
        assert theirs != mine, f"no difference any more: {reason}"
        text = f"{mine['status']}\n{mine['stdout'].decode(errors='replace')}\n{mine['stderr'].decode(errors='replace')}"
        assert re.search(pattern, text), f"another difference than {reason}:\n{text}"
        return
    if mine != theirs:
        pytest.fail(differences(theirs, mine), pytrace=False)


def differences(theirs, mine):
    lines = []
    for name, one in theirs.items():
        other = mine[name]
        if one == other:
            continue
        if isinstance(one, bytes) and len(one) + len(other) > 3000:
            at = next((n for n, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
            lines.append(f"{name}: {len(one)} and {len(other)} bytes, not the same from {at}:")
            one, other = one[max(0, at - 100):at + 200], other[max(0, at - 100):at + 200]
        lines.append(f"{name}:\n  OpenSSH's: {one!r}\n  built-in:  {other!r}")
    return "\n".join(lines)
