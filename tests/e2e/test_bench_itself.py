"""The bench proven with stock parts: a jump through an OpenSSH bastion, the NATs, the search for faults. When these fail, the others
prove nothing."""
import os
import sys

import pytest
from conftest import plain_only

from kit.net import two_homes
from kit.parts import ME, Sshd, User
from kit.proc import Proc

pytestmark = [pytest.mark.no_programs, plain_only]


class Bastion:
    """An sshd in the hub's place."""

    def __init__(self, sshd):
        self.address, self.port = sshd.address, sshd.port


def test_jump_through_a_bastion(bench):
    bastion, machine = Sshd(bench), Sshd(bench)
    user = User(bench, ME).knows(Bastion(bastion))
    bastion.allow(user)
    machine.allow(user)
    done = user.ssh("-J", "hub", "-p", machine.port, f"{ME}@127.0.0.1", "echo through; exit 3")
    assert (done.status, done.out) == (3, "through\n"), done


def test_two_homes_let_nothing_in(bench, net):
    hosts = two_homes(net)
    bastion = Sshd(bench, address="203.0.113.10", netns=hosts["hub"], port=2222)
    machine = Sshd(bench, address="10.77.1.2", netns=hosts["machine"], port=2223)
    assert hosts["nat-m"].can_connect("10.77.1.2", 2223), "the machine's sshd is there"
    assert not hosts["hub"].can_connect("192.0.2.2", 2223, 0.5), "the NAT lets the hub in"
    assert not hosts["user"].can_connect("192.0.2.2", 2223, 0.5), "the NAT lets the user in"
    user = User(bench, ME, netns=hosts["user"]).knows(Bastion(bastion))
    bastion.allow(user)
    machine.allow(user)
    assert user.hub_says("echo $SSH_CLIENT").ok().out.startswith("198.51.100.2 "), "the user's address is masqueraded"


def test_faults_are_found(bench):
    crash = Proc(bench, "crash", [sys.executable, "-c", "import os; os.abort()"])
    crash.popen.wait()
    assert "signal 6" in crash.complaint()
    report = Proc(bench, "report", ["sh", "-c", "echo '==1==ERROR: AddressSanitizer: heap-use-after-free' >&2; exit 1"])
    report.popen.wait()
    assert "AddressSanitizer" in report.complaint()
    fine = Proc(bench, "fine", ["sh", "-c", "exit 1"])
    fine.popen.wait()
    assert fine.complaint() is None
    for process in (crash, report):
        bench.procs.remove(process)


def test_orphans_are_ended(bench):
    bench.start("parent", "sh", "-c", "sleep 1000 & echo $! >left; exit 0").popen.wait()
    pid = int((bench.root / "left").read_text())
    os.kill(pid, 0)
    assert bench.close() == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
