"""Load the checkpoints that the package carries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput

if TYPE_CHECKING:
    import torch
    from transformers import LlavaForConditionalGeneration, LlavaProcessor

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


def load(
    name: str = "image", *, dtype: torch.dtype | None = None
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Return the trained model, in eval mode on the CPU, and its processor; ``dtype`` is fp32 unless given."""
    import torch
    from transformers import LlavaForConditionalGeneration, LlavaProcessor

    folder = checkpoint_path(name)
    model: Any = LlavaForConditionalGeneration.from_pretrained(
        folder, dtype=dtype or torch.float32, local_files_only=True
    )
    return model.eval(), LlavaProcessor.from_pretrained(folder, local_files_only=True)
