#!/usr/bin/python3
"""Adds up JUnit files of ctest and pytest and prints one line: N passed, N failed, N skipped, N unsteady (which failed, and passed when once-more.py
ran them alone). Status 1 when anything failed or nothing ran."""
import importlib
import sys
import xml.etree.ElementTree as xml

sys.dont_write_bytecode = True
once_more = importlib.import_module("once-more")

passed = failed = skipped = unsteady = 0
for path in sys.argv[1:]:
    forgiven = once_more.unsteady(path)
    unsteady += len(forgiven)
    for case in xml.parse(path).iter("testcase"):
        if once_more.failed(case):
            failed += once_more.name_of(case) not in forgiven
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
print(f"{passed} passed, {failed} failed, {skipped} skipped, {unsteady} unsteady")
sys.exit(0 if passed and not failed else 1)
