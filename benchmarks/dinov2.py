"""DINOv2-S under every encoder-side method for pictures, at 257 and 1370 tokens.

Methods after the encoder choose among the patch features of layer 8: 1-NN accuracy (leave one out, cosine) of the mean
of what they keep over emoji in their categories, how near that mean is to the mean of all patches, and their time.
Methods in the encoder act a third deep: how near the [CLS] token of the last layer stays to that of the whole picture,
and the tower's time against its own. Times are of the processor on one thread, which other work on the machine does not
stretch. Weights and pictures are fetched into the folder that FOVEATE_REAL_DATA names; where a package is gone the
benchmark says so and measures nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np
import torch
from _dinov2_tower import PIXELS, Pictures, Tower, timed
from _recorder import listening
from _table import Goal, finish, parser, show
from real_weights import dinov2_weights
from real_weights.nearest import nearest_right
from torch.nn.functional import cosine_similarity

import foveate
from foveate.common.errors import BadInput
from foveate.ir.layout import Layout
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.passes import REGISTRY, Pass, Tokens, create
from foveate.passes.primitives.merge import merged
from foveate.testbed.evaluate import paired_bootstrap

KEEPS = (0.5, 0.25, 0.125)
DEEP = 4
PICTURES = {257: (280, 28), 1370: (42, 4)}
"""By tokens, how many pictures the methods after the encoder see, and how many those in it."""

BASELINES = ("random", "uniform", "pool", "norm")


@dataclass(frozen=True)
class Cell:
    """One method at one fraction of the patches.

    Attributes:
        nearness: mean cosine with what all patches give: of the mean patch, or of [CLS] for methods in the encoder.
        accuracy: of 1-NN, None in the encoder. change: accuracy minus that of all patches, with its 95 % interval.
        cost: time of the method as a part of the tower's; in the encoder the tower's time as a part of what it was.
    """

    tokens: int
    place: str
    method: str
    keep: float
    nearness: float
    cost: float
    accuracy: float | None = None
    change: tuple[float, float, float] | None = None


def after_encoder() -> list[Pass]:
    """Every pass that keeps or merges a picture's patches by what its encoder alone tells."""
    found = []
    for name in sorted(REGISTRY.names()):
        cls = REGISTRY.get(name)
        if "image" in cls.modalities and "projector.output" in cls.sites and not cls.query_aware and name != "recorder":
            needs = create(name).needs(Layout.image(4, 4))
            found += [create(name)] if all(need.stage == "encoder" for need in needs) else []
    return found


def in_encoder() -> list[tuple[str, str]]:
    """Every pass that acts on a picture's patches inside the encoder, with its site."""
    kinds = {"encoder.layer.mid": f"image.encoder.layers.{DEEP}.mid", "encoder.layer": f"image.encoder.layers.{DEEP}"}
    found = []
    for name in sorted(REGISTRY.names()):
        cls = REGISTRY.get(name)
        kind = next((kind for kind in kinds if kind in cls.sites), None)
        if kind is not None and "image" in cls.modalities and not cls.withdraws:
            found.append((name, kinds[kind]))
    return found


class Means:
    """Means of what each method keeps, picture by picture, gathered batch by batch."""

    def __init__(self, methods: Sequence[Pass], keeps: Sequence[float]) -> None:
        self.cases = [(method, keep) for method in methods for keep in keeps]
        self.full: list[torch.Tensor] = []
        self.kept: dict[tuple[str, float], list[torch.Tensor]] = {(m.name, keep): [] for m, keep in self.cases}
        self.times: dict[tuple[str, float], list[float]] = {(m.name, keep): [] for m, keep in self.cases}
        self.tower: list[float] = []

    def add(self, tokens: Tokens, seconds: float) -> None:
        """One encoded batch, which took `seconds`."""
        self.tower.append(seconds)
        self.full.append(tokens.features.mean(dim=1))
        for method, keep in self.cases:
            target = method.count(tokens.layout, keep)
            took, features = timed(lambda m=method, t=target: merged(tokens.features, m.compress(tokens, t)))
            self.times[method.name, keep].append(took)
            self.kept[method.name, keep].append(features.mean(dim=1))

    def cells(self, tokens: int, names: Sequence[str]) -> list[Cell]:
        """All cells, that of all patches first."""
        full = torch.cat(self.full)
        right = nearest_right(full, names)
        cells = [Cell(tokens, "after", "all patches", 1.0, 1.0, 0.0, float(np.mean(right)))]
        for method, keep in self.cases:
            kept = torch.cat(self.kept[method.name, keep])
            found = nearest_right(kept, names)
            near = float(cosine_similarity(kept, full).mean())
            cost = median(self.times[method.name, keep]) / median(self.tower)
            change = paired_bootstrap(found, right, range(len(right)))
            cells.append(Cell(tokens, "after", method.name, keep, near, cost, float(np.mean(found)), change))
        return cells


def measured_after(tower: Tower, pictures: Pictures, keeps: Sequence[float]) -> list[Cell]:
    """Every method on the features of layer 8, each picture encoded once."""
    methods = after_encoder()
    means = Means(methods, keeps)
    plan = Plan.of(Placement("recorder", "image.projector.output", 1.0))
    with listening(methods, tower.layout) as heard, foveate.apply(tower.model, plan, force_compaction=True):
        for batch in pictures.batches:
            seconds, _ = timed(lambda batch=batch: tower.look(batch))
            means.add(heard.pop(), seconds)
    return means.cells(tower.tokens, pictures.names)


