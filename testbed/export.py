"""Export a trained stage as a transformers checkpoint in fp16, feature normalisation folded into the projector."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from .decoder_stage import DecoderStage
from .model import build_processor


@torch.no_grad()
def export(stage: DecoderStage, folder: Path) -> Path:
    """Write model, configuration, tokenizer and processor to ``folder`` and return it.

    The projector's first layer reads (f - mean) / deviation in training, and
    W (f - m) / d + b = (W / d) f + (b - (W / d) m).
    """
    model: Any = copy.deepcopy(stage.model)
    first = model.model.multi_modal_projector.linear_1
    scaled = first.weight / stage.deviation
    first.bias.sub_(scaled @ stage.mean)
    first.weight.copy_(scaled)
    model.generation_config.do_sample = False
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder
