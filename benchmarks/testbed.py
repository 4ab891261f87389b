"""Accuracy of a testbed, image or video, against the visual tokens that are kept, for every pass and an oracle.

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
from oracle import Oracle, evidence

import foveate
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.testbed import samples
from foveate.testbed.evaluate import Accuracy, accuracy, answer_all, paired_bootstrap
from foveate.testbed.video.sampling import samples as video_samples

KEEPS = (0.5, 0.25, 0.125)
SITES = {"fastv": "decoder.layers.2"}


@dataclass(frozen=True)
class Testbed:
    """What differs between the testbeds: methods, tokens, and the goals that were set for each."""

    modality: str
    methods: tuple[str, ...]
    tokens: int
    accuracy: float
    worst: float | None
    separates: bool

    def plan(self, method: str, keep: float) -> Plan:
        """The method at its site: after the projector, or where it is published."""
        return Plan.of(Placement(method, SITES.get(method, f"{self.modality}.projector.output"), keep))


TESTBEDS = {
    "image": Testbed("image", ("random", "uniform", "pool", "fastervlm", "divprune", "fastv"), 256, 0.95, 0.80, True),
    "video": Testbed("video", ("random", "uniform", "pool", "divprune", "vidcom2", "fastv"), 392, 0.85, None, False),
}


@dataclass(frozen=True)
class Cell:
    """One method at one fraction of tokens."""

    method: str
    keep: float
    accuracy: Accuracy
    fidelity: float | None


def run_cell(model: Any, processor: Any, questions: list[Any], plan: Plan) -> Accuracy:
    """Answer every question under one plan."""
    with foveate.apply(model, plan):
        return accuracy(answer_all(model, processor, questions, batch_size=32), questions)


def run_oracle(model: Any, processor: Any, questions: list[Any], plan: Plan) -> Accuracy:
    """Answer every question with the tokens of the objects asked about and random others."""
    answers: list[str] = []
    for first in range(0, len(questions), 32):
        part = questions[first : first + 32]
        Oracle.aim([evidence(sample) for sample in part], seed=first)
        with foveate.apply(model, plan):
            answers += answer_all(model, processor, part, batch_size=32)
    return accuracy(answers, questions)


def measured_fidelity(model: Any, processor: Any, questions: list[Any], plans: list[Plan]) -> list[float]:
    """Label-free fidelity of every cell over the same calibration questions."""
    from foveate.planner.fidelity.fidelity import Reference, measure_fidelity
    from foveate.planner.fidelity.samples import from_testbed

    calibration = from_testbed(questions, processor)
    reference = Reference.of(model, calibration)
    return [measure_fidelity(model, calibration, plan, reference=reference).value for plan in plans]


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


def drawn(name: str, split: str, count: int) -> list[Any]:
    """Questions of a testbed's split."""
    return list((samples if name == "image" else video_samples)(split, count))


def main() -> int:
    """Fill the table."""
    made = parser(__doc__ or "")
    made.add_argument("--testbed", choices=tuple(TESTBEDS), default="image")
    made.add_argument("--questions", type=int, default=2000, help="held-out questions (default: 2000)")
    options = made.parse_args()
    torch.set_num_threads(2)
    name, testbed = options.testbed, TESTBEDS[options.testbed]
    questions = drawn(name, "heldout", 96 if options.quick else options.questions)
    calibration = drawn(name, "calibration", 48 if options.quick else 96)
    scenes = [sample.scene_seed for sample in questions]
    model, processor = foveate.testbed.load(name)
    full = accuracy(answer_all(model, processor, questions, batch_size=32), questions)
    print(f"full, {testbed.tokens} tokens\n{full.table()}", flush=True)
    names = [(method, keep) for keep in KEEPS for method in testbed.methods]
    fidelities = measured_fidelity(model, processor, calibration, [testbed.plan(*cell) for cell in names])
    cells = []
    for (method, keep), fidelity in zip(names, fidelities, strict=True):
        found = run_cell(model, processor, questions, testbed.plan(method, keep))
        cells.append(Cell(method, keep, found, fidelity))
        print(f"{method:10s} {keep:<7g} {found.overall}  fidelity {fidelity:.3f}", flush=True)
    for keep in KEEPS:
        found = run_oracle(model, processor, questions, testbed.plan(Oracle.name, keep))
        cells.append(Cell(Oracle.name, keep, found, None))
    show_accuracy(testbed, full, cells, len(questions))
    goals = goals_of(testbed, full, cells, scenes)
    return finish(goals, json_file=options.json, figures=[figures_of(cell) for cell in cells], quick=options.quick)


def show_accuracy(testbed: Testbed, full: Accuracy, cells: list[Cell], questions: int) -> None:
    """Methods by rows, fractions by columns; then the uncompressed model by kind of question."""
    found = {(cell.method, cell.keep): str(cell.accuracy.overall) for cell in cells}
    title = f"Held-out accuracy by fraction of {testbed.tokens} visual tokens kept, {questions} questions"
    rows = [[m, str(full.overall), *(found[m, keep] for keep in KEEPS)] for m in (*testbed.methods, Oracle.name)]
    show(title, ["method", "100 %", *(f"{100 * keep:g} %" for keep in KEEPS)], rows)
    kinds = {"without counting": full.without_counting, "counting": full.counting} | full.per_kind
    show("All tokens, by kind of question", ["kind", "accuracy"], [[kind, str(found)] for kind, found in kinds.items()])


def goals_of(testbed: Testbed, full: Accuracy, cells: list[Cell], scenes: list[int]) -> list[Goal]:
    """The goals of the issue that asked for the testbed."""
    found = {(cell.method, cell.keep): cell for cell in cells}
    base = full.without_counting.value
    oracle = base - found[Oracle.name, 0.125].accuracy.without_counting.value
    chance = base - found["random", 0.125].accuracy.without_counting.value
    apart, pairs = separated_pairs(cells, 0.25, scenes)
    known = [cell for cell in cells if cell.fidelity is not None]
    rank = spearman([c.fidelity or 0.0 for c in known], [c.accuracy.overall.value for c in known])
    worst = min(full.per_kind.items(), key=lambda item: item[1].value)
    asked, least, tells = testbed.accuracy, testbed.worst, testbed.separates
    return [
        Goal("accuracy, all tokens", f"{full.overall}", f">= {100 * asked:g} %", full.overall.value >= asked),
        _goal("worst question type", f"{worst[0]} {worst[1]}", ">= 80 %", worst[1].value >= (least or 0), least),
        _goal("oracle at 12.5 %, loss without counting", f"{100 * oracle:.1f} points", "<= 3", oracle <= 0.03, tells),
        _goal("random at 12.5 %, loss without counting", f"{100 * chance:.1f} points", ">= 25", chance >= 0.25, tells),
        _goal("pairs of methods apart at 25 %", f"{apart} of {pairs}", ">= two thirds", 3 * apart >= 2 * pairs, tells),
        Goal("rank correlation of fidelity and accuracy", f"{rank:.3f}"),
    ]


def _goal(figure: str, value: str, goal: str, met: bool, asked: object) -> Goal:
    """A goal, or the bare figure where none was set for this testbed."""
    return Goal(figure, value, goal, met) if asked else Goal(figure, value)


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
