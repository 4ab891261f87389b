"""Every method on a trained testbed: held-out accuracy against tokens kept, and what share of the work remains.

Each registered pass that the testbed's modality and sites allow is placed where it is published, or after the
projector; the same held-out questions are asked of all. Tokens that leave inside the decoder were still paid for by the
layers before, so the FLOPs that remain stand beside the accuracy. Cells that the JSON file holds are not run again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _heldout import HeldOut, drawn
from _table import Goal, finish, parser, show

import foveate
from foveate.common.errors import BadInput
from foveate.common.files import write_whole
from foveate.ir.graph import Graph
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.site import Site
from foveate.passes import REGISTRY
from foveate.runtime.resolve import resolve
from foveate.testbed.evaluate import accuracy

KEEPS = (0.5, 0.25, 0.125)
WORKLOADS = {"image": "image=1x224x224,text=16,new=4", "video": "video=8x224x224,text=16,new=4"}
BASELINES = ("random", "uniform", "pool", "downsample", "norm", "uniform-frames", "random-kv")
PREFERRED = ("projector.output", "encoder.layer.mid", "encoder.layer", "encoder.output", "decoder.layer", "input")
"""Where a pass goes that may act at several sites; the decoder's cache is left to benchmarks of decoding."""


@dataclass(frozen=True)
class Cell:
    """Accuracy of one method at one fraction of the tokens that arrive at its site, and the FLOPs that remain."""

    method: str
    site: str
    keep: float
    questions: int
    accuracy: float
    interval: tuple[float, float]
    flops: float

    @property
    def key(self) -> tuple[str, str, float, int]:
        """What makes it the same cell in a later run."""
        return self.method, self.site, self.keep, self.questions


def main() -> int:
    """Fill the table."""
    made = parser(__doc__ or "")
    made.add_argument("--testbed", choices=tuple(WORKLOADS), default="image")
    made.add_argument("--questions", type=int, default=400, help="held-out questions (default: 400)")
    made.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    options = made.parse_args()
    torch.set_num_threads(options.threads)
    name, count = options.testbed, 64 if options.quick else options.questions
    model, processor = foveate.testbed.load(name)
    graph = foveate.trace(model, workload=WORKLOADS[name])
    held_out = HeldOut(model, processor, drawn(name, "heldout", count))
    known = {} if options.quick else _known(options.json)
    cells = _cell(held_out, graph, Plan.of(), 1.0, known)
    for method in sorted(REGISTRY.names()):
        for plan, keep in _plans(graph, method, name, KEEPS[1:2] if options.quick else KEEPS):
            cells += _cell(held_out, graph, plan, keep, known)
            _keep(options.json, cells, quick=options.quick)
    _show(cells, name)
    return finish(_goals(cells), json_file=options.json, figures=[vars(cell) for cell in cells], quick=options.quick)


def _plans(graph: Graph, method: str, modality: str, keeps: tuple[float, ...]) -> list[tuple[Plan, float]]:
    """The method at its site for each fraction; a fraction that it cannot realise there is left out."""
    found = []
    for keep in (0.0,) if REGISTRY.get(method).withdraws else keeps:
        for site in _sites(graph, method, modality):
            plan = Plan.of(Placement(method, site, keep))
            try:
                resolve(graph, plan)
            except BadInput as error:
                print(f"{method} at {site}, keep {keep}: left out: {error}", flush=True)
                continue
            found.append((plan, keep))
    return found


def _sites(graph: Graph, method: str, modality: str) -> list[str]:
    """The preferred site of a method; a withdrawal goes to the decoder's middle, encoders' are a third deep."""
    cls = REGISTRY.get(method)
    if modality not in cls.modalities:
        return []
    for kind in PREFERRED:
        offered = [s for s in graph.sites() if s.kind == kind and s.modality in (None, modality)]
        if kind in cls.sites and offered:
            return [str(_at_depth(offered, kind, withdraws=cls.withdraws))]
    return []


