"""Export a trained stage as a transformers checkpoint in fp16, with its processor."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from .model import build_tokenizer
from .processor import VideoProcessor
from .stages import DecoderStage


@torch.no_grad()
def export(stage: DecoderStage, folder: Path) -> Path:
    """Write model, configuration, tokenizer and processor settings to ``folder`` and return it."""
    model: Any = copy.deepcopy(stage.model)
    model.generation_config.do_sample = False
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    VideoProcessor(build_tokenizer()).save_pretrained(folder)
    return folder
