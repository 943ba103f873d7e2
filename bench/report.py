"""What every measurement shows: a line of progress, a table, the facts about the machine, a section of RESULTS.md."""
import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Progress:
    """One line on a terminal that is written over; nothing elsewhere."""

    def __init__(self, total):
        self.total, self.done = total, 0
        self.live = sys.stderr.isatty()

    def say(self, text):
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            line = f"[{self.done}/{self.total}] {text}"
            sys.stderr.write("\r\033[K" + line[:width])
            sys.stderr.flush()

    def step(self):
        self.done += 1

    def clear(self):
        if self.live:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def table(head, rows):
    """A table that is as readable on a terminal as it is in Markdown: the first column left, the others right."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]

    def line(cells):
        padded = [cells[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:])]
        return "| " + " | ".join(padded) + " |"
    rule = "|" + "|".join(["-" * (widths[0] + 2)] + ["-" * (width + 1) + ":" for width in widths[1:]]) + "|"
    return "\n".join([line(head), rule] + [line(row) for row in rows])


def _first_line(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else ""


def _cpu_model():
    try:
        match = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    except OSError:
        match = None
    return match.group(1) if match else platform.machine()


def facts(programs=()):
    """Where and when: lines of text. programs: commands that print a version in their first line."""
    commit = _first_line("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD")
    if commit and _first_line("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no", "--", "src"):
        commit += " with changes"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    lines = [
        f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, commit {commit or 'unknown'}",
        f"{os.cpu_count()} cores ({_cpu_model()}), {memory:.0f} GiB, {platform.system()} {platform.release()}",
    ]
    versions = [version for version in (_first_line(*program) for program in programs) if version]
    libssh = _first_line("pkg-config", "--modversion", "libssh")
    if re.fullmatch(r"[\d.]+", libssh):
        versions.append(f"libssh {libssh}")
    return lines + ([", ".join(versions)] if versions else [])


def write_section(path, title, body):
    """Puts the section in the place of the one with the same title, or at the end; the others stay."""
    path = Path(path)
    text = path.read_text(encoding="utf-8") if path.exists() else "# Results\n\nHow each was measured: [README.md](README.md).\n"
    section = f"## {title}\n\n{body.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.M | re.S)
    if pattern.search(text):
        text = pattern.sub(lambda match: section + ("\n" if match.end() < len(text) else ""), text, count=1)
    else:
        text = text.rstrip("\n") + "\n\n" + section
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
