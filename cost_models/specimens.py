"""Small whole models with random weights, run part by part: what calibration fits and checks a profile against."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..ir.graph import Graph
from ..ir.tracing import trace

if TYPE_CHECKING:
    import torch

    from .sweep import Bench

STEPS = 6
"""Decode steps of one run."""

_IMAGE_TOKEN = 1
_PATCH = 16


@dataclass(frozen=True)
class Shape:
    """A LLaVA of `encoder` and `decoder` layers, `width` channels in both, one square picture and `text` tokens.

    Its decoder has `vocabulary` words.
    """

    encoder: int
    decoder: int
    width: int
    heads: int
    side: int
    text: tuple[int, ...]
    vocabulary: int = 512

    def workload(self, text: int) -> str:
        """Its request with `text` tokens."""
        return f"image=1x{self.side}x{self.side},text={text},new={STEPS + 1}"

    def __str__(self) -> str:
        return f"{self.encoder}+{self.decoder} layers of {self.width}, {self.side} px"


HOST = (
    Shape(2, 2, 64, 2, 64, (8,)),
    Shape(12, 2, 64, 2, 64, (8,)),
    Shape(2, 12, 64, 2, 64, (8,)),
    Shape(8, 8, 64, 2, 64, (8,)),
)
"""So narrow that nearly all of their time is the host's; different depths tell time an op from time a stage."""

WORKING = (
    Shape(5, 7, 192, 3, 128, (12, 160), 1000),
    Shape(9, 4, 320, 5, 160, (10, 250), 2000),
    Shape(4, 9, 576, 9, 176, (24, 300), 3000),
    Shape(3, 5, 640, 10, 112, (40, 400)),
    Shape(7, 3, 704, 11, 208, (16, 128), 6000),
    Shape(2, 3, 896, 14, 240, (20, 64)),
    Shape(2, 4, 1088, 17, 96, (12, 240), 5000),
    Shape(2, 2, 1280, 20, 160, (24,)),
    Shape(2, 4, 1472, 23, 80, (16,)),
)
"""Of everyday proportions, 10 M to 250 M parameters, with short and long prompts: what their parts take beyond their
ops gives the scales and the error."""


@dataclass(frozen=True)
class Specimen:
    """One request to one shape that was built: its graph, and a run that returns seconds by part.

    `run` prefills and decodes STEPS tokens; its parts are `encoder`, `decoder` (both in the prefill), `ttft` and
    `decode` (one step).
    """

    shape: Shape
    text: int
    graph: Graph
    run: Callable[[], Mapping[str, float]]

    def __str__(self) -> str:
        return self.graph.model


def specimens(on: Bench, shape: Shape) -> tuple[Specimen, ...]:
    """`shape` with random weights on the bench's device and dtype: one specimen for each of its prompts."""
    model = on.module(_llava(shape))
    return tuple(_specimen(on, model, shape, text) for text in shape.text)


def _specimen(on: Bench, model: torch.nn.Module, shape: Shape, text: int) -> Specimen:
    graph = trace(model, shape.workload(text), name=f"{shape}, {text} text tokens")
    inputs = _inputs(on, graph, shape.side)
    return Specimen(shape, text, graph, lambda: timed_parts(model, inputs))


def _llava(shape: Shape) -> torch.nn.Module:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    width = shape.width
    vision = CLIPVisionConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=shape.encoder,
        num_attention_heads=shape.heads, image_size=shape.side, patch_size=_PATCH, projection_dim=width,
    )  # fmt: skip
    text = LlamaConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=shape.decoder,
        num_attention_heads=shape.heads, num_key_value_heads=shape.heads, vocab_size=shape.vocabulary,
        max_position_embeddings=4096,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=_IMAGE_TOKEN, vision_feature_layer=-1
    )
    return LlavaForConditionalGeneration(config)


def _inputs(on: Bench, graph: Graph, side: int) -> dict[str, Any]:
    """One picture and the workload's text, as a processor gives them."""
    import torch

    media = graph.layouts["image"].count
    ids = torch.full((1, media + graph.workload.text_tokens), 7, device=on.device)
    ids[:, 1 : 1 + media] = _IMAGE_TOKEN
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": on.tensor(1, 3, side, side)}


def timed_parts(model: Any, inputs: Mapping[str, Any], *, steps: int = STEPS) -> dict[str, float]:
    """Seconds of one prefill and of a mean decode step, the prefill's encoder and decoder apart."""
    import torch

    device = inputs["input_ids"].device
    clock = _Clock(torch.cuda.synchronize if device.type == "cuda" else None)
    towers = {"encoder": model.get_encoder(modality="image"), "decoder": model.get_decoder()}
    hooks = [hook for part, tower in towers.items() for hook in clock.attach(part, tower)]
    try:
        with torch.inference_mode():
            start = clock.now()
            output = model(**inputs, use_cache=True, logits_to_keep=1)
            token = output.logits[:, -1].argmax(-1, keepdim=True)
            prefilled = clock.now()
            taken = {**clock.seconds, "ttft": prefilled - start}
            for _ in range(steps):
                output = model(input_ids=token, past_key_values=output.past_key_values, use_cache=True)
                token = output.logits[:, -1].argmax(-1, keepdim=True)
            return taken | {"decode": (clock.now() - prefilled) / max(steps, 1)}
    finally:
        for hook in hooks:
            hook.remove()


class _Clock:
    """Seconds that each part took in its last run."""

    def __init__(self, wait: Callable[[], object] | None) -> None:
        self.wait, self.seconds, self._since = wait, dict[str, float](), dict[str, float]()

    def now(self) -> float:
        """The time, once the device has nothing left to do."""
        if self.wait is not None:
            self.wait()
        return time.perf_counter()

    def attach(self, part: str, tower: torch.nn.Module) -> tuple[Any, Any]:
        """Hooks that time every run of `tower`."""
        return (
            tower.register_forward_pre_hook(lambda *_: self._since.update({part: self.now()})),
            tower.register_forward_hook(lambda *_: self.seconds.update({part: self.now() - self._since[part]})),
        )
