"""`make bench` in small: every figure is measured, what moved is right; what fails is said, and nothing stays behind."""
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree

import pytest
from kit import net, proc
from kit.bench import BUILD, ROOT, sanitized
from kit.wait import wait_for

pytestmark = pytest.mark.slow
RUN = [sys.executable, str(ROOT / "bench" / "run.py"), "--build", str(BUILD)]
QUICK = [*RUN, "--quick", "--newer", "/nowhere"]
FIGURES = "hub-cpu,speed,agent-cpu,jumps,agent-memory"
root = pytest.mark.skipif(os.geteuid() != 0, reason="the memory of others is read by root alone")
plain = pytest.mark.skipif(sanitized(), reason="a sanitizer's speed and memory are nobody's")


@pytest.fixture
def folder(bench):
    """Where the data goes: nothing may be left of it, and no process that has it as its home."""
    path = bench.folder("data")
    path.chmod(0o711)
    bench.root.chmod(0o711)
    yield path
    assert list(path.iterdir()) == [], "left behind"
    assert left_of(path) == [], "still running"


def left_of(path):
    """The processes of a run in that folder, by what stands in their environment."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/environ", "rb") as environ:
                if f"HOME={path}/".encode() in environ.read():
                    found.append(proc.command_of(int(entry)))
        except OSError:
            pass
    return found


def rows(text):
    """The table: figure -> the other cells."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    assert cells[0] == ["figure", "OpenSSH", "multiSSH", "floor", "ratio", "goal", "met"]
    return {row[0]: row[1:] for row in cells[1:]}


def value(cell):
    return float(cell.split()[0])


