"""Stream mode: a clip is encoded a few frames at a time, and a bounded number of its tokens is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput
from ..passes.streaming import Held, StreamingSelector
from .adapters import adapter_of
from .inputs.features import compressible_places
from .inputs.forms import grid_of

if TYPE_CHECKING:
    import torch
    from torch import nn


class ClipStream:
    """A clip that goes on: memory is `capacity` tokens and one frame, however long it gets.

    Frames are encoded on their own, which is how Qwen2-VL, LLaVA-OneVision and most families see them anyhow: what is
    held is then what `timechat-online` keeps of the whole clip. Positions of tokens stay those in the stream.

    Attributes:
        selector: what is held, and how it is chosen.
    """

    def __init__(self, model: nn.Module, capacity: int, *, threshold: float | None = None) -> None:
        config: Any = model.config
        self.model, self.adapter = model, adapter_of(config)
        if "video" not in self.adapter.modalities:
            raise BadInput(f"a {config.model_type} model takes no clips, so none can be streamed to it")
        self.selector = StreamingSelector(capacity, threshold=threshold)
        self._width = 0

    def push(self, **frames: Any) -> None:
        """Encode the next frames and hold what is worth it.

        Args:
            frames: what the model's processor returns for a clip of them: `pixel_values_videos`, `video_grid_thw`, ...

        Raises:
            BadInput: no clip or several, or frames of another size than before.
        """
        import torch

        media = self.adapter.media(self.model.config, frames).get("video", [])
        if len(media) != 1:
            raise BadInput(f"a stream is one clip, and this push carries {len(media)}; push the frames of one")
        layout = media[0].layout
        times, rows, self._width = grid_of(layout)
        with torch.no_grad():
            output = self.adapter.encode(self.model, "video", frames)
        found = output.pooler_output
        parts = [found] if isinstance(found, torch.Tensor) else list(found)
        tokens = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
        tokens = tokens[compressible_places(media[0], tokens.device)]
        self.selector.push(tokens.view(times, rows * self._width, -1))

    @property
    def held(self) -> Held:
        """The tokens held, in order of the stream."""
        return self.selector.held

    @property
    def positions(self) -> torch.Tensor:
        """(K, 3) int64: frame, row and column of each token held."""
        import torch

        held = self.held
        return torch.stack([held.frame, held.place // self._width, held.place % self._width], dim=1)


def stream(model: nn.Module, capacity: int, *, threshold: float | None = None) -> ClipStream:
    """Take a clip in as it comes, holding at most `capacity` of its tokens.

    Args:
        model: a live model that takes clips. capacity: tokens held at most.
        threshold: cosine with the frame before above which tokens are dropped at once (0.5 in the method's demo).

    Raises:
        BadInput: the model takes no clips, or the capacity is below 1.
    """
    return ClipStream(model, capacity, threshold=threshold)
