"""What make check does with a test that failed: scripts/once-more.py and scripts/count-tests.py, with suites of pytest's and ctest's own making."""
import shutil
import subprocess
import sys

import pytest
from conftest import plain_only
from kit.bench import ROOT

pytestmark = plain_only

PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
SUITE = '''
import os, pathlib, pytest
here = pathlib.Path(__file__).parent

def first(name):
    try:
        (here / name).touch(exist_ok=False)
        return True
    except FileExistsError:
        return False

@pytest.fixture
def broken_once():
    yield
    assert not first("teardown")

def test_steady(): pass
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.parametrize("what", ["a.b::c [1]", "x"])
def test_unsteady(what): assert what == "x" or not first("unsteady")
def test_at_its_end(broken_once): pass
'''


@pytest.fixture
def suite(tmp_path):
    def run(text, *more):
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        (tmp_path / "test_it.py").write_text(text)
        results = tmp_path / "results.xml"
        first = subprocess.run([*PYTEST, tmp_path, "--junit-xml", results, *more], capture_output=True, text=True, check=False)
        again = subprocess.run([ROOT / "scripts/once-more.py", results, *PYTEST, f"{tmp_path}/{{}}"], capture_output=True, text=True, check=False)
        count = subprocess.run([ROOT / "scripts/count-tests.py", results], capture_output=True, text=True, check=False)
        return first, again, count
    return run


def test_what_passes_alone_is_unsteady(suite):
    first, again, count = suite(SUITE)
    assert first.returncode == 1 and again.returncode == 0, again
    assert [line for line in again.stdout.splitlines() if line.startswith("unsteady")] == [
        "unsteady: test_it.py::test_unsteady[a.b::c [1]]", "unsteady: test_it.py::test_at_its_end"]
    # The call of a test that failed at its end passed.
    assert (count.returncode, count.stdout) == (0, "2 passed, 0 failed, 1 skipped, 2 unsteady\n"), (first, count)


def test_what_fails_again_fails(suite):
    first, again, count = suite(SUITE + "def test_broken(): assert False\n")
    assert again.returncode == 1 and "failed twice: test_it.py::test_broken\n" in again.stdout, again
    assert (count.returncode, count.stdout) == (1, "2 passed, 1 failed, 1 skipped, 2 unsteady\n"), (first, count)


def test_more_than_five_are_not_tried(suite):
    first, again, count = suite(SUITE + "@pytest.mark.parametrize('n', range(6))\ndef test_broken(n): assert not first(f'broken{n}')\n")
    assert again.returncode == 1 and "8 tests failed" in again.stdout and "alone" not in again.stdout, again
    assert count.returncode == 1 and ", 8 failed, 1 skipped, 0 unsteady" in count.stdout, (first, count)


def test_what_is_no_test_of_its_own_fails(suite, tmp_path):
    first, again, count = suite("import nothing_of_this_name\n")
    assert first.returncode == 2 and again.returncode == 1 and count.returncode == 1, (first, again, count)
    missing = subprocess.run([ROOT / "scripts/once-more.py", tmp_path / "none.xml", "true"], capture_output=True, text=True, check=False)
    assert missing.returncode == 1 and "no results" in missing.stdout


def test_ctest(tmp_path):
    if not shutil.which("ctest"):
        pytest.skip("ctest is not installed")
    (tmp_path / "CTestTestfile.cmake").write_text(
        f'add_test(unit_steady "true")\nadd_test(unit_unsteady "sh" "-c" "rm {tmp_path}/unsteady")\nadd_test(unit_unsteady_2 "false")\n')
    ctest = ["ctest", "--test-dir", tmp_path]
    results = tmp_path / "results.xml"
    assert subprocess.run([*ctest, "--output-junit", results], capture_output=True, check=False).returncode != 0
    (tmp_path / "unsteady").touch()
    again = subprocess.run([ROOT / "scripts/once-more.py", results, *ctest, "-R", "^{}$"], capture_output=True, text=True, check=False)
    assert again.returncode == 1 and "unsteady: unit_unsteady\n" in again.stdout and "failed twice: unit_unsteady_2\n" in again.stdout, again
    count = subprocess.run([ROOT / "scripts/count-tests.py", results], capture_output=True, text=True, check=False)
    assert count.stdout == "1 passed, 1 failed, 0 skipped, 1 unsteady\n", count
