"""The matrix of families: one tiny random model each, with media laid out as the family's own processor does."""

from __future__ import annotations

from typing import Any

import torch
import transformers as t
from grid_cases import GRID_CASES
from live_families import IMAGE, TEXT, VIDEO, VISION, Case, Medium, finish, pictures, plain, with_separators
from omni_cases import OMNI_CASES
from query_former_cases import QUERY_FORMER_CASES
from sound_cases import SOUND_CASES
from special_cases import SPECIAL_CASES
from tile_cases import TILE_CASES

BREAK = 6
TYPES = "mm_token_type_ids"
QWEN_VISION: dict[str, Any] = {"in_channels": 3, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}


def llama(**more: Any) -> t.LlamaConfig:
    return t.LlamaConfig(**{**TEXT, **more})


def build(cls: Any, config: Any, **options: Any) -> Any:
    return finish(cls._from_config(config, attn_implementation="sdpa", **options))


def tokens(**more: Any) -> dict[str, Any]:
    return {"image_token_id": IMAGE, "video_token_id": VIDEO, "tie_word_embeddings": False, **more}


def llava() -> Any:
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**VISION), text_config=llama(), image_token_id=IMAGE, tie_word_embeddings=False
    )
    return build(t.LlavaForConditionalGeneration, config)


def fixed_pictures(row: int, *, count: int = 16) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """One picture in even rows, two in odd ones."""
    number = 1 + row % 2
    return [plain(IMAGE, count)] * number, {"pixel_values": pictures(number, seed=row)}


def vipllava() -> Any:
    config = t.VipLlavaConfig(
        vision_config=t.CLIPVisionConfig(**VISION),
        text_config=llama(),
        image_token_id=IMAGE,
        vision_feature_layers=[-1, -2],
    )
    return build(t.VipLlavaForConditionalGeneration, config)


PINPOINTS = [[56, 112], [112, 56], [112, 112]]
SIZES = [(80, 112), (100, 60), (112, 112)]
UNPADDED = [(6, 8), (8, 4), (8, 8)]


def next_picture(which: int) -> tuple[Medium, int]:
    """A LLaVA-NeXT picture of SIZES[which] by hand: base view of 16, rows of the unpadded view with a newline each."""
    rows, columns = UNPADDED[which]
    newlines = {16 + row * (columns + 1) + columns for row in range(rows)}
    tiles = {0: 5, 1: 3, 2: 5}[which]
    return with_separators(IMAGE, 16 + rows * (columns + 1), newlines), tiles


