"""The man pages: every option with its default, clean for mandoc."""
import re
import subprocess

import pytest
from conftest import need
from kit.bench import ROOT, program

PAGES = sorted((ROOT / "man").glob("*.[1-9]"))
OPTIONS = {"multissh-hub": "multissh-hub.conf.5", "multissh-agent": "multissh-agent.conf.5", "multissh-sshd": "multissh-sshd.conf.5",
           "multissh": "multissh.conf.5"}


@pytest.mark.no_programs
def test_there_are_pages():
    names = {page.name for page in PAGES}
    assert {"multissh-hub.8", "multissh-agent.8", "multissh-front.8", "multissh-sshd.8", "multissh-authorized_users.5", *OPTIONS.values()} <= names


@pytest.mark.no_programs
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_is_content(page):
    need("mandoc")
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]
    assert lines == []
    assert "TODO" not in page.read_text()


def squeeze(text):
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_described_with_its_default(bench, name):
    need("mandoc")
    page = ROOT / "man" / OPTIONS[name]
    text = subprocess.run(["mandoc", "-Tascii", page], capture_output=True, text=True, check=True).stdout
    text = squeeze(re.sub(r".\x08", "", text))
    rows = [line.split("\t") for line in bench.run(program(name), "--dump-options").ok().out.splitlines()]
    assert len(rows) > 5
    help_text = squeeze(bench.run(program(name), "--help").ok().out)
    missing = []
    for row in rows:
        option, default = row[0], row[4]
        place = re.search(rf" {re.escape(option)}=", text)
        if not place:
            missing.append(f"{option} is not described")
            continue
        # The description reaches to the next option's name.
        following = re.search(r" [a-z][a-z-]+=\S", text[place.end():])
        part = text[place.start():place.end() + (following.start() if following else len(text))]
        if default and default not in part:
            missing.append(f"{option}: the default {default!r} is not in {part!r}")
        if f"--{option}" not in help_text:
            missing.append(f"{option} is not in --help")
    described = set(re.findall(r" ([a-z][a-z-]+)=(?=[a-z(])", text))
    missing += [f"{extra} is described but unknown" for extra in described - {row[0] for row in rows}]
    assert missing == []


@pytest.mark.parametrize("name", OPTIONS)
def test_flags_and_commands_are_in_the_page(bench, name):
    text = squeeze(re.sub(r".\x08", "", subprocess.run(["mandoc", "-Tascii", ROOT / "man" / f"{name}.{1 if name == 'multissh' else 8}"], capture_output=True, text=True,
                                                       check=True).stdout))
    for flag in ("--help", "--version", *(() if name == "multissh" else ("--state",))):
        assert flag in text.replace("−", "-"), flag
    words = {"multissh-hub": ["invite", "approve", "revoke", "rename", "sessions", "kill", "log", "known-hosts", "config", "ticket", "whoami", "why", "stop"],
             "multissh-agent": ["join", "run"], "multissh-sshd": ["--inetd", "--sftp", "--print-host-key"],
             "multissh": ["connect", "forward", "list", "ssh", "ProxyCommand", "MULTISSH_HUB", "HostKeyAlias"]}[name]
    for word in words:
        assert word in text.replace("−", "-"), word
