"""Streams whose user's side is a connection of its own."""
import re

from conftest import setup
from kit.wire import Stream

bench, hub, alice, admin, sshd, web01 = setup("module")


def ticket_of(user, name="web01"):
    result = user.hub_says("ticket", name).ok()
    match = re.fullmatch(r"MULTISSH-TICKET/1 (\S+=\S+(?: \S+=\S+)*)\n", result.out)
    assert match, result.out
    fields = dict(word.split("=", 1) for word in match.group(1).split(" "))
    assert set(fields) == {"machine", "host", "port", "ticket", "key", "window", "patience_ms", "pin"}, fields
    return fields


def test_smoke(hub, alice, web01):
    fields = ticket_of(alice)
    key = bytes.fromhex(fields["key"])
    stream = Stream(hub, fields["ticket"], key, edge="a").prove()
    assert stream.next()[0] == Stream.PROOF
    kind, payload = stream.next()
    while kind != Stream.DATA:
        kind, payload = stream.next()
    assert payload[8:].startswith(b"SSH-2.0-")
