"""`foveate run`: one answer about a picture, a clip or a sound, with and without a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..common.errors import BadInput
from ..common.media import require_file
from .inputs import read_media, request
from .models import Loaded, load_model
from .options import AudioOption, FramesOption, ImageOption, ModelArgument, VideoOption
from .output import print_table
from .own_methods import takes_methods
from .validate import checked

EXAMPLE = 'foveate run testbed --image picture.png --prompt "is there a dog" --plan plan.yaml'


@takes_methods
def run(
    model: ModelArgument,
    *,
    image: ImageOption = None,
    video: VideoOption = None,
    audio: AudioOption = None,
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help="The question.", show_default=False)],
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="PLAN", help="A plan file (YAML).", show_default=False)
    ] = None,
    frames: FramesOption = 16,
    new_tokens: Annotated[int, typer.Option("--new-tokens", min=1, help="Longest answer.")] = 32,
) -> None:
    """Ask a model about a picture, a clip or a sound, with and without a plan."""
    from ..runtime import apply

    if image is None and video is None and audio is None:
        raise BadInput("there is nothing to ask about; give --image, --video or --audio.")
    for path, kind in ((image, "picture"), (video, "clip"), (audio, "sound")):
        require_file(path, kind)
    found = None if plan is None else checked(plan)
    loaded = load_model(model)
    inputs = request(loaded, read_media(loaded, image=image, video=video, audio=audio, frames=frames), prompt)
    rows = [["none", str(_length(inputs, None)), answer(loaded, inputs, new_tokens=new_tokens)]]
    if found is not None:
        with apply(loaded.model, found) as handle:
            text = answer(loaded, inputs, new_tokens=new_tokens)
            rows.append([str(plan), str(_length(inputs, handle.positions)), text])
    print_table({"plan": "left", "prompt tokens": "right", "answer": "left"}, rows)


def answer(loaded: Loaded, inputs: dict[str, Any], *, new_tokens: int) -> str:
    """The model's greedy answer to one request."""
    import torch

    with torch.inference_mode():
        output = loaded.model.generate(**inputs, max_new_tokens=new_tokens, do_sample=False)
    prompt = 0 if loaded.model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    return str(loaded.processor.tokenizer.decode(output[0, prompt:], skip_special_tokens=True)).strip()


def _length(inputs: dict[str, Any], positions: Any) -> int:
    """Tokens of the decoder's prompt; of a model that is given a sound alone, none."""
    if positions is not None:
        return int(positions.shape[1])
    return int(inputs["input_ids"].shape[1]) if "input_ids" in inputs else 0