def measured_in(tower: Tower, pictures: Pictures, keeps: Sequence[float]) -> list[Cell]:
    """Every method in the encoder: nearness of [CLS], and the time that the tower takes against its own."""
    usual, whole = timed(lambda: tower.class_tokens(pictures.batches))
    cells = []
    for name, site in in_encoder():
        for keep in keeps:
            plan = Plan.of(Placement(name, site, keep))
            took, found = timed(lambda plan=plan: tower.class_tokens(pictures.batches, plan))
            near = float(cosine_similarity(found, whole).mean())
            cells.append(Cell(tower.tokens, "in", name, keep, near, took / usual))
            print(
                f"{tower.tokens} tokens, {name}, keep {keep:g}: [CLS] {near:.3f}, time {took / usual:.2f}", flush=True
            )
    return cells


def main() -> int:
    """Fill the tables."""
    made = parser(__doc__ or "")
    made.add_argument("--tokens", type=int, choices=tuple(PIXELS), default=257, help="with [CLS] (default: 257)")
    made.add_argument("--pictures", type=int, help="pictures for methods after the encoder (default: 280, or 42)")
    options = made.parse_args()
    torch.set_num_threads(1)
    tokens, keeps = options.tokens, KEEPS[1:2] if options.quick else KEEPS
    many, few = (28, 14) if options.quick else PICTURES[tokens]
    try:
        backbone = dinov2_weights.load()
        pictures = Pictures.drawn(options.pictures or many, tokens=tokens)
    except BadInput as reason:
        print(f"skipped: {reason}")
        return 0
    tower = Tower(backbone, tokens)
    tower.look(pictures.batches[0])  # what only the first call does is not timed
    cells = measured_after(tower, pictures, keeps)
    goals = [untrained(pictures, cells[0])] if tokens == 257 else []
    cells += measured_in(tower, pictures.first(few), keeps[:2])
    _show(cells, tokens, pictures, pictures.first(few))
    goals = [*goals_of(cells), *goals]
    return finish(goals, json_file=options.json, figures=[asdict(c) for c in cells], quick=options.quick)


def untrained(pictures: Pictures, full: Cell) -> Goal:
    """What the same network gives without training: how much of the accuracy is the weights' own."""
    from transformers import Dinov2Model

    torch.manual_seed(0)
    found = measured_after(Tower(Dinov2Model(dinov2_weights.configuration()).eval(), full.tokens), pictures, ())
    figure = "1-NN accuracy of all patches, published weights and random ones"
    return Goal(figure, f"{100 * (full.accuracy or 0):.1f} %, {100 * (found[0].accuracy or 0):.1f} %")


def _show(cells: Sequence[Cell], tokens: int, pictures: Pictures, few: Pictures) -> None:
    full, kinds = cells[0], len(set(pictures.names))
    title = (
        f"After the encoder, {tokens} tokens: 1-NN accuracy and cosine of the mean patch with that of all, "
        f"{len(pictures.names)} pictures in {kinds} categories; all patches {100 * (full.accuracy or 0):.1f} %"
    )
    _table(title, [cell for cell in cells[1:] if cell.place == "after"], _after_text, "time / tower at 25 %")
    title = f"In layer {DEEP}, {tokens} tokens: cosine of the last [CLS] with that of all, {len(few.names)} pictures"
    _table(title, [cell for cell in cells if cell.place == "in"], _in_text, "time at 25 %")


def _table(title: str, cells: Sequence[Cell], text: Callable[[Cell], str], cost: str) -> None:
    keeps = sorted({cell.keep for cell in cells}, reverse=True)
    rows = []
    for method in dict.fromkeys(cell.method for cell in cells):
        mine = {cell.keep: cell for cell in cells if cell.method == method}
        rows.append([method, *(text(mine[keep]) for keep in keeps), f"{100 * mine[0.25].cost:.1f} %"])
    show(title, ["method", *(f"keep {100 * keep:g} %" for keep in keeps), cost], rows)


def _after_text(cell: Cell) -> str:
    change, low, high = (100 * part for part in cell.change or (0.0, 0.0, 0.0))
    return f"{100 * (cell.accuracy or 0):.1f} % ({change:+.1f} [{low:+.1f}, {high:+.1f}]), {cell.nearness:.3f}"


def _in_text(cell: Cell) -> str:
    return f"{cell.nearness:.3f}"


def goals_of(cells: Sequence[Cell]) -> list[Goal]:
    """No goal was set: each line says which designed methods the best plain baseline beats."""
    goals = []
    for tokens, place, keep in dict.fromkeys((c.tokens, c.place, c.keep) for c in cells if c.keep < 1):
        here = [cell for cell in cells if (cell.tokens, cell.place, cell.keep) == (tokens, place, keep)]
        best = max((cell for cell in here if cell.method in BASELINES), key=_merit)
        beaten = [cell.method for cell in here if cell.method not in BASELINES and _merit(cell) < _merit(best)]
        what = "[CLS]" if place == "in" else "1-NN"
        figure = f"{tokens} tokens, {place}, keep {keep:g}: designed methods below {best.method} by {what}"
        goals.append(Goal(figure, ", ".join(beaten) or "none"))
    return goals


def _merit(cell: Cell) -> float:
    return cell.nearness if cell.accuracy is None else cell.accuracy


if __name__ == "__main__":
    sys.exit(main())
