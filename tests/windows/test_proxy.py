"""The way to the hub that Windows is set to use: by the user, by hand or by a script, and for the machine; and what is excepted from it."""
import contextlib
import struct

from conftest import need, setup
from kit.wait import free_port, listening, wait_for
from kit.wine import WinAgent

bench, hub, alice, winbox = setup("function")

SETTINGS = "Software\\Microsoft\\Windows\\CurrentVersion\\Internet Settings\\Connections"
USER = (f"HKCU\\{SETTINGS}", "DefaultConnectionSettings")
MACHINE = (f"HKLM\\{SETTINGS}", "WinHttpSettings")
BY_HAND, SCRIPT = 3, 5
# The hub by an address that is not one of this host, as far as a list of exceptions can tell.
ELSEWHERE = "0.0.0.0"


def text(words):
    return struct.pack("<I", len(words)) + words.encode()


@contextlib.contextmanager
def setting(bench, prefix, where, data):
    """As the control panel, or netsh, writes it."""
    key, name = where
    reg = "C:\\windows\\system32\\reg.exe"
    prefix.run(bench, reg, "add", key, "/v", name, "/t", "REG_BINARY", "/d", data.hex(), "/f").ok()
    try:
        yield
    finally:
        prefix.run(bench, reg, "delete", key, "/v", name, "/f").ok()


def users(flags, proxy="", exceptions="", script=""):
    return struct.pack("<III", 0x46, 1, flags) + text(proxy) + text(exceptions) + text(script) + bytes(32)


class Proxy:
    """tinyproxy, which lets through to the hub alone."""

    def __init__(self, bench, hub):
        need("tinyproxy")
        self.port = free_port()
        config = bench.path("tinyproxy.conf")
        config.write_text(f"Port {self.port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 50\nAllow 127.0.0.1\nConnectPort {hub.port}\nLogLevel Connect\n")
        self.process = bench.start("tinyproxy", "tinyproxy", "-d", "-c", config)
        wait_for(lambda: listening(self.port), 10)

    def used(self):
        return self.process.log().count("CONNECT")


def through(bench, hub, alice, prefix, proxy, *flags):
    """An agent that comes, and a session, both by way of the proxy."""
    WinAgent(bench, hub, prefix, "winbox", users=[alice], command_flags=["--log-level", "debug", *flags]).wait_ssh("built-in", "ok")
    assert alice.jump("winbox", "echo hello").ok().out == "hello\r\n"
    assert proxy.used() >= 2, "control connection and stream"


def test_what_the_user_has_entered(bench, hub, alice, prefix):
    proxy = Proxy(bench, hub)
    listed = f"http=192.0.2.1:1;https=127.0.0.1:{proxy.port};socks=192.0.2.1:1"
    with setting(bench, prefix, USER, users(BY_HAND, listed, "*.example;<local>;<-loopback>")):
        through(bench, hub, alice, prefix, proxy)


def test_what_is_set_for_the_machine(bench, hub, alice, prefix):
    proxy = Proxy(bench, hub)
    data = struct.pack("<III", 0x18, 0, 2) + text(f"127.0.0.1:{proxy.port}") + text("<-loopback>") + bytes(32)
    with setting(bench, prefix, MACHINE, data):
        through(bench, hub, alice, prefix, proxy)


def serve_script(bench, body):
    folder = bench.folder("script")
    (folder / "proxy.pac").write_text(body)
    port = free_port()
    bench.start("http", "/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", folder, port)
    wait_for(lambda: listening(port), 10)
    return f"http://127.0.0.1:{port}/proxy.pac"


def test_what_a_script_says(bench, hub, alice, prefix):
    proxy = Proxy(bench, hub)
    url = serve_script(bench, f'function FindProxyForURL(url, host) {{ return host == "{ELSEWHERE}" ? "PROXY 127.0.0.1:{proxy.port}; DIRECT" : "DIRECT"; }}\n')
    with setting(bench, prefix, USER, users(SCRIPT, script=url)):
        through(bench, hub, alice, prefix, proxy, "--hub", f"{ELSEWHERE}:{hub.port}")


def test_a_script_that_is_not_there_is_named_and_none_is_used(bench, hub, alice, prefix):
    url = f"http://127.0.0.1:{free_port()}/proxy.pac"
    with setting(bench, prefix, USER, users(SCRIPT, script=url)):
        agent = WinAgent(bench, hub, prefix, "winbox", users=[alice], command_flags=["--hub", f"{ELSEWHERE}:{hub.port}"])
        assert f"the script that names the proxy, {url}, cannot be asked" in agent.log()
        agent.wait_ssh("built-in", "ok")
        assert alice.jump("winbox", "echo hello").ok().out == "hello\r\n"


def test_a_hub_on_this_machine_is_reached_directly(bench, hub, prefix):
    """Unless the exceptions say otherwise, whatever the proxy."""
    with setting(bench, prefix, USER, users(BY_HAND, "127.0.0.1:1", "*.example")):
        assert "proxy" not in WinAgent(bench, hub, prefix, "winbox").log()


def test_exceptions_are_heeded(bench, hub, prefix):
    with setting(bench, prefix, USER, users(BY_HAND, "127.0.0.1:1", f"*.example;{ELSEWHERE}:{hub.port};<-loopback>")):
        assert "proxy" not in WinAgent(bench, hub, prefix, "winbox", command_flags=["--hub", f"{ELSEWHERE}:{hub.port}"]).log()


def test_none_is_none(bench, hub, prefix):
    with setting(bench, prefix, USER, users(BY_HAND, "127.0.0.1:1", "<-loopback>")):
        agent = WinAgent(bench, hub, prefix, "winbox", wait=False)
        agent.wait_log(r"proxy 127\.0\.0\.1:1: .*refused", 20)
        agent.stop()
        agent.run("--proxy", "none")
        hub.wait_online("winbox")
