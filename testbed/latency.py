"""How the time to the first token divides: ``python -m foveate.testbed.latency`` prints the encoder's share.

``--testbed video`` times the video model.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..common.timing import Interval, fixed_threads, interleave, median_interval, ratio_interval
from .loading import load
from .sampling import samples
from .video.sampling import samples as video_samples

if TYPE_CHECKING:
    from transformers import LlavaProcessor, PreTrainedModel

    from .video.processor import VideoProcessor


@dataclass(frozen=True)
class EncoderShare:
    """Seconds of the vision tower and of the whole prefill, and their ratio paired by round."""

    encoder: Interval
    prefill: Interval
    share: Interval


def encoder_share(
    model: PreTrainedModel, processor: LlavaProcessor | VideoProcessor, *, rounds: int = 40, threads: int = 2
) -> EncoderShare:
    """Time the vision tower and the whole prefill of one question side by side, in the model's dtype.

    The video model's tower is timed with its merger. Raises ``BadInput`` (from the timing tools) when ``rounds`` is
    less than one.
    """
    import torch

    whole: Any = model
    encode, inputs = _video(whole, processor) if whole.config.model_type == "qwen2_vl" else _image(whole, processor)
    with fixed_threads(threads), torch.inference_mode():
        taken = interleave(
            {
                "encoder": encode,
                "prefill": lambda: whole(**inputs, logits_to_keep=1),
            },
            rounds=rounds,
            warmup=3,
        )
    encoder, prefill = taken["encoder"], taken["prefill"]
    return EncoderShare(median_interval(encoder), median_interval(prefill), ratio_interval(encoder, prefill))


def _image(model: Any, processor: Any) -> tuple[Callable[[], object], Any]:
    sample = samples("heldout", 1)[0]
    inputs = processor(images=sample.image, text=sample.prompt, return_tensors="pt")
    tower, pixels = model.model.vision_tower, inputs["pixel_values"]
    return lambda: tower(pixel_values=pixels, output_hidden_states=True), inputs


def _video(model: Any, processor: Any) -> tuple[Callable[[], object], Any]:
    sample = video_samples("heldout", 1)[0]
    inputs = processor(videos=sample.frames, text=sample.prompt, return_tensors="pt")
    patches, grid = inputs["pixel_values_videos"], inputs["video_grid_thw"]
    return lambda: model.model.visual(patches, grid_thw=grid), inputs


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the shipped model's numbers on this machine."""
    parser = argparse.ArgumentParser(prog="python -m foveate.testbed.latency", description=__doc__)
    parser.add_argument("--testbed", choices=("image", "video"), default="image")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    result = encoder_share(*load(options.testbed), rounds=options.rounds, threads=options.threads)
    for name, value, scale, unit in (
        ("encoder", result.encoder, 1e3, "ms"),
        ("prefill", result.prefill, 1e3, "ms"),
        ("share", result.share, 1e2, "%"),
    ):
        low, high = value.low * scale, value.high * scale
        print(f"{name:8s} {value.median * scale:6.1f} {unit}  [{low:.1f}, {high:.1f}]")


if __name__ == "__main__":
    main()
