"""JUnit's XML, as CI services read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from estbench.printable import plain


@dataclass(frozen=True)
class Case:
    """A test case: its name, and what it says. `failure` or `skipped` is why it failed, or did not run."""

    name: str
    text: str = ""
    failure: str = ""
    skipped: str = ""
    kind: str = "failed"


def junit(suites: Mapping[str, Sequence[Case]]) -> str:
    """An XML document with one test suite for each name."""
    root = ElementTree.Element("testsuites", name="estbench check")
    for name, cases in suites.items():
        suite = ElementTree.SubElement(root, "testsuite", {"name": plain(name), "errors": "0", **_counts(cases)})
        for case in cases:
            _case(suite, plain(name), case)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    return {
        "tests": str(len(cases)),
        "failures": str(sum(bool(case.failure) for case in cases)),
        "skipped": str(sum(bool(case.skipped) and not case.failure for case in cases)),
    }


def _case(suite: ElementTree.Element, classname: str, case: Case) -> None:
    element = ElementTree.SubElement(suite, "testcase", classname=classname, name=plain(case.name))
    if case.failure:
        message, _, more = case.failure.partition("\n")
        failure = ElementTree.SubElement(element, "failure", message=plain(message), type=case.kind)
        failure.text = "\n".join(map(plain, (message, *more.splitlines())))
    elif case.skipped:
        ElementTree.SubElement(element, "skipped", message=plain(case.skipped))
    if case.text:
        ElementTree.SubElement(element, "system-out").text = plain(case.text)
