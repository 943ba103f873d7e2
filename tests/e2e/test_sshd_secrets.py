"""What the processes of the built-in SSH server hold in memory. Those that are not the one that speaks SSH become, or fork what becomes, an account."""
import base64
import re

import pytest
from conftest import root_only, worlds
from kit import builtin as kit
from kit.bench import sanitized
from kit.builtin import BuiltIn, Visitor, password_hash
from kit.wait import wait_for

bench, world = worlds(kinds=("root",))
LARGEST = 1 << 30  # of a mapping; a sanitizer's own are larger


@pytest.fixture(scope="module")
def server(world):
    return kit.server(world)


def traces_of(text):
    """What of an OpenSSH private key file is secret: the key as bytes, and as it stands in the file, whatever is before it."""
    encoded = "".join(text.splitlines()[1:-1])
    raw = base64.b64decode(encoded)
    at = raw.rindex(b"\0\0\0\x40") + 4
    first = at * 4 // 3 + 4
    return [raw[at:at + 32], encoded[first:first + 32].encode()]


def holds(pid, traces):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            start, end, modes, name = re.match(r"(\w+)-(\w+) (\S+) \S+ \S+ \S+\s*(.*)", line).groups()
            start, end = int(start, 16), int(end, 16)
            if "rw" not in modes or name.startswith("[v") or end - start > LARGEST:
                continue
            memory.seek(start)
            data = memory.read(end - start)
            if any(trace in data for trace in traces):
                return True
    return False


def owners(world):
    """The server's processes by the account that they are: uid -> pids."""
    found = {}
    for pid in world.find(r"multissh-sshd .*--inetd"):
        with open(f"/proc/{pid}/status") as status:
            uid = int(re.search(r"^Uid:\s+(\d+)", status.read(), re.M).group(1))
        found.setdefault(uid, []).append(pid)
    return found


@root_only
def test_the_host_key_is_where_ssh_is_spoken_and_nowhere_else(bench, world, server):
    visitor = Visitor(server, "alice")
    agent = bench.path("agent.sock")
    process = bench.start("ssh-agent", "ssh-agent", "-D", "-a", agent)
    wait_for(agent.exists, 5)
    alice = world.accounts["alice"].uid
    talk = visitor.talk("echo up; cat", options=["-A", "-o", f"IdentityAgent={agent}"])
    assert talk.stdout.readline() == b"up\n"
    traces = traces_of(world.read(f"{server.state}/ssh_host_ed25519_key"))
    found = owners(world)
    assert len(found[0]) == 1 and len(found[alice]) == 1, "the monitor, and the agent's helper, which is the account"
    speakers = [pid for uid, pids in found.items() if uid not in (0, alice) for pid in pids]
    assert len(speakers) == 1 and holds(speakers[0], traces), "what is looked for can be found"
    assert not holds(found[0][0], traces)
    assert not holds(found[alice][0], traces)
    talk.stdin.close()
    assert talk.wait(10) == 0
    process.stop()


@root_only
@pytest.mark.skipif(sanitized(), reason="the sanitizer keeps what is freed")
def test_nothing_of_passwords_is_left(bench, world):
    """Neither the one that was typed, but where SSH is spoken (the library's), nor the hashes of other accounts."""
    typed, other = "correct horse battery", "$6$" + "others" * 12
    world.account("grace", hash=password_hash(typed))
    world.account("heidi", hash=other)
    server = BuiltIn(world, "--passwords=yes")
    askpass = bench.path("askpass")
    askpass.write_text(f"#!/bin/sh\necho {typed}\n")
    askpass.chmod(0o700)
    visitor = Visitor(server, "grace", authorize=False)
    talk = visitor.talk("echo up; cat", options=["-o", "BatchMode=no", "-o", "PubkeyAuthentication=no"],
                        env={"SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"})
    assert talk.stdout.readline() == b"up\n"
    found = owners(world)
    assert holds(found[0][0], [b"grace"]), "what is looked for can be found"
    for uid, pid in ((uid, pid) for uid, pids in found.items() for pid in pids):
        assert uid != 0 or not holds(pid, [typed.encode()]), "the password, in the monitor"
        assert not holds(pid, [other.encode()]), f"another account's hash, in the process that is {uid}"
    talk.stdin.close()
    assert talk.wait(10) == 0
