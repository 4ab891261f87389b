"""The plan inside an ONNX model, in its metadata, where other tools show it and `read_plan` finds it again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...common.errors import BadInput
from ...ir.layout import Layout
from ...ir.onnx_files import load_onnx
from ...ir.plan import Plan

if TYPE_CHECKING:
    from ..sites import LiveSite

_PREFIX = "foveate."


def annotate(model: Any, plan: Plan, layout: Layout, sites: Sequence[LiveSite], left: Sequence[str]) -> None:
    """Write a plan, its counts and what it leaves to the decoder into the metadata of a `ModelProto`."""
    import onnx

    counts = [layout.count]
    current = Layout(layout.count, layout.grid)
    for site in sites:
        current = site.target(current)
        counts.append(current.count)
    model.producer_name, model.doc_string = (
        "foveate",
        "Encoder, projector and the passes placed inside and behind them.",
    )
    entries = {
        "plan": plan.to_yaml(),
        "tokens": " ".join(map(str, counts)),
        "always_kept": str(layout.total - layout.count),
        "left_to_the_decoder": "\n".join(left),
    }
    onnx.helper.set_model_props(model, {_PREFIX + name: value for name, value in entries.items()})


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """The plan that an exported model carries.

    Raises:
        BadInput: no ONNX model, or one that foveate did not write.
    """
    model = load_onnx(path)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    if _PREFIX + "plan" not in entries:
        raise BadInput(f"{path} carries no plan; it was not written by foveate export")
    return Plan.from_yaml(entries[_PREFIX + "plan"], source=f"the plan inside {path}")
