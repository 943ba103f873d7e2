"""Other clients than OpenSSH, through the hub to the Windows machine."""
import asyncio

import pytest
from conftest import PROBE, need, setup
from kit.wine import ME
from test_exec import counted, paramiko_to

bench, hub, alice, winbox = setup()


def fingerprint(bench, public):
    path = bench.path(f"key.{bench.number()}.pub")
    path.write_text(public + "\n")
    return bench.run("ssh-keygen", "-lf", path).ok().out.split()[1]


@pytest.fixture
def putty(winbox, alice, hub, bench):
    """plink's options for the machine."""
    need("plink", "psftp", "pscp", "puttygen")
    hub_key = fingerprint(bench, (hub.state / "ssh_host_ed25519_key.pub").read_text().strip())
    outer = ["-batch", "-ssh", "-i", alice.ppk(), "-hostkey", hub_key, "-P", hub.port, "-l", "alice"]
    proxy = " ".join(map(str, ["plink", *outer, "-nc", "%host:%port", hub.address]))
    return ["-batch", "-i", alice.ppk(), "-hostkey", fingerprint(bench, winbox.row()["host_keys"][0]), "-proxycmd", proxy]


def test_plink(putty, bench):
    done = bench.run("plink", *putty, f"{ME}@winbox", f"{PROBE} cat & exit 5", input=b"through plink\n" * 20000)
    assert (done.status, done.out) == (5, "through plink\n" * 20000), done.err


def test_plink_terminal(putty, bench):
    done = bench.run("plink", "-t", *putty, f"{ME}@winbox", f"{PROBE} console & exit 4")
    assert done.status == 4 and "in console" in done.out, done


def test_psftp(putty, bench, prefix):
    source = bench.path("source")
    source.write_bytes(bytes(range(256)) * 8192)
    folder = prefix.folder("psftp")
    there = "/" + prefix.windows(folder).replace("\\", "/")
    batch = bench.path("batch")
    batch.write_text(f"cd {there}\nput {source} there.bin\nget there.bin {bench.root}/back\nls\nmkdir sub\nmv there.bin sub/moved.bin\nls sub\n")
    done = bench.run("psftp", *putty, "-b", batch, f"{ME}@winbox").ok()
    assert (bench.root / "back").read_bytes() == source.read_bytes() == (folder / "sub/moved.bin").read_bytes()
    assert "moved.bin" in done.out
    bench.run("pscp", *putty, source, f"{ME}@winbox:{there}/by-pscp.bin").ok()
    assert (folder / "by-pscp.bin").read_bytes() == source.read_bytes()


def test_paramiko(winbox, alice, bench):
    connection = paramiko_to(bench, alice)
    stdin, out, err = connection.exec_command(f"{PROBE} cat & echo aside 1>&2& exit 7")
    stdin.write(b"through paramiko\n" * 20000)
    stdin.channel.shutdown_write()
    assert out.read() == b"through paramiko\n" * 20000
    assert err.read().strip() == b"aside" and out.channel.recv_exit_status() == 7
    terminal = connection.invoke_shell(width=100, height=30)
    terminal.send("exit 3\r")
    assert terminal.status_event.wait(20) and terminal.recv_exit_status() == 3
    connection.close()


def test_asyncssh(winbox, alice, hub):
    import asyncssh

    options = {"known_hosts": None, "client_keys": [str(alice.key)], "agent_path": None, "config": None}

    async def talk():
        async with asyncssh.connect(hub.address, hub.port, username="alice", **options) as outer:
            async with asyncssh.connect("winbox", 22, username=ME, tunnel=outer, **options) as inner:
                result = await inner.run(f"{PROBE} cat & exit 8", input="through asyncssh\n" * 20000)
                assert (result.exit_status, result.stdout) == (8, "through asyncssh\n" * 20000)
                results = await asyncio.gather(*(inner.run(f"{PROBE} count 1000 & exit {n}", encoding=None) for n in range(10)))
                assert [(r.exit_status, r.stdout) for r in results] == [(n, counted(1000)) for n in range(10)]
                async with inner.start_sftp_client() as sftp:
                    assert await sftp.exists("/C:/windows")

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_dbclient(winbox, alice, hub, bench):
    need("dbclient", "dropbearconvert")
    key = bench.path("dropbear-key")
    bench.run("dropbearconvert", "openssh", "dropbear", alice.key, key).ok()
    words = ["dbclient", "-y", "-y", "-i", key]
    proxy = " ".join(map(str, [*words, "-p", hub.port, "-B", "winbox:22", f"alice@{hub.address}"]))
    assert "hello" in bench.run(*words, "-J", proxy, f"{ME}@winbox", "echo hello", timeout=30).out
