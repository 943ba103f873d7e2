"""The clients of test_clients.py, through the hub to a machine that has the built-in SSH server alone."""
import types

import pytest
from conftest import setup
from test_builtin import Builtin, host_key
from test_clients import (  # noqa: F401 (pytest finds them here)
    dropbear,
    putty,
    test_algorithms,
    test_asyncssh,
    test_dbclient,
    test_dbclient_multihop,
    test_paramiko,
    test_plink,
    test_psftp,
)

bench, hub, alice, admin, _, _ = setup("module")


@pytest.fixture(scope="module")
def web01(bench, hub, alice):
    agent = Builtin(bench, hub, "web01", [alice])
    agent.wait_ssh("built-in", "ok")
    key = bench.path("web01-key")
    key.with_name(f"{key.name}.pub").write_text(host_key(agent) + "\n")
    agent.sshd = types.SimpleNamespace(host_key=key)
    return agent
