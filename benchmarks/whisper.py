"""Word error rate of Whisper tiny.en and base on recorded speech against the sound tokens that are kept.

Recorded prompts are joined into windows of 25 to 30 seconds, so that little of a window is padding. Every method for
sound and every plain baseline is placed before the encoder, in it (a third deep, between attention and MLP) or at its
output. Differences from all tokens have a paired bootstrap over windows. Cells that the JSON file holds are kept.
Weights and recordings are fetched into the folder that FOVEATE_REAL_DATA names; where a package is gone the benchmark
says so and measures nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _speech import Listener, samples_of
from _table import Goal, finish, parser, show
from numpy.typing import NDArray
from real_weights import speech, whisper_weights
from real_weights.wer import error_rate, paired_difference

from foveate.common.errors import BadInput
from foveate.common.files import write_whole
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan

KEEPS = {"before": (0.9, 0.75), "in": (0.5, 0.25), "after": (0.5, 0.25)}
BASELINES = ("random", "uniform", "pool", "norm")
METHODS = {
    "before": ("trim-padding",),
    "in": (*BASELINES, "tome", "a-tome", "topk-audio"),
    "after": (*BASELINES, "a-tome-output", "topk-audio"),
}


@dataclass(frozen=True)
class Cell:
    """The mistakes of one model under one plan, window by window."""

    model: str
    place: str
    method: str
    keep: float
    mistakes: NDArray[np.int64]

    @property
    def key(self) -> tuple[str, str, str, float, int]:
        """What makes it the same cell in a later run."""
        return self.model, self.place, self.method, self.keep, len(self.mistakes)

    def as_data(self) -> dict[str, Any]:
        """The cell as plain data."""
        return vars(self) | {"mistakes": self.mistakes.tolist()}


class Recogniser:
    """A Whisper of some size with the windows that it is asked to transcribe.

    Attributes:
        spoken: (W,) words in each window.
    """

    def __init__(self, name: str, windows: Sequence[speech.Speech]) -> None:
        self.name, (self.model, tokenizer) = name, whisper_weights.load(name)
        if name == "base":  # which knows other languages and tasks
            self.model.generation_config.language = "en"  # `update` leaves out what is not there yet
            self.model.generation_config.task = "transcribe"
        self.listener = Listener(self.model, tokenizer, samples_of(windows))
        self.spoken = self.listener.spoken

    def plan(self, place: str, method: str, keep: float) -> Plan:
        """The method at its place in this model."""
        middle = self.model.config.encoder_layers // 3
        sites = {"before": "input", "in": f"encoder.layers.{middle}.mid", "after": "encoder.output"}
        return Plan.of(Placement(method, f"audio.{sites[place]}", keep))


class Notebook:
    """Cells measured so far; those that the JSON file holds are not measured again after an interruption."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        rows = json.loads(path.read_text())["figures"] if path is not None and path.exists() else []
        cells = [Cell(**{**row, "mistakes": np.array(row["mistakes"])}) for row in rows]
        self.cells = {cell.key: cell for cell in cells}

    def cell(self, recogniser: Recogniser, place: str, method: str, keep: float) -> Cell:
        """The cell, known or measured now."""
        key = (recogniser.name, place, method, keep, len(recogniser.spoken))
        if key not in self.cells:
            plan = None if method == "none" else recogniser.plan(place, method, keep)
            self.cells[key] = cell = Cell(recogniser.name, place, method, keep, recogniser.listener.mistakes(plan))
            print(f"{' '.join(map(str, key))}: {100 * error_rate(cell.mistakes, recogniser.spoken):.1f} %", flush=True)
            if self.path is not None:
                figures = [known.as_data() for known in self.cells.values()]
                write_whole(self.path, json.dumps({"figures": figures}) + "\n")
        return self.cells[key]


