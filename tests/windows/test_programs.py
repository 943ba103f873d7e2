"""The programs by themselves: what they need, what they say, and what they do about wrong words and wrong settings."""
import re
import subprocess

import pytest
from conftest import e2e
from kit.parts import User
from kit.wine import ME, PROGRAMS, WINDOWS_BUILD

# What every Windows has.
SYSTEM_DLLS = {"advapi32", "bcrypt", "crypt32", "dbghelp", "gdi32", "iphlpapi", "kernel32", "msvcrt", "netapi32", "ntdll", "ole32", "psapi", "secur32", "shell32",
               "user32", "userenv", "winhttp", "ws2_32"}
ALL = pytest.mark.parametrize("name", PROGRAMS)


@pytest.fixture
def folder(prefix):
    return prefix.folder("state")


@pytest.fixture
def bench(request, prefix):
    yield from e2e.run_bench(request, False)


@ALL
def test_system_dlls_are_all_it_needs(prefix, name, tmp_path):
    text = subprocess.run(["x86_64-w64-mingw32-objdump", "-p", WINDOWS_BUILD / f"{name}.exe"], capture_output=True, text=True, check=True).stdout
    needed = {word.lower().removesuffix(".dll") for word in re.findall(r"^\s*DLL Name: (\S+)", text, re.M)}
    assert "kernel32" in needed and needed <= SYSTEM_DLLS, needed - SYSTEM_DLLS
    for flag in ("DYNAMIC_BASE", "NX_COMPAT", "HIGH_ENTROPY_VA"):
        assert flag in text, f"{flag} is not set"
    assert "file format pei-x86-64" in text
    stripped = tmp_path / "stripped.exe"
    subprocess.run(["x86_64-w64-mingw32-strip", "-o", stripped, WINDOWS_BUILD / f"{name}.exe"], check=True)
    assert stripped.stat().st_size < 12 << 20


@ALL
def test_version_and_help(bench, prefix, name):
    version = prefix.run(bench, name, "--version").ok()
    assert re.fullmatch(rf"{name} \d+\.\d+\.\d+\s*", version.out), version
    shown = prefix.run(bench, name, "--help").ok()
    assert f"usage: {name}" in shown.out and shown.err == "", shown
    # What only other systems have is not talked about.
    for word in ("PAM", "/etc/", "/var/lib", "XDG_", "systemd", "root"):
        assert word not in shown.out, f"{word}: {[line for line in shown.out.splitlines() if word in line]}"
    assert max(map(len, shown.out.splitlines())) <= 110


def test_help_has_what_only_windows_has(bench, prefix):
    assert re.search(r"service\b.*install", prefix.run(bench, "multissh-agent", "--help").ok().out, re.S)
    shell = prefix.run(bench, "multissh-sshd", "--help").ok().out
    assert "--shell" in shell and "powershell" in shell


@ALL
def test_help_and_the_table_of_options_agree(bench, prefix, name):
    shown = prefix.run(bench, name, "--help").ok().out
    names = [line.split("\t")[0] for line in prefix.run(bench, name, "--dump-options").ok().out.splitlines()]
    assert len(names) > 10
    for option in names:
        assert f"--{option} " in shown, option


@pytest.mark.parametrize("name,words,says", [
    ("multissh-agent", [], "join"),
    ("multissh-agent", ["dance"], "dance"),
    ("multissh-agent", ["--no-such", "run"], "no-such"),
    ("multissh-agent", ["join"], "HOST:PORT"),
    ("multissh-agent", ["join", "127.0.0.1:99999/x"], "99999|code"),
    ("multissh-agent", ["run", "more"], "more"),
    ("multissh-agent", ["--sessions-max", "0", "run"], "sessions-max"),
    ("multissh-agent", ["--state"], "state"),
    ("multissh-agent", ["service"], "install"),
    ("multissh-agent", ["service", "dance"], "dance"),
    ("multissh-agent", ["--sshd-socket", "/run/x", "run"], "sshd-socket"),
    ("multissh-sshd", [], "inetd"),
    ("multissh-sshd", ["--no-such"], "no-such"),
    ("multissh-sshd", ["--inetd", "--pam", "no"], "pam"),
    ("multissh-sshd", ["--root-login", "no", "--check"], "root-login"),
    ("multissh-sshd", ["--check", "word"], "word"),
    ("multissh-sshd", ["--tries-max", "many", "--check"], "tries-max"),
    ("multissh-sshd", ["--inetd", "--peer", "nonsense"], "peer|nonsense"),
])
def test_wrong_words_are_named(bench, prefix, folder, name, words, says):
    state = [] if words == ["--state"] else ["--state", prefix.windows(folder)]
    done = prefix.run(bench, name, *state, *words, input="", timeout=20)
    assert done.status == 2 and re.search(says, done.err), done
    assert done.err.startswith(f"{name}: ") and done.out == "", done


