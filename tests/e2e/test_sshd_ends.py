"""How sessions end: the status is told once the program has exited and what it wrote has been sent, and before the end of the output;
what others go on to write holds nothing up; and a bulk transfer leaves room for the others on its connection."""
import threading

import pytest
from conftest import worlds
from kit import builtin as kit
from kit.builtin import Visitor
from kit.wait import wait_for

FLOOD = "(while [ ! -e enough ]; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx || exit; done) &"


bench, world = worlds()


@pytest.fixture(scope="module")
def server(world):
    return kit.server(world)


@pytest.fixture(scope="module")
def alice(server):
    return Visitor(server, "alice")


@pytest.fixture
def master(alice, bench):
    path = bench.path(f"cm{bench.number()}")
    options = ("-o", f"ControlPath={path}")
    alice.run("true", options=(*options, "-o", "ControlMaster=yes", "-o", "ControlPersist=60")).ok()
    yield options
    alice.run(options=(*options, "-O", "exit"))


def test_the_status_comes_before_the_end_of_the_output(alice, master):
    """A client whose input has ended closes the channel when the output ends, and then takes no status any more."""
    got = {}

    def one(number):
        got[number] = alice.run(f"echo {number}; exit {number}", options=master, input="")
    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {number: (done.status, done.out) for number, done in got.items()} == {number: (number, f"{number}\n") for number in range(1, 25)}


def test_a_program_outlives_its_output(alice):
    done = alice.run("exec >&- 2>&-; sleep 1.5; exit 4", input="")
    assert done.status in (4, 255) and done.out == "", done
    assert done.took > 0.9, "the end of the output is not the end of the program"


def test_others_who_flood_a_terminal_do_not_hold_it(alice, server):
    try:
        done = alice.run(f"trap '' HUP; {FLOOD} sleep 0.2; exit 3", options=("-tt",), timeout=30)
        assert done.status == 3 and "xxxx" in done.out
    finally:
        server.world.end_processes()


def test_others_who_flood_a_pipe_do_not_hold_the_status(alice, server):
    """The output goes on, for it is open; the status is there."""
    (server.world.home("alice") / "enough").unlink(missing_ok=True)
    popen = alice.talk(f"{FLOOD} sleep 0.2; exit 3", options=("-v",))
    seen = []
    threading.Thread(target=lambda: [seen.append(line) for line in popen.stderr], daemon=True).start()
    reader = threading.Thread(target=lambda: [None for _ in iter(lambda: popen.stdout.read(65536), b"")], daemon=True)
    reader.start()
    wait_for(lambda: any(b"exit-status" in line for line in seen), 20)
    assert popen.poll() is None and reader.is_alive()
    server.world.write_home("alice", "enough", "")
    assert popen.wait(20) == 3


@pytest.mark.parametrize("down", [True, False], ids=["down", "up"])
def test_a_bulk_transfer_leaves_room(alice, server, master, down):
    bulk = alice.talk("cat /dev/zero" if down else "cat >/dev/null", options=master)
    stop = threading.Event()

    def move():
        try:
            while not stop.is_set() and (bulk.stdout.read(1 << 16) if down else bulk.stdin.write(bytes(1 << 16))):
                pass
        except (BrokenPipeError, ValueError):
            pass
    mover = threading.Thread(target=move, daemon=True)
    mover.start()
    for number in range(5):
        done = alice.run(f"echo {number}", options=master, timeout=20).ok()
        assert done.out == f"{number}\n" and done.took < 10, done
    assert mover.is_alive(), "the transfer went on meanwhile"
    stop.set()
    bulk.kill()
    bulk.wait()
    server.world.end_processes()