def measured(recogniser: Recogniser, notebook: Notebook, *, quick: bool) -> list[Cell]:
    """Every cell of one model, the one with all tokens first; a quick run takes the lowest fraction alone."""
    cells = [notebook.cell(recogniser, "", "none", 1.0)]
    for place, methods in METHODS.items():
        keeps = KEEPS[place][-1:] if quick else KEEPS[place]
        cells += [notebook.cell(recogniser, place, method, keep) for method in methods for keep in keeps]
    return cells


def main() -> int:
    """Fill a table for each model."""
    made = parser(__doc__ or "")
    made.add_argument("--windows", type=int, help="windows to transcribe (default: all)")
    made.add_argument("--models", nargs="+", choices=tuple(whisper_weights.SIZES), default=list(whisper_weights.SIZES))
    made.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    options = made.parse_args()
    torch.set_num_threads(options.threads)
    try:
        windows = speech.windows(speech.prompts())[: 2 if options.quick else options.windows]
        names = options.models[:1] if options.quick else options.models
        recognisers = [Recogniser(name, windows) for name in names]
    except BadInput as reason:
        print(f"skipped: {reason}")
        return 0
    notebook = Notebook(None if options.quick else options.json)
    goals, figures = [], []
    for recogniser in recognisers:
        cells = measured(recogniser, notebook, quick=options.quick)
        _show(cells, recogniser.spoken)
        goals += goals_of(cells, recogniser.spoken)
        figures += [cell.as_data() for cell in cells]
    return finish(goals, json_file=options.json, figures=figures, quick=options.quick)


def _show(cells: Sequence[Cell], spoken: NDArray[np.int64]) -> None:
    """Methods by rows, fractions by columns: the rate, and how much worse than all tokens with its interval."""
    full = cells[0]
    found = {(cell.place, cell.method, cell.keep): cell for cell in cells[1:]}
    keeps = sorted({cell.keep for cell in cells[1:]}, reverse=True)
    rows = [
        [place, method, *(_text(found.get((place, method, keep)), full, spoken) for keep in keeps)]
        for place, method in dict.fromkeys((cell.place, cell.method) for cell in cells[1:])
    ]
    rate = 100 * error_rate(full.mistakes, spoken)
    title = f"Word error rate of {full.model}, {len(spoken)} windows, {spoken.sum()} words; all tokens: {rate:.1f} %"
    show(title, ["encoder", "method", *(f"keep {100 * keep:g} %" for keep in keeps)], rows)


def _text(cell: Cell | None, full: Cell, spoken: NDArray[np.int64]) -> str:
    if cell is None:
        return ""
    change, low, high = (100 * part for part in paired_difference(cell.mistakes, full.mistakes, spoken))
    return f"{100 * error_rate(cell.mistakes, spoken):.1f} % ({change:+.1f} [{low:+.1f}, {high:+.1f}])"


def goals_of(cells: Sequence[Cell], spoken: NDArray[np.int64]) -> list[Goal]:
    """No goal was set: each line says which designed methods make more mistakes than the best plain baseline."""
    goals = []
    for place in ("in", "after"):
        for keep in sorted({cell.keep for cell in cells if cell.place == place}, reverse=True):
            here = [cell for cell in cells if (cell.place, cell.keep) == (place, keep)]
            best = min((cell for cell in here if cell.method in BASELINES), key=lambda cell: int(cell.mistakes.sum()))
            beaten = [_beaten(cell, best, spoken) for cell in here if cell.method not in BASELINES]
            rate = 100 * error_rate(best.mistakes, spoken)
            figure = f"{best.model}, {place}, keep {keep:g}: designed methods worse than {best.method} ({rate:.1f} %)"
            goals.append(Goal(figure, ", ".join(filter(None, beaten)) or "none"))
    return goals


def _beaten(cell: Cell, best: Cell, spoken: NDArray[np.int64]) -> str:
    """The method where the baseline wins, in brackets where noise may explain it; empty where it does not win."""
    change, low, _ = paired_difference(cell.mistakes, best.mistakes, spoken)
    if change <= 0:
        return ""
    return cell.method if low > 0 else f"({cell.method})"


if __name__ == "__main__":
    sys.exit(main())