@pytest.mark.parametrize("name,file,text,says", [
    ("multissh-agent", "agent.conf", "hub = 127.0.0.1:1\nfoo = 1\n", r"agent\.conf:2: foo"),
    ("multissh-agent", "agent.conf", "sessions-max = many\n", r"agent\.conf:1: sessions-max"),
    ("multissh-sshd", "sshd.conf", "# fine\nfoo = 1\n", r"sshd\.conf:2: foo"),
    ("multissh-sshd", "sshd.conf", "pam = yes\n", r"sshd\.conf:1: pam"),
    ("multissh-sshd", "sshd.conf", "\xef\xbb\xbfpty = perhaps\r\n", r"sshd\.conf:1: pty"),
])
def test_a_wrong_setting_is_named_with_its_line(bench, prefix, folder, name, file, text, says):
    (folder / file).write_bytes(text.encode("latin-1"))
    done = prefix.run(bench, name, "--state", prefix.windows(folder), "--check")
    assert done.status == 2 and re.search(says, done.err), done
    assert "C:\\" in done.err, f"with the file's path: {done}"
    done = prefix.run(bench, name, "--state", prefix.windows(folder), "run" if name == "multissh-agent" else "--inetd", input="")
    assert done.status == 2 and re.search(says, done.err), done


@pytest.mark.parametrize("name", ["multissh-agent", "multissh-sshd"])
def test_a_file_as_an_editor_of_windows_writes_it(bench, prefix, folder, name):
    """With a byte order mark, and CR LF."""
    file, text = ("agent.conf", "hub = 127.0.0.1:1\r\nname = box\r\n") if name == "multissh-agent" else ("sshd.conf", "tries-max = 3\r\nallow-users = me\r\n")
    (folder / file).write_bytes(b"\xef\xbb\xbf" + text.encode())
    done = prefix.run(bench, name, "--state", prefix.windows(folder), "--check").ok()
    assert re.search(r"^name = box\r?$" if name == "multissh-agent" else r"^tries-max = 3\r?$", done.out, re.M), done


def test_a_state_folder_with_other_letters(bench, prefix):
    """Blanks, letters of other scripts, slashes, relative."""
    state = prefix.folder("state") / "mön état 日本"
    spelt = prefix.windows(state).replace("\\", "/")
    first = prefix.run(bench, "multissh-sshd", "--state", spelt, "--print-host-key").ok().out
    assert re.fullmatch(r"ssh-ed25519 \S+\s*", first)
    assert state.is_dir() and any(state.iterdir()), list(state.parent.iterdir())
    again = prefix.run(bench, "multissh-sshd", "--state", prefix.windows(state), "--print-host-key").ok().out
    assert again == first, "it is made once"


def test_the_agents_key_is_made_once(bench, prefix, folder):
    first = prefix.run(bench, "multissh-agent", "--state", prefix.windows(folder), "fingerprint").ok().out
    assert re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}\s*", first), first
    assert prefix.run(bench, "multissh-agent", "--state", prefix.windows(folder), "fingerprint").ok().out == first
    assert (folder / "agent.key").exists() and not list(folder.glob("*.new*")), list(folder.iterdir())


def test_by_hand_without_a_hub_it_says_so(bench, prefix, folder):
    done = prefix.run(bench, "multissh-agent", "--state", prefix.windows(folder), "run")
    assert done.status == 2 and "join" in done.err, done


def test_as_a_proxy_command(bench, prefix, folder):
    """Standard input and output are pipes: ssh -o ProxyCommand, no hub and no agent."""
    user = User(bench, "visitor")
    prefix.authorize(user)
    host_key = prefix.run(bench, "multissh-sshd", "--state", prefix.windows(folder), "--print-host-key").ok().out.strip()
    user.known_hosts.write_text(f"box {host_key}\n")
    words = prefix.argv("multissh-sshd", "--inetd", "--state", prefix.windows(folder))
    user.config.write_text(f"Host box\n  User {ME}\n  IdentityFile {user.key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {user.known_hosts}\n"
                           f"  StrictHostKeyChecking yes\n  BatchMode yes\n  ProxyCommand {' '.join(quoted(word) for word in words)}\n")
    env = prefix.bench_environment()
    data = bytes(range(256)) * 4096
    done = user.ssh("box", "C:\\probe.exe cat", input=data, env=env)
    assert done.status == 0 and done.raw == data, done.err
    done = user.ssh("box", "echo out& echo err 1>&2& exit 7", env=env)
    assert (done.status, done.out) == (7, "out\r\n"), done
    prefix.wait_gone(prefix.find("multissh-sshd"))


def quoted(word):
    return "'" + word + "'" if re.search(r"[\\ ]", word) else word
