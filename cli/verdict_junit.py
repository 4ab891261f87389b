"""Verdicts as JUnit XML, the form that CI systems read test results in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from .verdicts import Checked, sentence

if TYPE_CHECKING:
    from ..planner.gating.gate import Verdict

# What XML 1.0 cannot hold, not even escaped (section 2.2).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(checks: Sequence[Checked]) -> str:
    """One test suite for each plan, one test case for each limit, and one for whether the plan still fits.

    A broken limit is a failure, a plan that does not fit is an error, an undecided limit is skipped with the reason.
    """
    root = Element("testsuites", name="foveate check")
    for item in checks:
        _suite(root, item)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(root: Element, item: Checked) -> None:
    counts = {name: sum(v.verdict == name for v in item.verdicts) for name in ("broken", "undecided")}
    suite = SubElement(root, "testsuite", name=_clean(item.plan), tests=str(len(item.verdicts) + 1))
    suite.set("failures", str(counts["broken"]))
    suite.set("errors", str(int(item.error is not None)))
    suite.set("skipped", str(counts["undecided"]))
    suite.set("time", f"{item.seconds:.3f}")
    fits = SubElement(suite, "testcase", classname=_clean(item.plan), name="the plan fits", time="0.000")
    if item.error is not None:
        SubElement(fits, "error", type="BadInput", message=_clean(str(item.error)))
    for verdict in item.verdicts:
        _case(suite, item, verdict)


def _case(suite: Element, item: Checked, verdict: Verdict) -> None:
    seconds = item.seconds / len(item.verdicts)
    case = SubElement(
        suite, "testcase", classname=_clean(item.plan), name=_clean(verdict.budget), time=f"{seconds:.3f}"
    )
    if verdict.verdict == "broken":
        SubElement(case, "failure", type="BudgetNotMet", message=_clean(sentence(verdict)))
    elif verdict.verdict == "undecided":
        SubElement(case, "skipped", message=_clean(sentence(verdict)))
    else:
        SubElement(case, "system-out").text = _clean(sentence(verdict))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
