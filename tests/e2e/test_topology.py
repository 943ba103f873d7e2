"""The real topology: user — NAT — internet with the hub — NAT — machine."""
import os
import re

from test_agent_network import start_homes


def test_nothing_can_connect_to_the_machine_and_the_jump_works(bench, net):
    hosts, hub, user, agent = start_homes(bench, net)
    assert hosts["machine"].can_connect("127.0.0.1", 2022), "its sshd is there"
    for host in ("hub", "user", "inet"):
        for address in ("192.0.2.2", "10.77.1.2"):
            if host == "user" and address == "10.77.1.2":
                continue  # its own address
            assert not hosts[host].can_connect(address, 2022, 0.4), f"{host} reaches the machine at {address}"
    assert user.hub_says().ok().out.endswith("\nweb01\n")
    done = user.jump("web01", "hostname; echo $SSH_CONNECTION").ok()
    assert re.match(r"127\.\d+\.\d+\.\d+ ", done.out.splitlines()[1]), done
    data = os.urandom(8 << 20)
    assert user.jump("web01", "cat", input=data).ok().raw == data
    # The hub sees both through their NATs.
    sessions = user.jump_popen("web01", "echo up; cat")
    assert sessions.stdout.readline() == b"up\n"
    assert "198.51.100.2" in hub.command("sessions").out
    assert "192.0.2.2" in hub.command("list", "-l").out + hub.command("list", "--json").out
    assert agent.process.running()


def test_a_lossy_line(bench, net):
    """One packet in a hundred is lost, in both directions."""
    hosts, hub, user, _ = start_homes(bench, net)
    hosts["nat-m"].nft("table ip loss {", "chain forward {", "type filter hook forward priority 10", "numgen random mod 100 < 1 counter drop", "}", "}")
    data = os.urandom(4 << 20)
    assert user.jump("web01", "cat", input=data, timeout=120).ok().raw == data
    assert hub.is_online("web01")
    dropped = re.search(r"packets (\d+)", hosts["nat-m"].run("nft", "list", "table", "ip", "loss").stdout)
    assert int(dropped.group(1)) > 0, "nothing was lost: this showed nothing"
