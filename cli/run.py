"""`foveate run`: one answer about one picture, with and without a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .inputs import open_picture, processed, prompt_text
from .models import Loaded, load_model
from .options import ModelArgument
from .output import print_table
from .validate import checked

EXAMPLE = 'foveate run testbed --image picture.png --prompt "is there a dog" --plan plan.yaml'


def run(
    model: ModelArgument,
    *,
    image: Annotated[Path, typer.Option("--image", metavar="PICTURE", help="A PNG or JPEG file.", show_default=False)],
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help="The question.", show_default=False)],
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="PLAN", help="A plan file (YAML).", show_default=False)
    ] = None,
    new_tokens: Annotated[int, typer.Option("--new-tokens", min=1, help="Longest answer.")] = 32,
) -> None:
    """Ask a model about a picture, with and without a plan."""
    from ..runtime import apply

    picture = open_picture(image)
    found = None if plan is None else checked(plan)
    loaded = load_model(model)
    inputs = processed(loaded, [picture], prompt_text(loaded, prompt))
    rows = [["none", str(inputs["input_ids"].shape[1]), answer(loaded, inputs, new_tokens=new_tokens)]]
    if found is not None:
        with apply(loaded.model, found) as handle:
            text = answer(loaded, inputs, new_tokens=new_tokens)
            left = inputs["input_ids"] if handle.positions is None else handle.positions
            rows.append([str(plan), str(left.shape[1]), text])
    print_table({"plan": "left", "prompt tokens": "right", "answer": "left"}, rows)


def answer(loaded: Loaded, inputs: dict[str, Any], *, new_tokens: int) -> str:
    """The model's greedy answer to one request."""
    import torch

    with torch.inference_mode():
        output = loaded.model.generate(**inputs, max_new_tokens=new_tokens, do_sample=False)
    new = output[0, inputs["input_ids"].shape[1] :]
    return str(loaded.processor.tokenizer.decode(new, skip_special_tokens=True)).strip()
