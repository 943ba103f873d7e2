"""`make bench` in small: every transfer with every cipher is measured and is right; what fails is said, and nothing stays behind."""
import os
import re
import signal
import subprocess
import sys

import pytest
from kit import proc
from kit.bench import BUILD, ROOT, sanitized
from kit.wait import wait_for

pytestmark = pytest.mark.slow
BENCH = [sys.executable, str(ROOT / "bench" / "sshd.py"), "--build", str(BUILD), "--quick"]


@pytest.fixture
def folder(bench):
    """Where the data goes: nothing may be left of it."""
    path = bench.folder("data")
    yield path
    assert list(path.iterdir()) == [], "left behind"


def rows(text):
    """The table: transfer and cipher -> the other cells."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    return {(row[0], row[1]): row[2:] for row in cells[1:]}


@pytest.mark.skipif(sanitized(), reason="a sanitizer's speed is nobody's")
def test_a_quick_run_has_the_whole_table(bench, folder):
    results = bench.path("RESULTS.md")
    results.write_text("# Results\n\n## Another\n\nstays\n\n## multissh-sshd and OpenSSH's sshd\n\nold\n\n## Last\n\nstays too\n")
    done = bench.run(*BENCH, "--folder", folder, "--results", results, timeout=180).ok()
    table = rows(done.out)
    assert set(table) == {(f"{tool} {way}, {load}", cipher) for tool in ("scp", "sftp") for way in ("up", "down") for load in ("4 MiB", "20 files")
                          for cipher in ("default", "aes128-gcm")}
    for cells in table.values():
        assert all(re.fullmatch(r"\d+ (MiB|files)/s", cell) for cell in cells[:2]), cells
        assert float(cells[2]) > 0 and float(cells[4].split()[0]) > 0 and float(cells[5].split()[0]) > 0, cells
    assert "aes128-gcm@openssh.com" in done.out
    written = results.read_text()
    assert "\nold\n" not in written and rows(written) == table
    assert [line for line in written.splitlines() if line.startswith("## ")] == ["## Another", "## multissh-sshd and OpenSSH's sshd", "## Last"]


def test_a_server_that_fails(bench, folder):
    broken = bench.path("broken")
    broken.write_text("#!/bin/sh\necho 'it is broken' >&2\nexit 1\n")
    broken.chmod(0o755)
    done = bench.run(*BENCH, "--folder", folder, "--server", broken, timeout=60).failed(1)
    done.says(r"^bench: 'ssh .*' ended with status 255")
    done.says("The server's log:\nit is broken")


def test_a_server_that_is_not_there(bench, folder):
    bench.run(*BENCH, "--folder", folder, "--server", "/nowhere/multissh-sshd").failed(1).says(r"/nowhere/multissh-sshd is not there: run make")


def test_no_room(bench, folder):
    done = bench.run(*[word for word in BENCH if word != "--quick"], "--folder", folder, "--size", "1000000000", "--no-results").failed(1)
    done.says(r"MiB free and \d+ MiB are needed")


def test_what_is_chosen_wrongly(bench):
    bench.run(*BENCH, "--programs", "ftp").failed(2).says("--programs: ftp is not one of scp, sftp")
    bench.run(*BENCH[:-1], "--pairs", "0").failed(2).says("must be at least 1")


def test_an_interrupt_ends_everything(bench, folder):
    """^C in the middle of a transfer: the server, too, is gone, and so is the data."""
    stuck = bench.path("stuck")
    stuck.write_text("#!/bin/sh\necho $$ >>%s\nexec sleep 1000\n" % bench.path("pids"))
    stuck.chmod(0o755)
    with subprocess.Popen([*BENCH, "--folder", str(folder), "--server", str(stuck)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=bench.env(),
                          start_new_session=True) as popen:
        wait_for(lambda: bench.path("pids").exists() and bench.path("pids").read_text().endswith("\n"), 30, "the server was started")
        os.killpg(popen.pid, signal.SIGINT)
        out, err = popen.communicate(timeout=20)
    assert popen.returncode == 130 and b"interrupted; nothing was written" in err, (out, err)
    assert not proc.command_of(int(bench.path("pids").read_text()))

