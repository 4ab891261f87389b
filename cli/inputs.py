"""What a model is fed from the command line: a picture with a prompt, or a stand-in for a workload."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput
from .models import Loaded

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..ir.workload import Workload

_FILLER = "what is in the picture"


def open_picture(path: Path) -> Image:
    """The picture at `path`, RGB.

    Raises:
        BadInput: there is no such file, or it is no picture that Pillow reads.
    """
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise BadInput(f"there is no picture at {path}; check the path.")
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise BadInput(f"{path} is not a picture that can be read; give a PNG or JPEG file.") from error


def prompt_text(loaded: Loaded, question: str, *, images: int = 1) -> str:
    """The complete prompt for the processor: by its chat template where it has one, else images, then the question."""
    processor = loaded.processor
    if loaded.embedded and images == 1:
        from ..testbed.sampling import prompt_text as testbed_prompt

        return testbed_prompt(question)
    image_token = str(getattr(processor, "image_token", "<image>"))
    if image_token in question:
        return question
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}] * images + [{"type": "text", "text": question}]
        messages = [{"role": "user", "content": content}]
        return str(processor.apply_chat_template(messages, add_generation_prompt=True))
    return " ".join([image_token] * images + [question])


def processed(loaded: Loaded, pictures: Sequence[Image], prompt: str, *, batch: int = 1) -> dict[str, Any]:
    """Processor outputs of one request, repeated over the batch, on the model's device.

    Raises:
        BadInput: the processor cannot take them.
    """
    try:
        inputs = loaded.processor(
            images=list(pictures) * batch or None, text=[prompt] * batch, return_tensors="pt", padding=True
        )
    except (ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInput(f"the processor of {loaded.name} cannot take this picture and prompt: {reason}") from error
    return dict(inputs.to(loaded.model.device, dtype=loaded.model.dtype))


def workload_inputs(loaded: Loaded, workload: Workload, *, seed: int = 0) -> dict[str, Any]:
    """A stand-in for the workload: noise pictures of its sizes, and a prompt of at least its text tokens.

    Timing depends on shapes alone, so noise serves; what would depend on content is the planner's business.

    Raises:
        BadInput: the workload has no pictures; video and sound have no stand-in here yet.
    """
    import numpy as np
    from PIL import Image

    if not workload.images or workload.videos or workload.audio_seconds:
        raise BadInput(f"workload {workload}: only pictures can be stood in for; write image=count x height x width.")
    random = np.random.default_rng(seed)
    pictures = [
        Image.fromarray(random.integers(0, 256, (item.height, item.width, 3), dtype=np.uint8))
        for item in workload.images
        for _ in range(item.count)
    ]
    prompt = prompt_text(loaded, _FILLER, images=len(pictures))
    return _stretched(processed(loaded, pictures, prompt, batch=workload.batch), loaded, workload.text_tokens)


def _stretched(inputs: dict[str, Any], loaded: Loaded, text_tokens: int) -> dict[str, Any]:
    """Repeat the last token until the prompt has `text_tokens` tokens that are not the image's."""
    import torch

    ids = inputs["input_ids"]
    image_id = getattr(loaded.model.config, "image_token_id", None)
    missing = text_tokens - int((ids[0] != image_id).sum())
    if missing <= 0:
        return inputs
    longer = {"input_ids": torch.cat([ids, ids[:, -1:].expand(-1, missing)], dim=1)}
    for name in ("attention_mask", "token_type_ids", "mm_token_type_ids"):
        if name in inputs:
            longer[name] = torch.cat([inputs[name], inputs[name][:, -1:].expand(-1, missing)], dim=1)
    return inputs | longer