def _at_depth(offered: list[Site], kind: str, *, withdraws: bool) -> Site:
    if kind == "decoder.layer":
        return offered[len(offered) // 2 if withdraws else min(1, len(offered) - 1)]
    return offered[len(offered) // 3] if kind.startswith("encoder.layer") else offered[0]


def _cell(held_out: HeldOut, graph: Graph, plan: Plan, keep: float, known: dict[Any, Cell]) -> list[Cell]:
    """The cell, measured or known; none where the model cannot give what the method reads, which is printed."""
    method, site = next(((p.method, p.site) for p in plan.placements), ("none", ""))
    key = (method, site, keep, len(held_out.questions))
    if key in known:
        return [known[key]]
    try:
        found = accuracy(held_out.said(plan), held_out.questions).overall
    except BadInput as error:
        print(f"{method}@{site} keep {keep:g}: left out: {error}", flush=True)
        return []
    flops = _flops(resolve(graph, plan)) / _flops(graph)
    cell = Cell(*key[:3], len(held_out.questions), found.value, (found.low, found.high), flops)
    print(f"{f'{method}@{site} keep {keep:g}':60s} {found}  FLOPs {flops:.0%}", flush=True)
    return [cell]


def _flops(graph: Graph) -> float:
    """FLOPs of a prefill, the passes' own work included."""
    own = sum(
        op.flops(batch=graph.media(item.modality), tokens=item.tokens_in, context=item.tokens_out)
        for item in graph.placed
        for op in item.ops
    )
    return float(sum(stage.flops() for stage in graph.stages) + own)


def _known(path: Path | None) -> dict[Any, Cell]:
    if path is None or not path.exists():
        return {}
    rows = json.loads(path.read_text())["figures"]
    cells = [Cell(**{**row, "interval": tuple(row["interval"])}) for row in rows]
    return {cell.key: cell for cell in cells}


def _keep(path: Path | None, cells: list[Cell], *, quick: bool) -> None:
    """Keep what was measured so far, so that an interrupted run goes on from here."""
    if path is not None and not quick:
        write_whole(path, json.dumps({"figures": [vars(cell) for cell in cells]}, default=float) + "\n")


def _show(cells: list[Cell], name: str) -> None:
    full, rows = cells[0], []
    for method, site in dict.fromkeys((c.method, c.site) for c in cells[1:]):
        mine = {c.keep: c for c in cells if (c.method, c.site) == (method, site)}
        quarter = mine.get(0.25) or next(iter(mine.values()))
        shown = [_text(mine[keep]) if keep in mine else "" for keep in KEEPS]
        if 0.0 in mine:
            shown[-1] = f"{_text(mine[0.0])} (all withdrawn)"
        rows.append((quarter.accuracy, [method, site, *shown, f"{quarter.flops:.0%}"]))
    ordered = [row for _, row in sorted(rows, key=lambda row: -row[0])]
    title = f"Held-out accuracy on the {name} testbed, {full.questions} questions; all tokens: {_text(full)}"
    show(title, ["method", "site", *(f"keep {100 * keep:g} %" for keep in KEEPS), "FLOPs left at 25 %"], ordered)


def _text(cell: Cell) -> str:
    return f"{100 * cell.accuracy:.1f} [{100 * cell.interval[0]:.1f}, {100 * cell.interval[1]:.1f}]"


def _goals(cells: list[Cell]) -> list[Goal]:
    """No goal was set: where a plain baseline beats designed methods, the table's foot says so."""
    goals = []
    for keep in KEEPS:
        here = sorted((c for c in cells[1:] if c.keep == keep), key=lambda c: -c.accuracy)
        plain = [c for c in here if c.method in BASELINES]
        if plain and len(here) > len(plain):
            beaten = [c.method for c in here if c.method not in BASELINES and c.accuracy < plain[0].accuracy]
            text = ", ".join(beaten) or "none"
            goals.append(Goal(f"keep {keep:g}: designed methods below {plain[0].method}, the best baseline", text))
    median = float(np.median([c.accuracy for c in cells[1:]])) if cells[1:] else 0.0
    return [*goals, Goal("median accuracy over all cells", f"{100 * median:.1f} %")]


if __name__ == "__main__":
    sys.exit(main())