@root
@plain
def test_a_quick_run_has_the_whole_table(bench, folder):
    results = bench.path("RESULTS.md")
    results.write_text("# Results\n\n## Another\n\nstays\n\n## multiSSH and an OpenSSH bastion\n\nold\n")
    done = bench.run(*QUICK, "--figures", FIGURES, "--folder", folder, "--results", results, timeout=400).ok()
    table = rows(done.out)
    expected = {f"hub CPU per GiB, ssh -J, {cipher}, {way}": "≤ 0.60" if "AES" in cipher else "≤ 0.42" for cipher in ("AES-GCM", "ChaCha20 (the default)")
                for way in ("down", "up")}
    expected |= {f"hub CPU per GiB, multissh connect, {way}": "≤ 0.30" for way in ("down", "up")}
    expected |= {f"hub CPU per GiB, multissh connect by the relay, {way}": "≤ 1.30" for way in ("down", "up")}
    expected |= {f"throughput, ssh -J, {cipher}, {way}": "≥ 1.30" for cipher in ("AES-GCM", "ChaCha20 (the default)") for way in ("down", "up")}
    expected |= {f"throughput, {what}, AES-GCM, {way}": goal for what, goal in (("multissh connect", "≥ 1.60"), ("nothing between", "-")) for way in ("down", "up")}
    expected |= {f"agent's CPU per GiB beside ssh -R, {cipher}, {way}": "≤ 0.25" for cipher in ("AES-GCM", "ChaCha20 (the default)") for way in ("down", "up")}
    expected |= {"hop to the first byte, as installed": "≤ 0.12" if "multiSSH curve25519" in done.out else "≤ 0.45",
                 "hop to the first byte, curve25519 in both": "-", "hub CPU per jump, as installed": "≤ 0.25", "hub CPU per jump, curve25519 in both": "≤ 0.25",
                 "agent's private memory, no session": "≤ 4.00 MiB", "agent's private memory, a session that moved data": "≤ 4.00 MiB"}
    assert {title: cells[4] for title, cells in table.items()} == expected
    for title, (_, ours, _, ratio, goal, met) in table.items():
        assert value(ours) > 0, title
        if goal == "-":
            assert met == "-", title
        else:
            bound, measured = value(goal[2:]), value(ours if ratio == "-" else ratio)
            assert met == ("yes" if (measured <= bound if goal[0] == "≤" else measured >= bound) else "no"), (title, ratio, goal, met)
    done.says(r"^\* cipher aes128-gcm: aes128-gcm@openssh\.com$")
    done.says(r"^\* /nowhere has no hub with a newer libssh: what needs it is left out")
    written = results.read_text()
    assert "\nold\n" not in written and "stays" in written and rows(written) == table
    picture = xml.etree.ElementTree.fromstring(bench.path("results.svg").read_text())
    words = {element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {title for title, cells in table.items() if cells[0] != "-"} <= words


@root
@plain
def test_idle_users_and_cores(bench, folder):
    done = bench.run(*QUICK, "--figures", "user-memory,cores", "--folder", folder, "--no-results", timeout=400).ok()
    table = rows(done.out)
    theirs, ours, *_ = table["hub memory (PSS) per idle user, 5 of them"]
    # Two processes of sshd's, none of which is a megabyte or a hundred.
    assert 500 < value(theirs) < 20000 and 50 < value(ours), table
    if len(os.sched_getaffinity(0)) > 1:
        assert {f"four at once, {what}, {cores}" for what in ("ssh -J", "multissh connect") for cores in ("1 core", "2 cores", "2 cores by 1")} <= set(table)


@root
@plain
def test_many_machines(bench, folder):
    done = bench.run(*QUICK, "--figures", "fleet,hubs", "--folder", folder, "--no-results", timeout=400).ok()
    table = rows(done.out)
    one, three = "{} with 100 idle machines", "3 hubs with 100 machines each: {}"
    assert {title: cells[4] for title, cells in table.items()} == {
        "hub memory (PSS) per idle machine, 100 of them": "≤ 24.0 KiB", one.format("hub CPU") + ", of a core": "≤ 2.00 %",
        one.format("hub CPU per jump"): "≤ 1.05", one.format("hub CPU per GiB"): "≤ 1.05", "ssh hub list with 100 machines, more than with 10": "≤ 150 ms",
        "100 machines are back after kill -9, from the hub's start": "≤ 30.0 s", "the last one's first try": "≤ 5.00 s",
        "connections dropped by a full accept queue": "0", three.format("memory (PSS) per machine"): "-", three.format("CPU at rest, of a core, each"): "-",
        three.format("the last one's first try after kill -9"): "-", three.format("all are back"): "-"}
    theirs, ours, *_ = table["hub memory (PSS) per idle machine, 100 of them"]
    # A hub's machine is a few objects, a bastion's is two processes.
    assert 5 < value(ours) < value(theirs) / 10, table
    assert 5 < value(table[three.format("memory (PSS) per machine")][1]) < 100, table


def test_a_machine_far_away(bench, folder):
    why = net.unavailable()
    if why:
        pytest.skip(why)
    done = bench.run(*QUICK, "--figures", "wide-one,echo-far", "--folder", folder, "--no-results", timeout=400).ok()
    table = rows(done.out)
    expected = {f"far away, one session, {what}, {way}": "≥ 1.00" for what in ("ssh -J", "multissh connect") for way in ("down", "up")}
    expected |= {f"keystroke echo far away, {part}, bulk {way}, {what}": goal for what in ("ssh -J", "multissh connect") for way in ("down", "up")
                 for part, goal in (("p50", "-"), ("p99", "≤ 0.50"))}
    assert {title: cells[4] for title, cells in table.items()} == expected
    for title, (theirs, ours, *_) in table.items():
        # Nobody is faster than the line.
        assert value(theirs) > 0 and value(ours) > 0 and (min(value(theirs), value(ours)) >= 30 or "echo" not in title), table
    done.says("seed 6")


@root
@plain
def test_a_hub_of_another_folder(bench, folder):
    """What serves the jumps is that folder's; with a broken one there is no figure."""
    done = bench.run(*RUN, "--quick", "--newer", BUILD, "--figures", "hub-cpu", "--folder", folder, timeout=200).ok()
    titles = [title for title in rows(done.out) if title.endswith(", newer libssh")]
    assert len(titles) == 4, done.out
    newer = broken_build(bench, "multissh-front", "#!/bin/sh\necho 'it is broken' >&2\nexit 1\n")
    bench.run(*RUN, "--quick", "--newer", newer, "--figures", "hop-sntrup761", "--folder", folder, timeout=90).failed(1).says(r"^bench: hop-sntrup761: ")


def broken_build(bench, name, script):
    """A build folder in which one program is another."""
    path = bench.folder("build")
    for program in ("multissh-hub", "multissh-front", "multissh-relay", "multissh-agent", "multissh-sshd", "multissh", "bench-relay"):
        if program != name:
            (path / program).symlink_to(BUILD / program)
    (path / name).write_text(script)
    (path / name).chmod(0o755)
    return path


def test_a_program_that_fails(bench, folder):
    build = broken_build(bench, "multissh-agent", "#!/bin/sh\necho 'it is broken' >&2\nexit 1\n")
    done = bench.run(*RUN, "--quick", "--build", build, "--figures", "hop", "--folder", folder, timeout=90).failed(1)
    done.says(r"^bench: hop: the agent ended with status 1:\nit is broken")


def test_a_session_that_fails(bench, folder):
    build = broken_build(bench, "multissh", "#!/bin/sh\necho 'nothing goes' >&2\nexit 255\n")
    done = bench.run(*RUN, "--quick", "--build", build, "--figures", "transfer", "--folder", folder, timeout=120).failed(1)
    done.says(r"^bench: hub-cpu: 'ssh .*' ended with status 255")
    done.says("nothing goes")
    assert "| figure" not in done.out


def test_what_arrives_wrong_does_not_count(bench, folder):
    tools = bench.folder("tools")
    (tools / "ssh").write_text('#!/bin/sh\nssh=$(PATH=${PATH#*:} command -v ssh)\n"$ssh" "$@" || exit\n'
                               'for last; do :; done\ncase $last in "cat "*/source) printf x ;; esac\n')
    (tools / "ssh").chmod(0o755)
    done = bench.run(*QUICK, "--figures", "transfer", "--folder", folder, timeout=120, env={"PATH": f"{tools}:{os.environ['PATH']}"}).failed(1)
    done.says(r"^bench: hub-cpu: openssh, down: what arrived is not what was sent")


def test_what_is_not_there_or_chosen_wrongly(bench, folder):
    bench.run(*RUN, "--quick", "--build", "/nowhere", "--figures", "hop", "--folder", folder).failed(1).says(r"/nowhere/multissh-hub is not there: run make")
    bench.run(*RUN, "--figures", "height").failed(2).says("--figures: height is not one of hub-cpu, ")
    bench.run(*RUN, "--pairs", "0").failed(2).says(r"--pairs, --size.* must be at least 1")
    bench.run(*RUN, "--folder", "/nowhere").failed(2).says("/nowhere is not a folder to write in")
    bench.run(*RUN, "--figures", "transfer", "--folder", folder, "--size", "1000000000", "--no-results").failed(1).says(r"MiB free and \d+ MiB are needed")


def test_an_interrupt_ends_everything(bench, folder):
    """A signal while it measures, and another one: hub, agent, bastion and data are gone."""
    with subprocess.Popen([*RUN, "--figures", "hop", "--pairs", "100000", "--no-results", "--folder", str(folder)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=bench.env(), start_new_session=True) as popen:
        wait_for(lambda: re.search(r"multissh-front", " ".join(left_of(folder))), 60, "a jump is made")
        popen.send_signal(signal.SIGTERM)
        popen.send_signal(signal.SIGINT)
        out, err = popen.communicate(timeout=60)
    assert popen.returncode == 130 and b"interrupted; nothing was written" in err, (out, err)
