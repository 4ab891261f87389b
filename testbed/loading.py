"""Load the checkpoints that the package carries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from ..common.errors import BadInput

if TYPE_CHECKING:
    import torch
    from transformers import LlavaForConditionalGeneration, LlavaProcessor, Qwen2VLForConditionalGeneration

    from .video.processor import VideoProcessor

CHECKPOINTS = Path(__file__).parent / "checkpoints"


def checkpoint_path(name: str = "image") -> Path:
    """Return the folder of a shipped checkpoint, as ``from_pretrained`` takes it.

    Raises ``BadInput`` when the package carries no checkpoint of that name.
    """
    folder = CHECKPOINTS / name
    if not (folder / "config.json").exists():
        known = sorted(path.parent.name for path in CHECKPOINTS.glob("*/config.json"))
        mend = f"choose one of {', '.join(known)}" if known else "train one first (python -m foveate.testbed.train)"
        raise BadInput(f"the testbed has no checkpoint {name!r}: {mend}")
    return folder


@overload
def load(
    name: Literal["image"] = "image", *, dtype: torch.dtype | None = None
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]: ...


@overload
def load(
    name: Literal["video"], *, dtype: torch.dtype | None = None
) -> tuple[Qwen2VLForConditionalGeneration, VideoProcessor]: ...


@overload
def load(name: str, *, dtype: torch.dtype | None = None) -> tuple[Any, Any]: ...


def load(name: str = "image", *, dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    """Return a trained model, in eval mode on the CPU, and its processor; ``dtype`` is fp32 unless given.

    "image" is a ``LlavaForConditionalGeneration`` with its ``LlavaProcessor``; "video" is a
    ``Qwen2VLForConditionalGeneration`` with a ``VideoProcessor``. Raises ``BadInput`` for another name.
    """
    return load_folder(checkpoint_path(name), dtype=dtype)


def load_folder(folder: Path, *, dtype: torch.dtype | None = None) -> tuple[Any, Any]:
    """Load an exported testbed model, image or video, and its processor from any folder."""
    import torch
    from transformers import (
        AutoConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        Qwen2VLForConditionalGeneration,
    )

    from .video.processor import VideoProcessor

    classes: dict[str, tuple[Any, Any]] = {
        "llava": (LlavaForConditionalGeneration, LlavaProcessor),
        "qwen2_vl": (Qwen2VLForConditionalGeneration, VideoProcessor),
    }
    kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    if kind not in classes:
        raise BadInput(f"{folder} holds a {kind} model, which is none of the testbed's: {', '.join(classes)}")
    model_class, processor_class = classes[kind]
    model = model_class.from_pretrained(folder, dtype=dtype or torch.float32, local_files_only=True)
    return model.eval(), processor_class.from_pretrained(folder, local_files_only=True)
