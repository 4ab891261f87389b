"""Lists and tables of the report, as plain data for its template."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...ir.site import Site
from ...passes import REGISTRY
from .content import Drawing

if TYPE_CHECKING:
    from ...ir.plan import Plan


def placements(plan: Plan) -> Iterator[dict[str, Any]]:
    """Each placement with its letter in the flow, in the order of the flow."""
    for number, placement in enumerate(sorted(plan.placements, key=lambda p: Site.parse(p.site).depth)):
        cls = REGISTRY.get(placement.method)
        known = placement.tokens_in is not None and placement.tokens_out is not None
        counts = f"{placement.tokens_in} → {placement.tokens_out} tokens" if known else ""
        yield {
            "letter": chr(ord("A") + number % 26),
            "method": placement.method,
            "site": placement.site,
            "keep": f"{100 * placement.keep:.3g} %",
            "counts": counts,
            "summary": cls.summary,
            "source": cls.source,
            "params": ", ".join(f"{name}={value!r}" for name, value in placement.params.items()),
        }


def figures(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """(name, value, words) of the figures at the top of the page."""
    if plan.measured is not None:
        yield "measured TTFT", f"{plan.measured.ttft_ms:.3g} ms", f"{100 * plan.measured.ratio:.1f} % of uncompressed"
    if plan.predicted is not None:
        base = plan.predicted.baseline_ttft_ms
        share = f"{100 * plan.predicted.ttft_ms / base:.1f} % of {base:.4g} ms" if base else ""
        yield "predicted TTFT", f"{plan.predicted.ttft_ms:.3g} ms", share
        base = plan.predicted.baseline_tpot_ms
        yield "predicted TPOT", f"{plan.predicted.tpot_ms:.3g} ms", f"{base:.3g} ms uncompressed" if base else ""
    if plan.fidelity is not None:
        low, high = plan.fidelity.interval or [plan.fidelity.value] * 2
        name = "task score" if plan.fidelity.kind == "task" else f"fidelity ({plan.fidelity.kind})"
        yield name, f"{plan.fidelity.value:.3f}", f"95 % interval {low:.3f} to {high:.3f}"
    if plan.predicted is not None:
        yield "memory", f"{plan.predicted.memory_bytes / 2**20:,.0f} MiB", "predicted peak"


def ablation(plan: Plan) -> Iterator[dict[str, Any]]:
    """What each placement saves and costs, with the lengths of its bars in percent of the largest."""
    if plan.predicted is None or plan.fidelity is None:
        return
    rows = [(r, r.ttft_ms - plan.predicted.ttft_ms, r.fidelity - plan.fidelity.value) for r in plan.ablation]
    most_saved = max((abs(saved) for _, saved, _ in rows), default=0.0) or 1.0
    most_lost = max((abs(lost) for _, _, lost in rows), default=0.0) or 1.0
    for record, saved, lost in rows:
        yield {
            "without": record.without,
            "record": record,
            "saved": saved,
            "lost": lost,
            "saved_bar": 100 * abs(saved) / most_saved,
            "lost_bar": 100 * abs(lost) / most_lost,
        }


def embedded(drawing: Drawing) -> tuple[str, str, bool]:
    """A drawing's PNG in base64, its caption, and whether it is a wide sheet of frames or a waveform."""
    width, height = (int.from_bytes(drawing.png[start : start + 4], "big") for start in (16, 20))  # PNG's first chunk
    return b64encode(drawing.png).decode("ascii"), drawing.caption, width > 2 * height
