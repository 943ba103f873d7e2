#!/usr/bin/python3
"""Runs the tests that failed in a suite's JUnit file (ctest's or pytest's) once more, each alone.
usage: once-more.py RESULTS.xml COMMAND WORD...     {} in a word becomes the test's name; pytest's is FILE::NAME

What passes now is unsteady: it is printed, and kept in RESULTS.xml.unsteady for count-tests.py. Status 1 when one fails again, when more than five
failed, or when nothing can be told of what failed."""
import subprocess
import sys
import xml.etree.ElementTree as xml

MOST = 5


def failed(case):
    return case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail"


def name_of(case):
    """ctest gives no class that is not the name; pytest's is the module."""
    module = case.get("classname") or ""
    return case.get("name") if module in ("", case.get("name")) else f"{module.replace('.', '/')}.py::{case.get('name')}"


def unsteady(path):
    try:
        with open(f"{path}.unsteady", encoding="utf-8") as lines:
            return set(lines.read().split("\0")) - {""}
    except FileNotFoundError:
        return set()


def main(path, *command):
    try:
        names = list(dict.fromkeys(name_of(case) for case in xml.parse(path).iter("testcase") if failed(case)))
    except (OSError, xml.ParseError) as error:
        print(f"not tried once more: there are no results: {error}", flush=True)
        return 1
    if not 0 < len(names) <= MOST:
        print(f"not tried once more: {len(names)} tests failed, and up to {MOST} would be" if names else "not tried once more: no test's own failure",
              flush=True)
        return 1
    again = []
    for name in names:
        print(f"== once more, alone: {name}", flush=True)
        if subprocess.run([word.replace("{}", name) for word in command], check=False).returncode == 0:
            print(f"unsteady: {name}", flush=True)
            with open(f"{path}.unsteady", "a", encoding="utf-8") as kept:
                kept.write(name + "\0")
        else:
            print(f"failed twice: {name}", flush=True)
            again.append(name)
    return 1 if again else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
