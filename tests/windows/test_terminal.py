"""A shell on the Windows machine at a real terminal: a console there, a screen here."""
import re
import threading

import pytest
from conftest import PROBE, person, setup
from kit.wait import wait_for
from kit.wine import ME, WinAgent

bench, hub, alice, winbox = setup()
PROMPT = r"^C:\\[^>]*>\s*$"


def test_a_shell(winbox, alice):
    shell = person(alice, "winbox")
    shell.sees(PROMPT)
    shell.types("echo first line").sees(r"^first line$")
    shell.sees(PROMPT)
    shell.types("cd \\windows").sees(r"^C:\\windows>$")
    shell.types("exit 9")
    assert shell.leaves() == 9


def test_the_status_of_a_command_at_a_terminal(winbox, alice):
    shell = person(alice, "winbox", "echo shown& exit 5")
    shell.sees("^shown$")
    assert shell.leaves() == 5
    assert shell.sees("shown"), "what was drawn last is not lost"


def test_it_is_a_console(winbox, alice):
    shell = person(alice, "winbox", f"{PROBE} console", rows=31, columns=97)
    for name in ("in", "out", "err"):
        shell.sees(f"^{name} console$")
    # Wine's console keeps the window that it was made with; so it shows the first one.
    assert shell.sees(r"^window (\d+x\d+) ").group(1) == "97x31"
    assert shell.leaves() == 0


def test_wide_text_out(winbox, alice):
    """What is behind it stands where it should."""
    shell = person(alice, "winbox", f"{PROBE} args 日本語テキスト häßlich кириллица 漢字")
    for word in ("日本語テキスト", "häßlich", "кириллица", "漢字"):
        shell.sees(rf"^\[{word}\]$")
    assert shell.leaves() == 0


@pytest.mark.parametrize("typed,units", [("abc", "0061 0062 0063"), ("äß", "00e4 00df"), ("日本", "65e5 672c"), ("и", "0438")], ids=["ascii", "latin", "cjk", "cyrillic"])
def test_keys_in(winbox, alice, typed, units):
    shell = person(alice, "winbox", f"{PROBE} keys")
    shell.sees("^type:$")
    shell.types(typed)
    shell.sees(rf"^units {units} 000d 000a\.$")
    assert shell.leaves() == 0


def test_editing_keys(winbox, alice):
    shell = person(alice, "winbox", f"{PROBE} keys")
    shell.sees("^type:$")
    shell.types("ax\x7fb")
    shell.sees(r"^units 0061 0062 000d 000a\.$")


def test_many_lines(winbox, alice):
    shell = person(alice, "winbox", "for /l %i in (1,1,300) do @echo line %i")
    shell.sees("^line 300$", 60)
    assert shell.leaves() == 0
    seen = [int(number) for number in re.findall(r"^line (\d+)$", shell.shown(), re.M)]
    assert seen[-20:] == list(range(281, 301)), shell.shown()


def test_a_terminal_beside_pipes(winbox, alice, bench):
    """Both on one connection: each has its own console or none."""
    path = bench.path(f"cm{bench.number()}")
    shell = person(alice, "winbox", options=["-o", f"ControlPath={path}", "-o", "ControlMaster=yes"])
    shell.sees(PROMPT)
    done = alice.ssh("-o", f"ControlPath={path}", f"{ME}@winbox", f"{PROBE} console").ok()
    assert done.out.split()[:6] == "in other out other err other".split(), done
    shell.types("echo still here").sees("^still here$")
    shell.types("exit")
    assert shell.leaves() == 0


def test_a_client_without_a_terminal_gets_a_shell_on_pipes(winbox, alice):
    """ssh -T, lines as somebody sends them."""
    popen = alice.jump_popen("winbox", options=["-T"])
    seen = bytearray()
    threading.Thread(target=lambda: [seen.extend(part) for part in iter(lambda: popen.stdout.read(1), b"")], daemon=True).start()
    wait_for(lambda: seen.endswith(b">"), 20, lambda: bytes(seen))
    popen.stdin.write(b"echo in-a-shell\r\n")
    wait_for(lambda: re.search(rb"in-a-shell\r\n.*>$", seen, re.S), 20, lambda: bytes(seen))
    popen.stdin.write(b"exit 6\r\n")
    assert popen.wait(20) == 6


def test_resizing_is_survived(winbox, alice):
    """Wine cannot do it; nothing breaks."""
    shell = person(alice, "winbox")
    shell.sees(PROMPT)
    shell.terminal.resize(40, 120)
    shell.terminal.popen.send_signal(28)
    shell.types("echo same").sees("^same$")
    shell.types("exit 4")
    assert shell.leaves() == 4


def test_a_closed_window(winbox, alice, prefix):
    """The terminal goes, and with it the client: the console and what runs in it too."""
    shell = person(alice, "winbox")
    shell.sees(PROMPT)
    before = set(winbox.others())
    assert before
    shell.terminal.close()
    prefix.wait_gone(before, 20)


def test_shells_one_after_another_leave_nothing(winbox, alice, prefix):
    wait_for(lambda: not winbox.others(), 20)
    for number in range(5):
        shell = person(alice, "winbox", f"exit {number}")
        assert shell.leaves() == number
    wait_for(lambda: not winbox.others(), 20, lambda: f"the agent and its keeper alone: {winbox.processes()}")


def test_terminals_may_be_forbidden(bench, hub, alice, prefix):
    agent = WinAgent(bench, hub, prefix, users=[alice], sshd_conf="pty = no\n")
    agent.wait_ssh("built-in", "ok")
    alice.ssh("-tt", "-J", "hub", f"{ME}@{agent.name}", f"{PROBE} console").failed().says("PTY allocation request failed")
    assert "in other" in alice.jump(agent.name, f"{PROBE} console").ok().out


def test_another_shell_at_a_terminal(bench, hub, alice, prefix):
    agent = WinAgent(bench, hub, prefix, users=[alice], sshd_conf="shell = C:\\probe.exe\n")
    agent.wait_ssh("built-in", "ok")
    shell = person(alice, agent.name, "console")
    shell.sees(r"^\[-c\]$")
    shell.sees(r"^\[console\]$")
    assert shell.leaves() == 0
