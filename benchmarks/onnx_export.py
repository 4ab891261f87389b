"""Plans as ONNX models beside torch: encoder, projector and compression of one medium on this CPU.

Random weights of a small but real shape; five families (three of pictures, one of clips, one of sounds), each with a
selecting, a merging and a pooling pass behind the projector; where a family has sites inside its encoder, also a
selecting and a merging pass there, and a smaller picture before it. The difference is the largest one from torch over
features and media, relative to the largest feature; times are medians of interleaved rounds on the same threads.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import torch
import transformers as t
from _table import Goal, finish, parser, show

from foveate.common.timing import fixed_threads, interleave, median_interval, ratio_interval
from foveate.ir.encoder_sites import ENCODER_SITES
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime.export import export_onnx
from foveate.runtime.export.building import compressed_encoder

BEHIND, INSIDE = "projector.output", "encoder.layers.2.mid"
KINDS = {
    "selecting": (("divprune", BEHIND),),
    "merging": (("a-tome-output", BEHIND),),
    "pooling": (("pool", BEHIND),),
    "selecting inside": (("divprune", INSIDE),),
    "merging inside": (("tome", INSIDE),),
    "smaller and selecting inside": (("downsample", "input"), ("divprune", INSIDE)),
}
TOKEN, KEEP, LIMIT = 3, 0.25, 1e-4
TEXT: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
VISION: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "image_size": 224,
    "patch_size": 14,
}


def llava() -> Any:
    """CLIP, two linear layers: 256 tokens a picture."""
    vision, text = t.CLIPVisionConfig(**VISION), t.LlamaConfig(**TEXT)
    return t.LlavaForConditionalGeneration(t.LlavaConfig(vision_config=vision, text_config=text, image_token_id=TOKEN))


def paligemma() -> Any:
    """SigLIP, one linear layer: 256 tokens a picture."""
    text = t.GemmaConfig(**TEXT, head_dim=64)
    vision = t.SiglipVisionConfig(**VISION, projection_dim=256)
    config = t.PaliGemmaConfig(vision_config=vision, text_config=text, image_token_index=TOKEN, projection_dim=256)
    return t.PaliGemmaForConditionalGeneration(config)


def internvl() -> Any:
    """InternViT with pixel shuffle: 64 tokens a picture."""
    vision = t.InternVLVisionConfig(**VISION | {"image_size": [224, 224], "patch_size": [14, 14]})
    config = t.InternVLConfig(vision_config=vision, text_config=t.Qwen2Config(**TEXT), image_token_id=TOKEN)
    return t.InternVLForConditionalGeneration(config)


def video_llava() -> Any:
    """CLIP over 8 frames of 112 x 112: 520 tokens a clip, [CLS] of each frame among them."""
    vision, text = t.CLIPVisionConfig(**VISION | {"image_size": 112}), t.LlamaConfig(**TEXT)
    config = t.VideoLlavaConfig(vision_config=vision, text_config=text, image_token_index=4, video_token_index=TOKEN)
    return t.VideoLlavaForConditionalGeneration(config)


def voxtral() -> Any:
    """Whisper's encoder, four positions to a token: 375 tokens for 30 s."""
    tower = t.VoxtralEncoderConfig(
        hidden_size=256, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=4, num_mel_bins=128
    )
    config = t.VoxtralConfig(audio_config=tower, text_config=t.LlamaConfig(**TEXT), audio_token_id=TOKEN)
    return t.VoxtralForConditionalGeneration(config)


FAMILIES: dict[str, tuple[Callable[[], Any], str, str, tuple[int, ...], int]] = {
    "llava": (llava, "image", "pixel_values", (1, 3, 224, 224), 256),
    "paligemma": (paligemma, "image", "pixel_values", (1, 3, 224, 224), 256),
    "internvl": (internvl, "image", "pixel_values", (1, 3, 224, 224), 64),
    "video_llava": (video_llava, "video", "pixel_values_videos", (1, 8, 3, 112, 112), 520),
    "voxtral": (voxtral, "audio", "input_features", (1, 128, 3000), 375),
}


