"""What applying a plan costs beyond the work that it leaves: TTFT over the native limit.

A random-weight LLaVA of over 100 M parameters runs `uniform` at the projector's output. Native is the same encoder
pass and a decoder fed only the embeddings that the plan keeps. The key-value cache must shrink by exactly the tokens
dropped.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from _table import Goal, arguments, finish, show
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

import foveate
from foveate.common.timing import fixed_threads
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan

KEEPS = (0.5, 0.25, 0.11)
IMAGE_TOKEN, TOKENS, TEXT = 3, 576, 32
LIMIT = 1.03


def build() -> Any:
    """A LLaVA with a small tower and a decoder of 14 layers of width 768."""
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=336,
        patch_size=14,
    )
    text = LlamaConfig(
        vocab_size=4096, hidden_size=768, intermediate_size=2048, num_hidden_layers=14, num_attention_heads=12
    )
    config: Any = LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE_TOKEN)
    config.image_token_id = IMAGE_TOKEN
    return LlavaForConditionalGeneration(config).eval()


def inputs() -> dict[str, torch.Tensor]:
    """One picture and a short prompt."""
    ids = torch.tensor([[1, *[IMAGE_TOKEN] * TOKENS, *range(5, 5 + TEXT)]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.randn(1, 3, 336, 336)}


def measure_keep(model: Any, keep: float, rounds: int) -> dict[str, Any]:
    """The figures of one fraction."""
    plan = Plan.of(Placement("uniform", "image.projector.output", keep))
    found = foveate.measure(model, inputs(), plan=plan, rounds=rounds, new_tokens=0, native=True)
    per_token = found.plain.kv_bytes // (TOKENS + TEXT + 1)
    dropped = TOKENS - round(keep * TOKENS)
    return {
        "keep": keep,
        "plain_ms": found.plain.ttft_ms,
        "plan_ms": found.plan.ttft_ms,
        "native_ms": found.native.ttft_ms,
        "over_native": list(found.over_native),
        "over_plain": list(found.ratio),
        "kv_exact": found.plain.kv_bytes - found.plan.kv_bytes == per_token * dropped,
    }


def main() -> int:
    """Measure every fraction."""
    options = arguments(__doc__ or "")
    model = build()
    count = sum(p.numel() for p in model.parameters())
    with fixed_threads(2):
        rows = [measure_keep(model, keep, 3 if options.quick else 15) for keep in KEEPS]
    show(
        f"TTFT on this CPU, {count / 1e6:.0f} M parameters, {TOKENS} visual tokens, medians",
        ["keep", "plain ms", "plan ms", "native ms", "plan / native", "95 % interval", "plan / plain"],
        [
            [
                row["keep"],
                f"{row['plain_ms']:.1f}",
                f"{row['plan_ms']:.1f}",
                f"{row['native_ms']:.1f}",
                f"{row['over_native'][0]:.3f}",
                f"{row['over_native'][1]:.3f} to {row['over_native'][2]:.3f}",
                f"{row['over_plain'][0]:.3f}",
            ]
            for row in rows
        ],
    )
    goals = [Goal("parameters", f"{count / 1e6:.0f} M", ">= 100 M", count >= 100e6)]
    for row in rows:
        over = row["over_native"][0]
        goals.append(Goal(f"plan over native, keep {row['keep']}", f"{over:.3f}", f"<= {LIMIT}", over <= LIMIT))
    exact = all(row["kv_exact"] for row in rows)
    goals.append(Goal("cache shrinks by exactly the tokens dropped", str(exact), "True", exact))
    return finish(goals, json_file=options.json, figures=rows, quick=options.quick)


if __name__ == "__main__":
    sys.exit(main())
