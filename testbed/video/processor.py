"""A processor for the video model that needs no torchvision.

transformers' ``Qwen2VLVideoProcessor`` cannot be imported without torchvision, and so neither can a whole
``Qwen2VLProcessor`` be loaded. This one gives the same tensors for frames of the size that the model was trained on
(no resizing): the shipped folder also carries the settings with which ``Qwen2VLProcessor`` does the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ...common.errors import BadInput
from ...common.files import write_whole
from .scenes import MERGE, PATCH_SIZE
from .tracks import FRAME_SIZE, FRAMES_PER_STEP
from .vocabulary import VIDEO

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import BatchFeature, PreTrainedTokenizerFast

SETTINGS_FILE: Final = "processor_config.json"
VIDEO_TYPE: Final = 2

Video = NDArray[np.uint8]


def settings() -> dict[str, Any]:
    """Return what ``Qwen2VLProcessor`` has to know to do as this processor does."""
    shared = {
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "rescale_factor": 1 / 255,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "size": {"shortest_edge": FRAME_SIZE**2, "longest_edge": FRAME_SIZE**2},
        "patch_size": PATCH_SIZE,
        "temporal_patch_size": FRAMES_PER_STEP,
        "merge_size": MERGE,
    }
    return {
        "image_processor": {"image_processor_type": "Qwen2VLImageProcessor", **shared},
        "processor_class": "Qwen2VLProcessor",
        "video_processor": {"video_processor_type": "Qwen2VLVideoProcessor", "do_sample_frames": False, **shared},
    }


class VideoProcessor:
    """Frames and text to the inputs of ``Qwen2VLForConditionalGeneration``.

    >>> from .model import build_tokenizer
    >>> inputs = VideoProcessor(build_tokenizer())(np.zeros((16, 112, 112, 3), np.uint8), "<bos> <video> what goes up")
    >>> {name: tuple(value.shape) for name, value in inputs.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'input_ids': (1, 396), 'attention_mask': (1, 396), 'mm_token_type_ids': (1, 396),
     'pixel_values_videos': (1568, 384), 'video_grid_thw': (1, 3)}
    """

    model_input_names: Final = (
        *("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values_videos", "video_grid_thw"),
    )

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.video_token = "<video>"
        self.video_token_id = VIDEO

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> VideoProcessor:
        """Load the tokenizer of a folder that ``save_pretrained`` wrote; ``options`` go to the tokenizer."""
        from transformers import PreTrainedTokenizerFast

        tokenizer_class: Any = PreTrainedTokenizerFast
        return cls(tokenizer_class.from_pretrained(folder, **options))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tokenizer and the settings of the standard processor."""
        live: Any = self.tokenizer
        live.save_pretrained(folder)
        text = json.dumps(settings(), indent=2, sort_keys=True) + "\n"
        write_whole(Path(folder) / SETTINGS_FILE, text.encode())

    def __call__(
        self,
        videos: Video | Sequence[Video],
        text: str | Sequence[str],
        *,
        padding: bool | str = True,
        padding_side: str = "left",
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """Return ids, masks, token types (2 on video tokens), patches and grids.

        Args:
            videos: one array (T, 112, 112, 3) of uint8 for each ``<video>`` in the texts, in order; an odd T repeats
                the last frame.
            text: a prompt or several; each ``<video>`` becomes as many tokens as its clip has.
            padding: as the tokenizer takes it.
            padding_side: "left" for generation.
            return_tensors: only "pt".

        Raises:
            BadInput: a clip of another size or type, or not as many clips as ``<video>`` marks.
        """
        from transformers import BatchFeature

        clips = [videos] if isinstance(videos, np.ndarray) and videos.ndim == 4 else list(videos)
        texts = [text] if isinstance(text, str) else list(text)
        patches, grids = _pixels(clips)
        live: Any = self.tokenizer
        encoded = live(
            _expand(texts, [int(grid.prod()) // MERGE**2 for grid in grids], self.video_token),
            padding=padding,
            padding_side=padding_side,
            return_tensors=return_tensors,
            return_token_type_ids=False,
        )
        types = (encoded["input_ids"] == self.video_token_id).long() * VIDEO_TYPE
        return BatchFeature(
            {**encoded, "mm_token_type_ids": types, "pixel_values_videos": patches, "video_grid_thw": grids}
        )

    def batch_decode(self, sequences: Any, **options: Any) -> list[str]:
        """Decode ids to text, as the tokenizer does."""
        live: Any = self.tokenizer
        decoded: list[str] = live.batch_decode(sequences, **options)
        return decoded


def _pixels(clips: list[Video]) -> tuple[Tensor, Tensor]:
    import torch

    from .patches import to_patches

    rows, grids = [], []
    for clip in clips:
        if clip.dtype != np.uint8 or clip.shape[1:] != (FRAME_SIZE, FRAME_SIZE, 3) or not len(clip):
            size = f"(T, {FRAME_SIZE}, {FRAME_SIZE}, 3)"
            raise BadInput(f"a clip has shape {clip.shape} and type {clip.dtype}: give {size} of uint8")
        even = np.concatenate([clip, clip[-1:]]) if len(clip) % FRAMES_PER_STEP else clip
        rows.append(to_patches(torch.from_numpy(np.ascontiguousarray(even))))
        grids.append([len(even) // FRAMES_PER_STEP, *[FRAME_SIZE // PATCH_SIZE] * 2])
    if not rows:
        raise BadInput("there is no clip to process: give one array of frames for each <video> in the texts")
    return torch.cat(rows), torch.tensor(grids)


def _expand(texts: list[str], counts: list[int], mark: str) -> list[str]:
    """Write each mark as often as its clip has tokens."""
    marks = sum(text.split().count(mark) for text in texts)
    if marks != len(counts):
        raise BadInput(f"the texts hold {marks} {mark} marks for {len(counts)} clips: give one clip for each mark")
    left = iter(counts)
    return [
        " ".join(" ".join([mark] * next(left)) if word == mark else word for word in text.split()) for text in texts
    ]