def measure(family: str, kind: str, folder: Path, *, rounds: int, threads: int) -> dict[str, Any]:
    """The figures of one family and pass."""
    build, modality, name, shape, tokens = FAMILIES[family]
    torch.manual_seed(0)
    model = build().eval()
    inputs = {name: torch.randn(shape), "input_ids": torch.full((1, tokens), TOKEN)}
    keep = KEEP ** (1 / len(KINDS[kind]))
    placements = [Placement(method, f"{modality}.{place}", keep) for method, place in KINDS[kind]]
    (found,) = export_onnx(model, Plan.of(*placements), folder, inputs=inputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(found.path, options, providers=["CPUExecutionProvider"])
    fed = {name: inputs[name].numpy()}
    with torch.inference_mode(), compressed_encoder(model, placements, modality=modality, inputs=inputs) as built:
        encoder, features = built
        taken = interleave(
            {"torch": lambda: encoder(features), "onnxruntime": lambda: session.run(None, fed)}, rounds=rounds, warmup=2
        )
    times = {runtime: median_interval(1e3 * seconds) for runtime, seconds in taken.items()}
    return {
        "family": family,
        "pass": f"{', '.join(method for method, _ in KINDS[kind])} ({kind})",
        "tokens": [found.tokens_in, found.tokens_out],
        "error": found.error,
        "opset": found.opset,
        "file_mb": found.path.stat().st_size / 1e6,
        "torch_ms": times["torch"].median,
        "onnxruntime_ms": times["onnxruntime"].median,
        "ratio": list(ratio_interval(taken["onnxruntime"], taken["torch"])),
    }


def main() -> int:
    """Every family with every kind of pass."""
    made = parser(__doc__ or "")
    made.add_argument("--threads", type=int, default=1, help="threads of torch and of onnxruntime")
    options = made.parse_args()
    families = ["llava"] if options.quick else list(FAMILIES)
    sampling = {"rounds": 3 if options.quick else 11, "threads": options.threads}
    with tempfile.TemporaryDirectory() as folder, fixed_threads(options.threads):
        pairs = [(family, kind) for family in families for kind in KINDS if _offered(family, kind)]
        rows = [measure(family, kind, Path(folder), **sampling) for family, kind in pairs]
        opset = rows[0]["opset"]
        show(
            f"Encoder, projector, compression of one medium, keep {KEEP:g}, opset {opset}, threads: {options.threads}",
            ["family", "pass", "tokens", "difference", "MB", "torch ms", "onnxruntime ms", "ratio", "95 % interval"],
            [_row(row) for row in rows],
        )
        worst = max(row["error"] for row in rows)
        goals = [Goal("largest difference from torch", f"{worst:.1e}", f"<= {LIMIT:g}", worst <= LIMIT)]
        return finish(goals, json_file=options.json, figures=rows, quick=options.quick)


def _offered(family: str, kind: str) -> bool:
    """Whether a family has all the sites of a kind of plan."""
    modality = FAMILIES[family][1]
    places = {place for _, place in KINDS[kind]}
    inside = "encoder.layer.mid" in ENCODER_SITES.get((family, modality), ())
    return (inside or INSIDE not in places) and (modality == "image" or "input" not in places)


def _row(row: dict[str, Any]) -> list[str]:
    ratio, low, high = row["ratio"]
    return [
        row["family"],
        row["pass"],
        " to ".join(map(str, row["tokens"])),
        f"{row['error']:.1e}",
        f"{row['file_mb']:.1f}",
        f"{row['torch_ms']:.1f}",
        f"{row['onnxruntime_ms']:.1f}",
        f"{ratio:.2f}",
        f"{low:.2f} to {high:.2f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
