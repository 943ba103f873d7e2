"""Files of the Windows machine by sftp and scp: drives, paths as Windows has them, long ones, and the clients that people use."""
import hashlib
import os
import random
import re
import stat

import pytest
from conftest import need, setup
from kit.wine import ME, WinAgent
from test_exec import paramiko_to

bench, hub, alice, winbox = setup()
TREE = {"a.txt": b"one\n", "empty": b"", "sub/deep/er.bin": bytes(range(256)) * 300, "sub/ümläut 日本語 😀.txt": b"letters", "sub/with blanks and 'marks'!.txt": b"x"}


@pytest.fixture
def folder(prefix):
    """On the Windows machine, seen from here."""
    return prefix.folder("files")


@pytest.fixture
def there(folder, prefix):
    """The same as sftp names it."""
    return sftp_path(prefix, folder)


@pytest.fixture
def here(bench):
    return bench.folder("here")


@pytest.fixture
def sftp(bench, alice, winbox):
    """Runs a batch of sftp; a line that begins with - may fail."""
    def run(*lines, options=(), timeout=60):
        batch = bench.path(f"batch.{bench.number()}")
        batch.write_text("".join(line + "\n" for line in lines))
        return bench.run("sftp", *alice.options(), "-J", "hub", "-b", batch, *options, f"{ME}@winbox", timeout=timeout)
    return run


@pytest.fixture
def files(bench, alice, winbox):
    """paramiko's SFTP client."""
    connection = paramiko_to(bench, alice)
    client = connection.open_sftp()
    yield client
    client.close()
    connection.close()


def sftp_path(prefix, path):
    return "/" + prefix.windows(path).replace("\\", "/")


