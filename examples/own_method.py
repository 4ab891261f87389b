"""A compression method of your own: one class, one `score`; then it is a pass like any other.

Run `python examples/own_method.py` for its answers and cost beside the model's own on a held-out scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

import foveate
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.passes import Tokens, register
from foveate.passes.score import ScorePass
from foveate.testbed import load, samples
from foveate.testbed.evaluate import answer_all


@register
@dataclass(frozen=True)
class Outliers(ScorePass):
    """Keep the tokens that are least like the picture's mean token."""

    name = "outliers"
    source = "examples/own_method.py"
    summary = "keep the tokens that are least like the mean token"
    mechanism = "similarity"
    consumes = ("feature",)

    def score(self, tokens: Tokens) -> torch.Tensor:
        """Distance to the mean token, (B, N)."""
        features = tokens.features.float()
        return (features - features.mean(dim=1, keepdim=True)).norm(dim=-1)


def main() -> None:
    """Answer six questions with and without the pass, keeping a quarter of the tokens."""
    model, processor = load("image")
    asked = samples("heldout", 6)
    plan = Plan.of(Placement("outliers", "image.projector.output", 0.25))
    without = answer_all(model, processor, asked)
    with foveate.apply(model, plan) as handle:
        under = answer_all(model, processor, asked)
        kept = next(iter(handle.selections.values())).shape[-1]
    for sample, first, second in zip(asked, without, under, strict=True):
        print(f"{sample.question.text:32s} truth {sample.answer:14s} all tokens {first:14s} {kept} tokens {second}")


if __name__ == "__main__":
    main()
