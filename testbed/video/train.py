"""Train the video testbed from nothing: ``python -m foveate.testbed.video.train --stage all --out RUN``.

Stages run in order, each from the one before: encoder, align, subset, full, export. Every stage leaves
``RUN/<stage>.pt``; ``--resume`` goes on from there. Budgets are minutes or steps; with steps, the same seed on the
same machine gives the same losses.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ..loop import Run
from ..train import Recipe, command_line, fit, load_tower, run_stages, stage_weights
from .export import export
from .model import TOY, VideoModelSize, build_model
from .stages import DecoderStage, EncoderStage

RECIPES = {
    "encoder": Recipe(minutes=9, batch_size=48, rate=3e-3, after=None),
    "align": Recipe(minutes=1, batch_size=48, rate=2e-3, after="encoder"),
    "subset": Recipe(minutes=17, batch_size=24, rate=2e-3, after="align"),
    "full": Recipe(minutes=13, batch_size=16, rate=8e-4, after="subset"),
}
SIZES = {"default": VideoModelSize(), "toy": TOY}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    return command_line("foveate.testbed.video.train", __doc__, stages=tuple(RECIPES), sizes=tuple(SIZES))


def load_decoder_stage(
    path: Path, *, size: VideoModelSize, kind: str = "full", batch_size: int = 1, seed: int = 0
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
    torch.manual_seed(options.seed)
    stage: EncoderStage | DecoderStage
    if name == "encoder":
        stage = EncoderStage(build_model(size, seed=options.seed), batch_size=batch_size, seed=options.seed)
    elif name == "align":
        stage = DecoderStage(build_model(size, seed=options.seed), kind=name, batch_size=batch_size, seed=options.seed)
        load_tower(stage.model.model.visual, before)
    else:
        stage = load_decoder_stage(before, size=size, kind=name, batch_size=batch_size, seed=options.seed)
    return fit(stage, name, options, recipe)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the asked stages."""
    options = parser().parse_args(arguments)

    def export_from(state: Path, folder: Path) -> Path:
        return export(load_decoder_stage(state, size=SIZES[options.size]), folder)

    run_stages(options, tuple(RECIPES), run=run_stage, export_from=export_from)


if __name__ == "__main__":
    main()
