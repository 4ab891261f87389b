"""The report: one self-contained page about a plan, to be opened in a browser without a network.

`page.report` puts it together from what the plan states, from a traced model and its cost model where they are given,
from the study that the plan names, and from drawings of what the plan keeps.
"""

from __future__ import annotations

from .content import Costed, Drawing, Report
from .page import report

__all__ = ["Costed", "Drawing", "Report", "report"]
