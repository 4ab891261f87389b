"""Train the testbed from nothing: ``python -m foveate.testbed.train --stage all --out RUN``.

Stages run in order, each from the one before: encoder, align, subset, full, export. Every stage leaves
``RUN/<stage>.pt``; ``--resume`` goes on from there. Budgets are minutes or steps; with steps, the same seed on the
same machine gives the same losses.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..common.errors import BadInput
from .decoder_stage import DecoderStage
from .encoder_stage import EncoderStage
from .export import export
from .loop import Budget, Run, train
from .model import TOY, ModelSize, build_model


@dataclass(frozen=True)
class Recipe:
    """What a stage trains with when the command line does not say."""

    minutes: float
    batch_size: int
    rate: float
    after: str | None


RECIPES = {
    "encoder": Recipe(minutes=24, batch_size=24, rate=3e-3, after=None),
    "align": Recipe(minutes=1.5, batch_size=24, rate=2e-3, after="encoder"),
    "subset": Recipe(minutes=37, batch_size=32, rate=2e-3, after="align"),
    "full": Recipe(minutes=35, batch_size=24, rate=8e-4, after="subset"),
}
SIZES = {"default": ModelSize(), "toy": TOY}


def command_line(
    module: str, description: str | None, *, stages: Sequence[str], sizes: Sequence[str]
) -> argparse.ArgumentParser:
    """Return the command line of a training module."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("--stage", choices=(*stages, "export", "all"), default="all")
    budget = made.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="budget of the stage; with 'all', each stage keeps its own")
    budget.add_argument("--steps", type=int, help="budget of each stage in optimiser steps (reproducible)")
    made.add_argument("--batch-size", type=int)
    made.add_argument("--rate", type=float, help="peak learning rate")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--size", choices=tuple(sizes), default="default")
    made.add_argument("--workers", type=int, default=1, help="processes that compose scenes")
    made.add_argument("--out", type=Path, required=True, help="folder of the run")
    made.add_argument("--to", type=Path, help="folder of the exported model (default: OUT/export)")
    made.add_argument("--resume", action="store_true")
    made.add_argument("--init", type=Path, help="start from this state instead of the stage before's")
    return made


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = command_line("foveate.testbed.train", __doc__, stages=tuple(RECIPES), sizes=tuple(SIZES))
    made.add_argument("--tower", type=Path, help="with --init: put the tower of this encoder stage under it (align)")
    return made


def stage_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights that a finished stage left; raises ``BadInput`` where there are none."""
    if not path.exists():
        raise BadInput(f"there is no trained stage at {path}: run that stage first or name its state with --init")
    weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)["weights"]
    return weights


def load_decoder_stage(
    path: Path, *, size: ModelSize, kind: str = "full", batch_size: int = 1, seed: int = 0
) -> DecoderStage:
    """Rebuild the whole model from the state of an align, subset or full stage."""
    stage = DecoderStage(build_model(size, seed=seed), kind=kind, batch_size=batch_size, seed=seed)
    stage.load_state_dict(stage_weights(path))
    return stage


def run_stage(name: str, options: argparse.Namespace) -> Run:
    """Build a stage on top of the one before and train it."""
    recipe, size = RECIPES[name], SIZES[options.size]
    batch_size = options.batch_size or recipe.batch_size
    before = options.init or options.out / f"{recipe.after}.pt"
    stage: EncoderStage | DecoderStage
    torch.manual_seed(options.seed)
    if name == "encoder":
        tower = build_model(size, seed=options.seed).model.vision_tower
        stage = EncoderStage(tower, batch_size=batch_size, seed=options.seed)
    elif name == "align":
        stage = DecoderStage(build_model(size, seed=options.seed), kind=name, batch_size=batch_size, seed=options.seed)
        if options.tower is not None:
            stage.load_state_dict(stage_weights(before))
        load_tower(stage.model.model.vision_tower, options.tower or before)
        stage.measure_features()
    else:
        stage = load_decoder_stage(before, size=size, kind=name, batch_size=batch_size, seed=options.seed)
    return fit(stage, name, options, recipe)


def fit(stage: nn.Module, name: str, options: argparse.Namespace, recipe: Recipe) -> Run:
    """Train a built stage for the budget and rate of the command line, or else of its recipe."""
    budget = Budget(steps=options.steps) if options.steps else Budget(minutes=options.minutes or recipe.minutes)
    print(f"stage {name}: {sum(p.numel() for p in stage.parameters() if p.requires_grad):,} parameters", flush=True)
    return train(
        stage,
        budget,
        rate=options.rate or recipe.rate,
        path=options.out / f"{name}.pt",
        device="cuda" if torch.cuda.is_available() else "cpu",
        resume=options.resume,
        workers=options.workers,
    )


def load_tower(tower: nn.Module, path: Path) -> None:
    """Put the weights of a finished encoder stage into the encoder ``tower``."""
    weights = stage_weights(path)
    tower.load_state_dict({k.removeprefix("tower."): value for k, value in weights.items() if k.startswith("tower.")})


def run_stages(
    options: argparse.Namespace,
    stages: Sequence[str],
    *,
    run: Callable[[str, argparse.Namespace], Run],
    export_from: Callable[[Path, Path], Path],
) -> None:
    """Run the asked stages by ``run``; the last one, export, writes a folder from the state of the full stage."""
    for name in (*stages, "export") if options.stage == "all" else (options.stage,):
        if name == "export":
            print(f"wrote {export_from(options.init or options.out / 'full.pt', options.to or options.out / 'export')}")
        else:
            done = run(name, options)
            print(f"stage {name}: {done.step} steps in {done.seconds / 60:.1f} minutes", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the asked stages."""
    options = parser().parse_args(arguments)

    def export_from(state: Path, folder: Path) -> Path:
        return export(load_decoder_stage(state, size=SIZES[options.size]), folder)

    run_stages(options, tuple(RECIPES), run=run_stage, export_from=export_from)


if __name__ == "__main__":
    main()
