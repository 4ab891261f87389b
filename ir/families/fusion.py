"""Families whose media do not stand as placeholders in the prompt: cross-attention, prefixes, encoder-decoders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from ..layout import Layout
from ..workload import Workload
from .inputs import channels, numbers, of_one_size, pictures, shape, side_of, vision_config
from .row import Media, Row, signature
from .table import row

if TYPE_CHECKING:
    import torch
    from torch import nn


class Apart(Row):
    """No placeholder: the model itself joins media and text."""

    def placeholder(self, modality: str) -> int | None:
        """None."""
        return None


@row
class Blip(Apart):
    """BLIP: a text decoder that cross-attends to the picture."""

    model_types: ClassVar[tuple[str, ...]] = ("blip",)

    def decoder(self, model: nn.Module) -> nn.Module | None:
        """The text decoder without its head."""
        return model.text_decoder.bert  # type: ignore[return-value, union-attr]

    def head(self, model: nn.Module) -> nn.Module | None:
        """The prediction head."""
        return model.text_decoder.cls  # type: ignore[return-value, union-attr]


@row
class Git(Apart):
    """GIT: the picture's tokens stand before the text."""

    model_types: ClassVar[tuple[str, ...]] = ("git",)


@row
class Kosmos2(Apart):
    """Kosmos-2: a resampler's tokens take marked places of the prompt."""

    model_types: ClassVar[tuple[str, ...]] = ("kosmos-2", "kosmos-2.5")

    def modalities(self, model: nn.Module) -> tuple[str, ...]:
        """Pictures."""
        return ("image",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """Pictures of the tower's size, or 4096 flattened patches with their row and column; places in the prompt."""
        import torch

        latents, count = int(self.config.latent_query_num), len(pictures(workload))
        length = count * latents + workload.text_tokens
        mask = torch.arange(length)[None] < count * latents
        arguments: dict[str, Any] = {"image_embeds_position_mask": mask.long()}
        if "flattened_patches" in signature(model):
            vision = self.config.vision_config
            arguments["flattened_patches"] = shape(count, 4096, int(vision.patch_embed_hidden_size) + 2)
        else:
            arguments["pixel_values"] = shape(count, 3, *side_of(self.config.vision_config))
        return Media(arguments, tuple([Layout(latents)] * count))

    def placeholder(self, modality: str) -> int | None:
        """Any id does: the mask says where the latents go."""
        return 4

    def decoder(self, model: nn.Module) -> nn.Module | None:
        """The text model without its head."""
        return model.text_model.model  # type: ignore[return-value, union-attr]

    def head(self, model: nn.Module) -> nn.Module | None:
        """The text model's head."""
        return model.text_model.lm_head  # type: ignore[return-value, union-attr]


@row
class EncoderDecoder(Apart):
    """An encoder that reads the picture and a decoder that cross-attends to it (Pix2Struct, TrOCR, UDOP)."""

    model_types: ClassVar[tuple[str, ...]] = ("vision-encoder-decoder", "pp_formulanet")

    def encoders(self, model: nn.Module, modality: str) -> Iterator[str]:
        """`encoder`."""
        yield "model.encoder" if hasattr(model, "model") else "encoder"

    def decoder(self, model: nn.Module) -> nn.Module | None:
        """The decoder without its head."""
        found: Any = getattr(model, "decoder", None) or model.model.decoder  # type: ignore[union-attr]
        return getattr(found, "bert", None) or getattr(found, "model", None) or found  # type: ignore[no-any-return]

    def head(self, model: nn.Module) -> nn.Module | None:
        """The decoder's head."""
        found: Any = getattr(model, "decoder", None)
        return getattr(found, "cls", None) or getattr(found, "lm_head", None) or super().head(model)

    def text(self, ids: torch.Tensor, kinds: torch.Tensor, model: nn.Module) -> dict[str, Any]:
        """The prompt goes to the decoder."""
        return {"decoder_input_ids": ids}


@row
class Pix2Struct(EncoderDecoder):
    """Pix2Struct: up to 2048 patches of a picture, each with its row and column."""

    model_types: ClassVar[tuple[str, ...]] = ("pix2struct",)

    def decoder(self, model: nn.Module) -> nn.Module | None:
        """The text model."""
        return model.decoder  # type: ignore[return-value]

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """flattened_patches (pictures, 2048, 2 + channels x patch x patch)."""
        width = int(self.config.vision_config.patch_embed_hidden_size) + 2
        return Media({"flattened_patches": shape(len(pictures(workload)), 2048, width)})


@row
class TextEncoder(Row):
    """Picture tokens stand in the text of an encoder; a decoder starts from one token (Florence-2, T5Gemma 2)."""

    model_types: ClassVar[tuple[str, ...]] = ("florence2", "t5gemma2")

    def roots(self, model: nn.Module, modality: str) -> dict[str, list[str]]:
        """The text encoder is a stage of its own."""
        found = super().roots(model, modality)
        encoder = (
            "model.language_model.encoder" if self.config.model_type == "florence2" else "model.encoder.text_model"
        )
        ordered = {key: value for key, value in found.items() if key.startswith(modality)}
        return {**ordered, "text.encoder": [encoder], **{k: v for k, v in found.items() if k not in ordered}}

    def holders(self, model: nn.Module) -> tuple[str, ...]:
        """T5Gemma 2 keeps the tower in its encoder."""
        return ("model.encoder",) if self.config.model_type == "t5gemma2" else super().holders(model)

    def decoder(self, model: nn.Module) -> nn.Module | None:
        """The decoder alone."""
        inner: Any = model.model
        return getattr(getattr(inner, "language_model", inner), "decoder")  # type: ignore[no-any-return]  # noqa: B009


@row
class Udop(Apart):
    """UDOP: patches and words with their boxes in one encoder."""

    model_types: ClassVar[tuple[str, ...]] = ("udop",)

    def encoders(self, model: nn.Module, modality: str) -> Iterator[str]:
        """Embedding of patches, and the encoder that reads them with the words."""
        yield "encoder"

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values with a box for each word."""
        import torch

        side = side_of(self.config)
        boxes = torch.zeros(1, max(workload.text_tokens, 1), 4)
        return Media({"pixel_values": shape(1, 3, *side), "bbox": boxes})


@row
class QFormer(Row):
    """BLIP-2 and InstructBLIP: a fixed number of query tokens for each picture or clip."""

    model_types: ClassVar[tuple[str, ...]] = ("blip-2", "instructblip", "instructblipvideo")

    def modalities(self, model: nn.Module) -> tuple[str, ...]:
        """Pictures, or clips handed in as pixel_values."""
        return ("video",) if self.config.model_type == "instructblipvideo" else ("image",)

    def placeholder(self, modality: str) -> int | None:
        """Default configurations leave it open; any id outside the text serves."""
        return super().placeholder(modality) or 4

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """Pictures of the tower's size, and the instruction that InstructBLIP's queries read."""
        side, queries = side_of(vision_config(self.config)), int(self.config.num_query_tokens)
        self.config.image_token_id = self.config.image_token_index = self.placeholder(modality)
        sizes: tuple[int, ...] = (len(pictures(workload)),)
        layouts = tuple([Layout(queries)] * sizes[0])
        if modality == "video":
            self.config.video_token_id = self.config.video_token_index = self.placeholder(modality)
            sizes = (len(workload.videos), of_one_size([v.frames for v in workload.videos], "clip"))
            layouts = tuple(Layout(queries * v.frames) for v in workload.videos)
        arguments: dict[str, Any] = {"pixel_values": shape(*sizes, channels(vision_config(self.config)), *side)}
        if "qformer_input_ids" in signature(model):
            words = max(workload.text_tokens, 1)
            arguments["qformer_input_ids"] = numbers([[5] * words] * sizes[0])
            arguments["qformer_attention_mask"] = numbers([[1] * words] * sizes[0])
        return Media(arguments, layouts)

    def decoder(self, model: nn.Module) -> nn.Module | None:
        """OPT's decoder inside its language model, or T5's."""
        inner: Any = model.language_model
        body = getattr(inner, "model", inner)
        return getattr(body, "decoder", body)  # type: ignore[no-any-return]

    def head(self, model: nn.Module) -> nn.Module | None:
        """The language model's head."""
        return model.language_model.lm_head  # type: ignore[return-value, union-attr]


@row
class Pi0(Row):
    """pi0: PaliGemma's prefix, and an action expert that denoises one chunk of actions over its cache."""

    model_types: ClassVar[tuple[str, ...]] = ("pi0",)

    def placeholder(self, modality: str) -> int | None:
        """PaliGemma's."""
        return int(self.config.vlm_config.image_token_id)

    def usual_size(self) -> tuple[int, int]:
        """PaliGemma's tower."""
        return side_of(self.config.vlm_config.vision_config)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (1, cameras, 3, side, side), a state and a time step."""
        import torch

        vision, cameras = self.config.vlm_config.vision_config, len(pictures(workload))
        height, width = side_of(vision)
        arguments: dict[str, Any] = {
            "pixel_values": shape(1, cameras, 3, height, width),
            "pixel_attention_mask": torch.ones(1, cameras, dtype=torch.bool),
            "state": shape(1, int(self.config.max_state_dim)),
            "noise": shape(1, int(self.config.chunk_size), int(self.config.max_action_dim)),
            "timestep": shape(1),
        }
        patch = int(vision.patch_size)
        return Media(arguments, tuple([Layout.image(height // patch, width // patch)] * cameras))

    def decoder(self, model: nn.Module) -> nn.Module | None:
        """PaliGemma's decoder; the expert is the head."""
        return model.model.vlm.language_model  # type: ignore[return-value, union-attr]

    def head(self, model: nn.Module) -> nn.Module | None:
        """The action expert."""
        return model.model.dit  # type: ignore[return-value, union-attr]

    def holders(self, model: nn.Module) -> tuple[str, ...]:
        """PaliGemma."""
        return ("model.vlm",)

    def settings(self, model: nn.Module) -> dict[str, Any]:
        """None."""
        return {}


@row
class SpeechToText(EncoderDecoder):
    """Whisper and Moonshine: an encoder of sound and a decoder that cross-attends to it."""

    model_types: ClassVar[tuple[str, ...]] = ("whisper", "moonshine")

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """A window of 30 s as a spectrogram, or the samples themselves."""
        if "input_values" in signature(model):
            samples = round(16_000 * max(workload.audio_seconds))
            return Media({"input_values": shape(len(workload.audio_seconds), samples)})
        return Media({"input_features": shape(len(workload.audio_seconds), int(self.config.num_mel_bins), 3000)})