def plant(folder, tree=None):
    for name, data in (tree or TREE).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def found(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- OpenSSH's sftp ---

def test_it_begins_in_the_profile(sftp, prefix):
    done = sftp("pwd").ok()
    assert done.out.lower().rstrip().endswith(sftp_path(prefix, prefix.profile).lower()), done


def test_the_drives(sftp):
    lines = sftp("ls -1 /").ok().out.splitlines()
    drives = [line.strip("/") for line in lines if not line.startswith("sftp>")]
    assert {"C:", "Z:"} <= set(drives), drives
    assert re.search(r"^drw\S* .* /?C:", sftp("ls -l /").ok().out, re.M)
    assert "windows" in sftp("ls -1 /C:/").ok().out
    assert "windows" in sftp("ls -1 /c:/").ok().out, "whatever the case"
    for line in ("mkdir /X:", "mkdir /new", "rm /C:", "rmdir /C:/", "rename /C: /D:", "put /etc/hostname /file"):
        assert sftp(line).status != 0, line


def test_put_and_get(sftp, folder, there, here):
    data = random.Random(2).randbytes(5_000_123)
    (here / "source").write_bytes(data)
    sftp(f"put {here}/source {there}/target", f"get {there}/target {here}/back").ok()
    assert (folder / "target").read_bytes() == data and (here / "back").read_bytes() == data


@pytest.mark.slow
def test_100_megabytes_each_way(sftp, folder, there, here):
    data = random.Random(3).randbytes(100 << 20)
    (here / "source").write_bytes(data)
    sftp(f"put {here}/source {there}/big", f"get {there}/big {here}/back", timeout=200).ok()
    wanted = hashlib.sha256(data).digest()
    for path in (folder / "big", here / "back"):
        assert hashlib.sha256(path.read_bytes()).digest() == wanted, path


def test_whole_trees(sftp, folder, there, here):
    plant(here)
    sftp(f"put -R {here} {there}/tree").ok()
    assert found(folder / "tree") == TREE
    sftp(f"get -R {there}/tree {here}-back").ok()
    assert found(here.with_name(here.name + "-back")) == TREE


def test_times_and_modes(sftp, folder, there, here):
    (here / "file").write_bytes(b"x")
    os.utime(here / "file", (1_000_000_000, 1_234_567_890))
    sftp(f"put -p {here}/file {there}/file", f"get -p {there}/file {here}/back").ok()
    assert int((folder / "file").stat().st_mtime) == 1_234_567_890
    assert int((here / "back").stat().st_mtime) == 1_234_567_890
    listed = sftp(f"ls -l {there}").ok().out
    assert re.search(r"^-r\S+ .* 1 .*2009.* \S*file$", listed, re.M), listed
    sftp(f"chmod 444 {there}/file").ok()
    assert re.search(r"^-r--r--r--", sftp(f"ls -l {there}").ok().out, re.M)
    sftp(f"chmod 644 {there}/file", f"rm {there}/file").ok()


def test_names_are_changed(sftp, folder, there):
    plant(folder)
    sftp(f"rename {there}/a.txt {there}/b.txt", f"mkdir {there}/new", f"rename {there}/b.txt {there}/new/c.txt", f"rename {there}/sub {there}/new/sub").ok()
    assert (folder / "new/c.txt").read_bytes() == b"one\n" and (folder / "new/sub/deep/er.bin").exists()
    sftp(f"rename {there}/new/c.txt {there}/empty").ok()
    assert (folder / "empty").read_bytes() == b"one\n", "as POSIX has it: what was there is replaced"


def test_the_case_does_not_count(sftp, folder, there, here):
    plant(folder)
    sftp(f"get {there.upper()}/A.TXT {here}/got").ok()
    assert (here / "got").read_bytes() == b"one\n"
    (here / "other").write_bytes(b"two\n")
    sftp(f"put {here}/other {there}/A.txt").ok()
    assert sorted(os.listdir(folder)) == sorted({name.split("/")[0] for name in TREE}) and (folder / "a.txt").read_bytes() == b"two\n"


@pytest.mark.parametrize("name", ["a\\\\b", "a:b", "a*b", "a?b", "a|b", "a<b", "NUL", "con.txt", "COM1", "ends.", "ends "], ids=repr)
def test_names_that_windows_cannot_have(sftp, files, folder, there, name):
    """Refused, and in words: another file than the one that was named is never written."""
    before = set(folder.parent.rglob("*"))
    with pytest.raises(OSError) as caught:
        files.open(f"{there}/{name}", "w").close()
    assert str(caught.value).strip() not in ("", "Failure"), caught.value
    with pytest.raises(OSError):
        files.mkdir(f"{there}/{name}")
    assert set(folder.parent.rglob("*")) == before


def test_paths_that_do_not_lead_out_of_names(files, there, folder):
    plant(folder)
    assert files.normalize(f"{there}/sub/../sub/./deep") == f"{there}/sub/deep"
    assert files.normalize(f"{there}/../../../../../../..") == "/"
    assert files.normalize(there.replace("/C:", "/c:")) == there
    for path in ("//server/share", "/C:relative", "/??/C:/windows", "/C:/windows::$DATA", "C:\\windows", "/CC:/x", "/pipe/x", "//./pipe/x", "//?/C:/"):
        with pytest.raises(OSError):
            files.listdir(path)


def test_paths_over_260(sftp, files, folder, there, here, prefix):
    names = ["long folder name " + str(n) * 40 for n in range(8)]
    path = there
    for name in names:
        path += "/" + name
        files.mkdir(path)
    assert len(path) > 400
    data = random.Random(4).randbytes(100_000)
    (here / "source").write_bytes(data)
    sftp(f'put {here}/source "{path}/the file.bin"', f'get "{path}/the file.bin" {here}/back', f'rename "{path}/the file.bin" "{path}/another.bin"',
         f'ls -l "{path}"').ok()
    assert (here / "back").read_bytes() == data
    assert (folder.joinpath(*names) / "another.bin").read_bytes() == data
    files.remove(f"{path}/another.bin")
    for _ in names:
        files.rmdir(path)
        path = path.rpartition("/")[0]
    assert list(folder.iterdir()) == []


def test_free_space(sftp):
    assert re.search(r"\d+%", sftp("df -h /C:/").ok().out)


# --- by the call ---

def test_what_calls_say(files, folder, there):
    plant(folder)
    facts = files.stat(f"{there}/sub/deep/er.bin")
    assert (facts.st_size, stat.S_ISREG(facts.st_mode)) == (76800, True)
    assert abs(facts.st_mtime - (folder / "sub/deep/er.bin").stat().st_mtime) < 2
    assert stat.S_ISDIR(files.stat(f"{there}/sub").st_mode) and stat.S_ISDIR(files.stat("/").st_mode) and stat.S_ISDIR(files.stat("/C:/").st_mode)
    assert sorted(files.listdir(there)) == ["a.txt", "empty", "sub"]
    for missing in (f"{there}/nothing", f"{there}/nothing/below", "/Q:/x"):
        with pytest.raises(FileNotFoundError):
            files.stat(missing)
    with pytest.raises(OSError):
        files.rmdir(f"{there}/sub")
    with pytest.raises(OSError):
        files.open(f"{there}/a.txt", "x")
    with pytest.raises(OSError):
        files.mkdir(f"{there}/sub")
    assert (folder / "a.txt").read_bytes() == b"one\n"


def test_reading_and_writing_anywhere(files, folder, there):
    with files.open(f"{there}/file", "w+") as file:
        file.write(b"0123456789")
        file.seek(3)
        file.write(b"abc")
        file.seek(0)
        assert file.read() == b"012abc6789"
        file.truncate(4)
    with files.open(f"{there}/file", "a") as file:
        file.write(b"end")
    assert (folder / "file").read_bytes() == b"012aend"
    with files.open(f"{there}/sparse", "w") as file:
        file.seek(5_000_000_000)
        file.write(b"x")
    assert (folder / "sparse").stat().st_size == 5_000_000_001
    assert files.stat(f"{there}/sparse").st_size == 5_000_000_001
    files.remove(f"{there}/sparse")


def test_a_file_is_removed_while_it_is_read(files, folder, there):
    """As on other systems: who has it open reads on. (That the name is free at once, and that it can be replaced, Wine does not show.)"""
    plant(folder)
    with files.open(f"{there}/sub/deep/er.bin", "r") as file:
        assert file.read(256) == bytes(range(256))
        files.remove(f"{there}/sub/deep/er.bin")
        assert file.read(256) == bytes(range(256))
    assert files.listdir(f"{there}/sub/deep") == []


def test_many_entries(files, folder, there):
    for number in range(1500):
        (folder / f"{number:04}").touch()
    assert sorted(files.listdir(there)) == [f"{number:04}" for number in range(1500)]


def test_two_transfers_at_once(files, alice, bench, folder, there, here):
    other = paramiko_to(bench, alice)
    second = other.open_sftp()
    data = random.Random(5).randbytes(2_000_000)
    (here / "source").write_bytes(data)
    with files.open(f"{there}/one", "wb") as one, second.open(f"{there}/two", "wb") as two:
        for at in range(0, len(data), 200_000):
            one.write(data[at:at + 200_000])
            two.write(data[at:at + 200_000])
    other.close()
    assert (folder / "one").read_bytes() == data and (folder / "two").read_bytes() == data


# --- scp ---

@pytest.mark.parametrize("options", [[], ["-O"]], ids=["sftp", "the old protocol"])
def test_scp(bench, alice, winbox, folder, there, here, options):
    data = random.Random(6).randbytes(300_000)
    (here / "source").write_bytes(data)
    words = ["scp", *alice.options(), "-o", "ProxyJump=hub", *options]
    done = bench.run(*words, here / "source", f"{ME}@winbox:{there}/target")
    if options:
        # It would run a program named scp on the machine.
        assert done.status != 0 and not (folder / "target").exists(), done
        return
    done.ok()
    bench.run(*words, f"{ME}@winbox:{there}/target", here / "back").ok()
    assert (folder / "target").read_bytes() == data and (here / "back").read_bytes() == data
    # As people type it, and below the profile.
    bench.run(*words, here / "source", f"{ME}@winbox:{there[1:]}/again").ok()
    assert (folder / "again").read_bytes() == data


def test_scp_of_trees(bench, alice, winbox, folder, there, here):
    plant(here)
    words = ["scp", *alice.options(), "-o", "ProxyJump=hub", "-r", "-p"]
    bench.run(*words, here, f"{ME}@winbox:{there}/tree").ok()
    assert found(folder / "tree") == TREE
    bench.run(*words, f"{ME}@winbox:{there}/tree", here.with_name(here.name + "-back")).ok()
    assert found(here.with_name(here.name + "-back")) == TREE


def test_scp_between_two_windows_machines(bench, hub, alice, winbox, prefix, folder, there):
    second = WinAgent(bench, hub, prefix, users=[alice])
    second.wait_ssh("built-in", "ok")
    plant(folder)
    bench.run("scp", "-3", *alice.options(), "-o", "ProxyJump=hub", f"{ME}@winbox:{there}/sub/deep/er.bin", f"{ME}@{second.name}:{there}/copy").ok()
    assert (folder / "copy").read_bytes() == TREE["sub/deep/er.bin"]


# --- others ---

def test_sshfs(bench, alice, winbox, folder, there, here):
    need("sshfs", "fusermount3")
    if not os.path.exists("/dev/fuse"):
        pytest.skip("there is no /dev/fuse here")
    plant(folder)
    mount = here / "mount"
    mount.mkdir()
    done = bench.run("sshfs", "-o", f"ssh_command=ssh {alice.quoted_config()} -J hub", f"{ME}@winbox:{there}", mount)
    if done.status != 0 and re.search("not permitted|fuse: device", done.err):
        pytest.skip(f"file systems cannot be mounted here: {done.err.strip()}")
    done.ok()
    try:
        assert found(mount) == TREE
        (mount / "made").write_bytes(b"here")
        (mount / "made").rename(mount / "sub" / "moved")
    finally:
        bench.run("fusermount3", "-u", mount).ok()
    assert (folder / "sub/moved").read_bytes() == b"here"


def test_files_may_be_forbidden(bench, hub, alice, prefix):
    agent = WinAgent(bench, hub, prefix, users=[alice], sshd_conf="sftp = no\n")
    agent.wait_ssh("built-in", "ok")
    batch = bench.path("batch")
    batch.write_text("pwd\n")
    bench.run("sftp", *alice.options(), "-J", "hub", "-b", batch, f"{ME}@{agent.name}").failed()
    assert alice.jump(agent.name, "echo still").ok().out == "still\r\n"
