"""What the processes of the tests are doing when something has not come in time: for whoever looks for the reason later."""
import os

LINES_MAX = 80


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read(4096).replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def table():
    """All below this process, a line each: pid, state, age, CPU seconds, where in the kernel it is, command."""
    clock, uptime = os.sysconf("SC_CLK_TCK"), float((_read("/proc/uptime") or "0").split()[0])
    rows, below = {}, {}
    for entry in os.listdir("/proc"):
        fields = _read(f"/proc/{entry}/stat").rpartition(")")[2].split() if entry.isdigit() else ()
        if len(fields) > 19:
            below.setdefault(int(fields[1]), []).append(int(entry))
            rows[int(entry)] = fields
    lines = [f"load {_read('/proc/loadavg')}"]

    def walk(pid, depth):
        for child in sorted(below.get(pid, ())):
            fields = rows[child]
            lines.append(f"{'  ' * depth}{child} {fields[0]} {uptime - int(fields[19]) / clock:.1f} s, cpu {(int(fields[11]) + int(fields[12])) / clock:.2f} s, "
                         f"{_read(f'/proc/{child}/wchan') or '?'}: {_read(f'/proc/{child}/cmdline')[:160]}")
            walk(child, depth + 1)
    walk(os.getpid(), 0)
    return "\n".join(lines[:LINES_MAX])