def next_pictures(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    medium, tiles = next_picture(row)
    pixels = torch.zeros(1, 5, 3, 56, 56)
    pixels[0, :tiles] = pictures(tiles, seed=row)
    return [medium], {"pixel_values": pixels, "image_sizes": torch.tensor([SIZES[row]])}


def llava_next() -> Any:
    config = t.LlavaNextConfig(
        vision_config=t.CLIPVisionConfig(**VISION),
        text_config=llama(),
        image_token_id=IMAGE,
        image_grid_pinpoints=PINPOINTS,
    )
    return build(t.LlavaNextForConditionalGeneration, config)


def llava_next_video() -> Any:
    config = t.LlavaNextVideoConfig(
        vision_config=t.CLIPVisionConfig(**VISION),
        text_config=llama(),
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        image_grid_pinpoints=PINPOINTS,
    )
    return build(t.LlavaNextVideoForConditionalGeneration, config)


def next_clips(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    return [plain(VIDEO, 3 * 4)], {"pixel_values_videos": pictures(3, seed=row)[None]}


def llava_onevision() -> Any:
    config = t.LlavaOnevisionConfig(
        vision_config=t.SiglipVisionConfig(**VISION),
        text_config=t.Qwen2Config(**TEXT),
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    return build(t.LlavaOnevisionForConditionalGeneration, config)


def onevision_clips(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    return [with_separators(VIDEO, 3 * 4 + 1, {12})], {"pixel_values_videos": pictures(3, seed=row)[None]}


def video_llava() -> Any:
    config = t.VideoLlavaConfig(
        vision_config=t.CLIPVisionConfig(**VISION),
        text_config=llama(),
        image_token_index=IMAGE,
        video_token_index=VIDEO,
    )
    return build(t.VideoLlavaForConditionalGeneration, config)


def video_llava_clips(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    classes = {17 * frame for frame in range(8)}
    return [with_separators(VIDEO, 17 * 8, classes)], {"pixel_values_videos": pictures(8, seed=row)[None]}


def qwen_text(cls: Any, **more: Any) -> Any:
    section = [1, 1, 2]
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": section}
    return cls(**{**TEXT, "rope_parameters": rope, **more})


def qwen2_vl() -> Any:
    vision = t.models.qwen2_vl.configuration_qwen2_vl.Qwen2VLVisionConfig(
        depth=2, embed_dim=32, hidden_size=32, num_heads=2, mlp_ratio=2, **QWEN_VISION
    )
    text = qwen_text(t.models.qwen2_vl.configuration_qwen2_vl.Qwen2VLTextConfig)
    return build(t.Qwen2VLForConditionalGeneration, t.Qwen2VLConfig(text_config=text, vision_config=vision, **tokens()))


def qwen2_5_vl() -> Any:
    module = t.models.qwen2_5_vl.configuration_qwen2_5_vl
    vision = module.Qwen2_5_VLVisionConfig(
        depth=2,
        hidden_size=32,
        intermediate_size=48,
        out_hidden_size=32,
        num_heads=2,
        window_size=56,
        fullatt_block_indexes=[1],
        **QWEN_VISION,
    )
    config = t.Qwen2_5_VLConfig(text_config=qwen_text(module.Qwen2_5_VLTextConfig), vision_config=vision, **tokens())
    return build(t.Qwen2_5_VLForConditionalGeneration, config)


def grid_media(
    row: int, modality: str, *, frames: int = 1, per_frame: bool = False
) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """One medium of a grid that differs from row to row, merged two by two."""
    height, width = ((4, 8), (8, 4), (4, 4))[row]
    token = IMAGE if modality == "image" else VIDEO
    cells = height * width // 4
    pixels = torch.randn(frames * height * width, 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(row))
    name = "pixel_values" if modality == "image" else "pixel_values_videos"
    given = {name: pixels, f"{modality}_grid_thw": torch.tensor([[frames, height, width]])}
    if per_frame:
        ids: tuple[int, ...] = ()
        places: list[int] = []
        for _ in range(frames):
            ids += (BREAK,)
            places += range(len(ids), len(ids) + cells)
            ids += (token,) * cells
        return [Medium(token, ids, tuple(places))], given
    return [plain(token, frames * cells)], given


def qwen3_vl(*, experts: bool = False) -> Any:
    module = t.models.qwen3_vl_moe.configuration_qwen3_vl_moe if experts else t.models.qwen3_vl.configuration_qwen3_vl
    prefix = "Qwen3VLMoe" if experts else "Qwen3VL"
    vision = getattr(module, prefix + "VisionConfig")(
        depth=3,
        hidden_size=32,
        intermediate_size=48,
        out_hidden_size=32,
        num_heads=2,
        deepstack_visual_indexes=[0, 1],
        num_position_embeddings=64,
        **QWEN_VISION,
    )
    more = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32} if experts else {}
    text = qwen_text(getattr(module, prefix + "TextConfig"), head_dim=8, **more)
    config = getattr(module, prefix + "Config")(text_config=text, vision_config=vision, **tokens())
    return build(getattr(t, prefix + "ForConditionalGeneration"), config)


def gemma3() -> Any:
    text = t.Gemma3TextConfig(
        **{**TEXT, "head_dim": 8, "sliding_window": 12, "query_pre_attn_scalar": 8},
        layer_types=["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
    )
    config = t.Gemma3Config(
        text_config=text, vision_config=t.SiglipVisionConfig(**VISION), mm_tokens_per_image=16, image_token_id=IMAGE
    )
    return build(t.Gemma3ForConditionalGeneration, config)


def paligemma() -> Any:
    text = t.GemmaConfig(**{**TEXT, "head_dim": 8})
    vision = t.SiglipVisionConfig(**VISION, projection_dim=32)
    config = t.PaliGemmaConfig(
        vision_config=vision, text_config=text, image_token_index=IMAGE, projection_dim=32, hidden_size=32
    )
    return build(t.PaliGemmaForConditionalGeneration, config)


def internvl() -> Any:
    vision = t.InternVLVisionConfig(**{**VISION, "image_size": [56, 56], "patch_size": [14, 14]})
    config = t.InternVLConfig(
        vision_config=vision, text_config=t.Qwen2Config(**TEXT), image_token_id=IMAGE, downsample_ratio=0.5
    )
    return build(t.InternVLForConditionalGeneration, config)


def aya_vision() -> Any:
    vision = t.SiglipVisionConfig(**VISION)
    text = t.Cohere2Config(
        **{**TEXT, "sliding_window": 8},
        layer_types=["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"],
    )
    config = t.AyaVisionConfig(
        vision_config=vision,
        text_config=text,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        downsample_factor=2,
        image_token_index=IMAGE,
    )
    return build(t.AyaVisionForConditionalGeneration, config)


def cohere2_vision() -> Any:
    vision = t.SiglipVisionConfig(**VISION)
    text = t.Cohere2Config(
        **{**TEXT, "sliding_window": 8},
        layer_types=["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"],
    )
    config = t.Cohere2VisionConfig(
        vision_config=vision,
        text_config=text,
        downsample_factor=2,
        image_token_id=IMAGE,
        alignment_intermediate_size=48,
    )
    return build(t.Cohere2VisionForConditionalGeneration, config)


def video_llama_3() -> Any:
    vision = t.VideoLlama3VisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, patch_size=14
    )
    config = t.VideoLlama3Config(vision_config=vision, text_config=t.Qwen2Config(**TEXT), **tokens())
    return build(t.VideoLlama3ForConditionalGeneration, config)


def flat_grids(row: int, modality: str, *, frames: int = 1) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """As Qwen's grids, one frame a patch, with the merge size given for each medium."""
    media, given = grid_media(row, modality, frames=frames)
    name = "pixel_values" if modality == "image" else "pixel_values_videos"
    return media, {**given, name: given[name][:, : 3 * 14 * 14], f"{modality}_merge_sizes": torch.tensor([2])}


def idefics3(*, small: bool = False) -> Any:
    name = "SmolVLM" if small else "Idefics3"
    vision = getattr(t, name + "VisionConfig")(**VISION)
    config = getattr(t, name + "Config")(
        vision_config=vision, text_config=llama(), image_token_id=IMAGE, scale_factor=2
    )
    return build(getattr(t, name + "ForConditionalGeneration"), config)


def padded_pictures(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """Idefics3's rows hold the same number of pictures, black where a prompt has fewer."""
    number = 1 + row % 2
    pixels = torch.zeros(1, 2, 3, 56, 56)
    pixels[0, :number] = pictures(number, seed=row)
    return [plain(IMAGE, 4)] * number, {"pixel_values": pixels}


def mistral3() -> Any:
    vision = t.PixtralVisionConfig(**{**VISION, "image_size": 112}, head_dim=8)
    config = t.Mistral3Config(
        vision_config=vision,
        text_config=t.MistralConfig(**TEXT, sliding_window=None),
        image_token_index=IMAGE,
        vision_feature_layer=-1,
        spatial_merge_size=2,
    )
    return build(t.Mistral3ForConditionalGeneration, config)


def lighton_ocr() -> Any:
    config = t.LightOnOcrConfig(
        vision_config=t.PixtralVisionConfig(**{**VISION, "image_size": 112}, head_dim=8),
        text_config=t.Qwen3Config(**TEXT, head_dim=8),
        image_token_id=IMAGE,
        spatial_merge_size=2,
    )
    return build(t.LightOnOcrForConditionalGeneration, config)


def sized_pictures(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """A picture whose rows of tokens end in break tokens that are text."""
    height, width = ((2, 4), (4, 2), (2, 2))[row]
    ids: tuple[int, ...] = ()
    places: list[int] = []
    for _ in range(height):
        places += range(len(ids), len(ids) + width)
        ids += (*[IMAGE] * width, BREAK)
    pixels = torch.zeros(1, 3, 112, 112)
    pixels[:, :, : 28 * height, : 28 * width] = pictures(1, 112, seed=row)[:, :, : 28 * height, : 28 * width]
    medium = Medium(IMAGE, ids, tuple(places))
    return [medium], {"pixel_values": pixels, "image_sizes": torch.tensor([[28 * height, 28 * width]])}


def llama4() -> Any:
    module = t.models.llama4.configuration_llama4
    vision = module.Llama4VisionConfig(
        hidden_size=32,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=56,
        patch_size=14,
        pixel_shuffle_ratio=0.5,
        projector_input_dim=32,
        projector_output_dim=32,
        vision_output_dim=32,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    text = module.Llama4TextConfig(
        **{**TEXT, "head_dim": 8},
        intermediate_size_mlp=48,
        num_local_experts=2,
        num_experts_per_tok=1,
        attention_chunk_size=8,
        no_rope_layers=[1, 0, 1, 0],
        floor_scale=4,
        attn_scale=0.5,
    )
    config = t.Llama4Config(vision_config=vision, text_config=text, image_token_index=IMAGE)
    return build(t.Llama4ForConditionalGeneration, config)


CASES = (
    Case("llava", llava, fixed_pictures),
    Case("vipllava", vipllava, fixed_pictures),
    Case("llava_next", llava_next, next_pictures),
    Case("llava_next_video", llava_next_video, next_clips, "video"),
    Case("llava_onevision", llava_onevision, next_pictures),
    Case("llava_onevision-video", llava_onevision, onevision_clips, "video"),
    Case("video_llava", video_llava, video_llava_clips, "video"),
    Case("qwen2_vl", qwen2_vl, lambda row: grid_media(row, "image"), types=TYPES),
    Case("qwen2_vl-video", qwen2_vl, lambda row: grid_media(row, "video", frames=3), "video", TYPES),
    Case("qwen2_5_vl", qwen2_5_vl, lambda row: grid_media(row, "image"), types=TYPES),
    Case("qwen2_5_vl-video", qwen2_5_vl, lambda row: grid_media(row, "video", frames=3), "video", TYPES),
    Case("qwen3_vl", qwen3_vl, lambda row: grid_media(row, "image"), types=TYPES),
    Case("qwen3_vl-video", qwen3_vl, lambda row: grid_media(row, "video", frames=3, per_frame=True), "video", TYPES),
    Case("qwen3_vl_moe", lambda: qwen3_vl(experts=True), lambda row: grid_media(row, "image"), types=TYPES),
    Case("gemma3", gemma3, fixed_pictures, types="token_type_ids"),
    Case("paligemma", paligemma, fixed_pictures, types="token_type_ids"),
    Case("internvl", internvl, lambda row: fixed_pictures(row, count=4)),
    Case("aya_vision", aya_vision, lambda row: fixed_pictures(row, count=4)),
    Case("idefics3", idefics3, padded_pictures),
    Case("smolvlm", lambda: idefics3(small=True), padded_pictures),
    Case("mistral3", mistral3, sized_pictures),
    Case("lighton_ocr", lighton_ocr, sized_pictures),
    Case("cohere2_vision", cohere2_vision, lambda row: fixed_pictures(row, count=4)),
    Case("video_llama_3", video_llama_3, lambda row: flat_grids(row, "image")),
    Case("video_llama_3-video", video_llama_3, lambda row: flat_grids(row, "video", frames=3), "video"),
    Case("llama4", llama4, lambda row: fixed_pictures(row, count=4)),
)

_OTHERS = (SOUND_CASES, SPECIAL_CASES, QUERY_FORMER_CASES, OMNI_CASES, GRID_CASES, TILE_CASES)
BY_NAME = {case.name: case for cases in (CASES, *_OTHERS) for case in cases}
