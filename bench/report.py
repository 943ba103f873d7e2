"""What every measurement shows: a line of progress, rows with their goals, a table, a plot, the facts about the machine, a section of
RESULTS.md."""
import dataclasses
import datetime
import html
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Progress:
    """One line on a terminal that is written over; nothing elsewhere."""

    def __init__(self, total):
        self.total, self.done, self.name = total, 0, ""
        self.live = sys.stderr.isatty()

    def say(self, text):
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            line = f"[{self.done}/{self.total}] {self.name + ': ' if self.name else ''}{text}"
            sys.stderr.write("\r\033[K" + line[:width])
            sys.stderr.flush()

    def step(self):
        self.done += 1

    def clear(self):
        if self.live:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


@dataclasses.dataclass(frozen=True)
class Row:
    """A figure as the table shows it: text. value and bound are the numbers behind ratio and goal, for the plot; floor_value that of the floor.
    relative: they are multiples of OpenSSH's."""
    title: str
    openssh: str = "-"
    ours: str = "-"
    floor: str = "-"
    ratio: str = "-"
    goal: str = "-"
    met: str = "-"
    value: float = None
    bound: float = None
    better: str = "less"
    relative: bool = False
    floor_value: float = None

    def cells(self):
        return [self.title, self.openssh, self.ours, self.floor, self.ratio, self.goal, self.met]


HEAD = ["figure", "OpenSSH", "multiSSH", "floor", "ratio", "goal", "met"]


def number(value, unit=""):
    """Three digits, which is more than these figures are good for."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.095 else f"{value:.3f}"
    return f"{text} {unit}".strip()


def _kept(value, bound, better):
    if bound is None:
        return "-"
    return "yes" if (value <= bound if better == "less" else value >= bound) else "no"


def _goal(bound, better, unit=""):
    return "-" if bound is None else f"{'≤' if better == 'less' else '≥'} {number(bound, unit) if unit else f'{bound:.2f}'}"


def ratio_row(title, theirs, ours, unit, better="less", bound=None, floor=None, against="openssh"):
    """Two lists of measured values, pair by pair. The ratio is ours by theirs, the median of the pairs'; against="floor": theirs is the raw relay's."""
    ratio = statistics.median(b / a for a, b in zip(theirs, ours))
    shown = number(statistics.median(theirs), unit)
    relative = against == "openssh"
    base = statistics.median(floor) if floor else None
    return Row(title, openssh=shown if relative else "-", ours=number(statistics.median(ours), unit),
               floor=number(base, unit) if floor else "-" if relative else shown, ratio=f"{ratio:.2f}", goal=_goal(bound, better),
               met=_kept(round(ratio, 2), bound, better), value=ratio, bound=bound, better=better, relative=relative,
               floor_value=base / statistics.median(theirs) if floor and relative else None)


def bound_row(title, ours, unit, bound=None, better="less", openssh=None):
    """A list of measured values that has to keep to a bound by itself; openssh: theirs, to show beside it."""
    value = statistics.median(ours)
    return Row(title, openssh=number(statistics.median(openssh), unit) if openssh else "-", ours=number(value, unit), goal=_goal(bound, better, unit),
               met=_kept(value, bound, better), value=value, bound=bound, better=better)


_COLOURS = {"yes": "#2c8a4b", "no": "#c0392b", "-": "#4a6fa5"}


def plot(rows, note):
    """An SVG: a lane for each row with a number. With OpenSSH beside it: as multiples of OpenSSH's; else: as a share of the goal."""
    rows = [row for row in rows if row.value is not None and (row.relative or row.bound)]
    left, scale, most, lane = 430, 190, 2.25, 26
    width, height = left + int(scale * most) + 110, 92 + lane * len(rows)
    text = 'font-family="sans-serif" font-size="12"'

    def at(value):
        return left + scale * min(max(value, 0), most)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="12" y="22" {text} font-weight="bold">multiSSH beside an OpenSSH bastion</text>',
           f'<text x="12" y="38" {text} fill="#555">{html.escape(note)}</text>']
    for tick in (0, 0.5, 1, 1.5, 2):
        out.append(f'<line x1="{at(tick):.0f}" y1="62" x2="{at(tick):.0f}" y2="{height - 22}" stroke="{"#888" if tick == 1 else "#ddd"}"/>')
        out.append(f'<text x="{at(tick):.0f}" y="58" {text} fill="#555" text-anchor="middle">{"OpenSSH = 1" if tick == 1 else f"{tick:g}"}</text>')
    for place, row in enumerate(rows):
        top = 68 + lane * place
        share = row.value if row.relative else row.value / row.bound
        goal = row.bound if row.relative else 1
        out.append(f'<text x="{left - 8}" y="{top + 14}" {text} text-anchor="end">{html.escape(row.title)}</text>')
        out.append(f'<rect x="{left}" y="{top + 3}" width="{at(share) - left:.1f}" height="14" fill="{_COLOURS[row.met]}" '
                   f'fill-opacity="{"1" if row.relative else "0.55"}"/>')
        if goal:
            out.append(f'<line x1="{at(goal):.1f}" y1="{top}" x2="{at(goal):.1f}" y2="{top + 20}" stroke="black" stroke-width="2"/>')
        if row.floor_value is not None:
            out.append(f'<circle cx="{at(row.floor_value):.1f}" cy="{top + 10}" r="4" fill="white" stroke="black"/>')
        label = row.ratio if row.relative else row.ours if row.ratio == "-" else row.ratio
        out.append(f'<text x="{max(at(share), at(goal or 0)) + 6:.1f}" y="{top + 14}" {text}>{html.escape(label)}</text>')
    out.append(f'<text x="12" y="{height - 8}" {text} fill="#555">bar: multiSSH (pale: as a share of the goal) · line: the goal · circle: a raw TCP relay</text></svg>')
    return "\n".join(out) + "\n"


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
    write_file(path, text)


def write_file(path, text):
    """The old one or the new one, whatever happens."""
    new = Path(f"{path}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
