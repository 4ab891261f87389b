"""Accuracy of the image testbed against the visual tokens that are kept, for every pass and an oracle.

Every cell answers the same held-out questions. The oracle keeps the tokens of the objects that a question is about and
fills up at random: what a perfect selector could do. Label-free fidelity is measured beside accuracy, and its rank
correlation over all cells says how well it stands in for labels.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _table import Goal, finish, parser, show
from oracle import Oracle

import foveate
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.testbed import Sample, samples
from foveate.testbed.evaluate import Accuracy, accuracy, answer_all, paired_bootstrap

KEEPS = (0.5, 0.25, 0.125, 0.0625)
SITES = {"fastv": "decoder.layers.2"}
METHODS = ("random", "uniform", "pool", "fastervlm", "divprune", "fastv")


@dataclass(frozen=True)
class Cell:
    """One method at one fraction of tokens."""

    method: str
    keep: float
    accuracy: Accuracy
    fidelity: float | None


def plan_of(method: str, keep: float) -> Plan:
    """The method at its site: after the projector, or where it is published."""
    return Plan.of(Placement(method, SITES.get(method, "image.projector.output"), keep))


def run_cell(model: Any, processor: Any, questions: list[Sample], method: str, keep: float) -> Accuracy:
    """Answer every question under one plan."""
    with foveate.apply(model, plan_of(method, keep)):
        return accuracy(answer_all(model, processor, questions, batch_size=32), questions)


def run_oracle(model: Any, processor: Any, questions: list[Sample], keep: float) -> Accuracy:
    """Answer every question with the tokens of the objects asked about and random others."""
    answers: list[str] = []
    plan = plan_of(Oracle.name, keep)
    for first in range(0, len(questions), 32):
        part = questions[first : first + 32]
        Oracle.aim([sample.boxes for sample in part], seed=first)
        with foveate.apply(model, plan):
            answers += answer_all(model, processor, part, batch_size=32)
    return accuracy(answers, questions)


def measured_fidelity(
    model: Any, processor: Any, questions: list[Sample], cells: list[tuple[str, float]]
) -> list[float]:
    """Label-free fidelity of every cell over the same calibration questions."""
    from foveate.planner.fidelity import Reference, measure_fidelity
    from foveate.planner.samples import from_testbed

    calibration = from_testbed(questions, processor)
    reference = Reference.of(model, calibration)
    return [
        measure_fidelity(model, calibration, plan_of(method, keep), reference=reference).value for method, keep in cells
    ]


def spearman(x: list[float], y: list[float]) -> float:
    """Rank correlation, ties broken by order."""
    ranks = [np.argsort(np.argsort(values)) for values in (x, y)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def separated_pairs(cells: list[Cell], keep: float, scenes: list[int]) -> tuple[int, int]:
    """How many pairs of methods differ beyond the 95 % interval at one fraction, of how many."""
    here = [cell for cell in cells if cell.keep == keep and cell.method != Oracle.name]
    pairs = [(a, b) for i, a in enumerate(here) for b in here[i + 1 :]]
    apart = 0
    for a, b in pairs:
        _, low, high = paired_bootstrap(a.accuracy.correct, b.accuracy.correct, scenes)
        apart += low > 0 or high < 0
    return apart, len(pairs)


def main() -> int:
    """Fill the table."""
    made = parser(__doc__ or "")
    made.add_argument("--questions", type=int, default=2000, help="held-out questions (default: 2000)")
    options = made.parse_args()
    torch.set_num_threads(2)
    questions = samples("heldout", 96 if options.quick else options.questions)
    calibration = samples("calibration", 48 if options.quick else 96)
    scenes = [sample.scene_seed for sample in questions]
    model, processor = foveate.testbed.load("image")
    full = accuracy(answer_all(model, processor, questions, batch_size=32), questions)
    print(f"full, 256 tokens\n{full.table()}", flush=True)
    names = [(method, keep) for keep in KEEPS for method in METHODS]
    fidelities = measured_fidelity(model, processor, calibration, names)
    cells = []
    for (method, keep), fidelity in zip(names, fidelities, strict=True):
        cells.append(Cell(method, keep, run_cell(model, processor, questions, method, keep), fidelity))
        print(f"{method:10s} {keep:<7g} {cells[-1].accuracy.overall}  fidelity {fidelity:.3f}", flush=True)
    cells += [Cell(Oracle.name, keep, run_oracle(model, processor, questions, keep), None) for keep in KEEPS]
    show_accuracy(full, cells, len(questions))
    goals = goals_of(full, cells, scenes)
    return finish(goals, json_file=options.json, figures=[figures_of(cell) for cell in cells], quick=options.quick)


def show_accuracy(full: Accuracy, cells: list[Cell], questions: int) -> None:
    """Methods by rows, fractions by columns; then the uncompressed model by kind of question."""
    found = {(cell.method, cell.keep): str(cell.accuracy.overall) for cell in cells}
    title = f"Held-out accuracy by fraction of 256 visual tokens kept, {questions} questions"
    rows = [[m, str(full.overall), *(found[m, keep] for keep in KEEPS)] for m in (*METHODS, Oracle.name)]
    show(title, ["method", "100 %", *(f"{100 * keep:g} %" for keep in KEEPS)], rows)
    kinds = {"without counting": full.without_counting, "counting": full.counting} | full.per_kind
    show("All tokens, by kind of question", ["kind", "accuracy"], [[kind, str(found)] for kind, found in kinds.items()])


def goals_of(full: Accuracy, cells: list[Cell], scenes: list[int]) -> list[Goal]:
    """The goals of the issue that asked for the testbed."""
    found = {(cell.method, cell.keep): cell for cell in cells}
    base = full.without_counting.value
    oracle = base - found[Oracle.name, 0.125].accuracy.without_counting.value
    chance = base - found["random", 0.125].accuracy.without_counting.value
    apart, pairs = separated_pairs(cells, 0.25, scenes)
    known = [cell for cell in cells if cell.fidelity is not None]
    rank = spearman([c.fidelity or 0.0 for c in known], [c.accuracy.overall.value for c in known])
    worst = min(full.per_kind.items(), key=lambda item: item[1].value)
    return [
        Goal("accuracy, all tokens", f"{full.overall}", ">= 95 %", full.overall.value >= 0.95),
        Goal("worst question type", f"{worst[0]} {worst[1]}", ">= 80 %", worst[1].value >= 0.80),
        Goal("oracle at 12.5 %, loss without counting", f"{100 * oracle:.1f} points", "<= 3", oracle <= 0.03),
        Goal("random at 12.5 %, loss without counting", f"{100 * chance:.1f} points", ">= 25", chance >= 0.25),
        Goal("pairs of methods apart at 25 %", f"{apart} of {pairs}", ">= two thirds", 3 * apart >= 2 * pairs),
        Goal("rank correlation of fidelity and accuracy", f"{rank:.3f}"),
    ]


def figures_of(cell: Cell) -> dict[str, Any]:
    """A cell as plain data."""
    overall = cell.accuracy.overall
    return {
        "method": cell.method,
        "keep": cell.keep,
        "accuracy": overall.value,
        "interval": [overall.low, overall.high],
        "without_counting": cell.accuracy.without_counting.value,
        "counting": cell.accuracy.counting.value,
        "per_kind": {kind: interval.value for kind, interval in cell.accuracy.per_kind.items()},
        "fidelity": cell.fidelity,
    }


if __name__ == "__main__":
    sys.exit(main())
