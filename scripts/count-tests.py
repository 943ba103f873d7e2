#!/usr/bin/python3
"""Adds up JUnit files of ctest and pytest and prints one line: N passed, N failed, N skipped. Status 1 when anything failed
or nothing ran."""
import sys
import xml.etree.ElementTree as xml

passed = failed = skipped = 0
for path in sys.argv[1:]:
    for case in xml.parse(path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            failed += 1
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(0 if passed and not failed else 1)
