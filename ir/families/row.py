"""How a family is traced: where its parts are, and what a request feeds it. One generic row serves most."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ..layout import Layout
from ..workload import Workload

if TYPE_CHECKING:
    import torch
    from torch import nn

ARGUMENTS = {
    "image": ("pixel_values", "pixel_values_images", "image_pixel_values", "flattened_patches", "image_patches"),
    "video": ("pixel_values_videos",),
    "audio": ("input_features", "input_values", "audio_input_features", "audio_input_ids"),
}
"""Arguments of `forward` that carry a modality."""

ENCODERS = {
    "image": (
        *("vision_tower", "vision_model", "visual", "vision_encoder", "image_tower", "vision", "image_encoder"),
        *("high_res_vision_model", "vqmodel", "patch_embed", "vision_embed_tokens"),
    ),
    "audio": ("audio_tower", "audio_encoder", "audio_model", "encoder"),
}
"""Attributes under which models keep their encoders, most usual first."""

MERGERS = ("merger", "deepstack_merger_list", "patch_merger", "merger_list", "deepstack_mergers")
"""Children of an encoder that project into the decoder's width."""


@dataclass(frozen=True)
class Media:
    """The media of one modality in one request.

    Attributes:
        arguments: what `forward` takes of them: shapes on meta, sizes and grids for good.
        layouts: how each medium's tokens stand in the decoder, None where a run of the encoder has to tell.
        sequences: sequences that one medium makes in the encoder, where the arguments do not show it.
    """

    arguments: dict[str, Any]
    layouts: tuple[Layout, ...] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Row:
    """The generic row: transformers' conventions. Families that differ override a method or two.

    Args:
        config: the model's configuration. processor: the checkpoint's processor settings, where they are known.
    """

    model_types: ClassVar[tuple[str, ...]] = ()
    text_argument: ClassVar[str] = "input_ids"

    def __init__(self, config: Any, processor: Mapping[str, Any] | None = None) -> None:
        self.config = config
        self.processor = processor or {}

    def modalities(self, model: nn.Module) -> tuple[str, ...]:
        """The modalities that `forward` takes."""
        taken = signature(model)
        return tuple(m for m, names in ARGUMENTS.items() if any(name in taken for name in names))

    def together(self, modalities: tuple[str, ...]) -> tuple[str, ...]:
        """Which of its modalities one call can carry at once."""
        return modalities

    def roots(self, model: nn.Module, modality: str) -> dict[str, list[str]]:
        """Names of the modules of each stage of one modality's flow."""
        names = {id(module): name for name, module in model.named_modules()}
        decoder, head = self.decoder(model), self.head(model)
        found = {f"{modality}.encoder": list(self.encoders(model, modality)), f"{modality}.projector": []}
        for encoder in found[f"{modality}.encoder"]:
            module = model.get_submodule(encoder)
            mergers = [f"{encoder}.{name}" for name, _ in module.named_children() if name in MERGERS]
            found[f"{modality}.projector"] += mergers
        found["decoder"] = [names[id(decoder)]] if decoder is not None and id(decoder) in names else []
        found["head"] = [names[id(head)]] if head is not None and id(head) in names else []
        return found

    def encoders(self, model: nn.Module, modality: str) -> Iterator[str]:
        """Names of the modules that encode a modality."""
        kind = "image" if modality == "video" else modality
        for holder in self.holders(model):
            inner = model.get_submodule(holder) if holder else model
            prefix = f"{holder}." if holder else ""
            here = [
                n
                for n in ENCODERS[kind]
                if getattr(inner, n, None) is not None and hasattr(getattr(inner, n), "modules")
            ]
            if here:
                yield from (f"{prefix}{name}" for name in here)
                return

    def holders(self, model: nn.Module) -> tuple[str, ...]:
        """Names of the modules that may hold the encoders, the innermost first."""
        names = [name for name in ("model", "vlm", "git") if hasattr(model, name)]
        return (*names, "")

    def decoder(self, model: nn.Module) -> nn.Module | None:
        """The module that holds the decoder's layers."""
        found: Any = model.get_decoder() if hasattr(model, "get_decoder") else None  # type: ignore[operator]
        inner = getattr(found, "model", None)
        return inner if inner is not None and hasattr(found, "lm_head") else found  # type: ignore[no-any-return]

    def head(self, model: nn.Module) -> nn.Module | None:
        """The language head."""
        found: Any = model.get_output_embeddings()  # type: ignore[operator]
        return found if found is not None else getattr(model, "lm_head", None)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """What `forward` takes of one modality of the workload."""
        from .inputs import generic_media

        return generic_media(self, model, modality, workload)

    def placeholder(self, modality: str) -> int | None:
        """Token id that stands for one media token, None where media do not stand in the text."""
        for name in (f"{modality}_token_id", f"{modality}_token_index"):
            value = getattr(self.config, name, None)
            if isinstance(value, int):
                return value
        return self.placeholder("image") if modality == "video" else None

    def pieces(self, modality: str, layout: Layout) -> list[int]:
        """Lengths of the runs of placeholders of one medium; a token of text stands between two runs."""
        return [layout.total]

    def opening(self, modality: str) -> int | None:
        """Token id that opens a run of placeholders, where the model looks for it."""
        return None

    def closing(self, modality: str) -> bool:
        """Whether the model counts on a token of text after each run of placeholders."""
        return False

    def selected(self, depth: int) -> int | None:
        """0-based encoder layer whose output is projected; the earliest of several; None where there are none."""
        index = getattr(self.config, "vision_feature_layer", None)
        if isinstance(index, (list, tuple)):
            return min(int(each) - 1 if each >= 0 else depth + int(each) for each in index)
        if isinstance(index, int):
            return index - 1 if index >= 0 else depth + index
        return depth - 1 if index is None and depth else None

    def usual_size(self) -> tuple[int, int]:
        """Height and width of the picture that the default workload carries."""
        from .inputs import side_of, vision_config

        return side_of(vision_config(self.config))

    def text(self, ids: torch.Tensor, kinds: torch.Tensor, model: nn.Module) -> dict[str, Any]:
        """The arguments that carry the prompt; `kinds` is 0 for text, 1 image, 2 video, 3 audio, both (1, L)."""
        import torch

        taken = signature(model)
        found: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        for name in ("mm_token_type_ids", "token_type_ids", "moe_mm_token_type_ids"):
            if name in taken:
                found[name] = kinds
        if "decoder_input_ids" in taken:
            found["decoder_input_ids"] = torch.zeros(1, 1, dtype=torch.long)
        return {name: value for name, value in found.items() if name in taken}

    def settings(self, model: nn.Module) -> dict[str, Any]:
        """Arguments of `forward` beside prompt and media."""
        taken = signature(model)
        wanted = {"use_cache": False, "logits_to_keep": 1}
        return {
            name: value
            for name, value in wanted.items()
            if name in taken or ("kwargs" in taken and name == "use_cache")
        }


def signature(model: nn.Module) -> dict[str, inspect.Parameter]:
    """The parameters of the model's forward."""
    return dict(inspect.signature(type(model).forward).parameters)
