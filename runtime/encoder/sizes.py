"""Proportional attention (ToMe, arXiv:2210.09461, equation 1): softmax(q k^T / sqrt(d) + log s) v for merged tokens.

A key that stands for s tokens gets log(s) added to its logits. That goes in as one more channel of queries and keys,
1 / scale beside log(s), since flash kernels take no additive mask; the model's own attention function runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad

_CHANNELS = 8
"""Channels added to a head: one carries the sizes, the others keep its width a multiple of eight for flash kernels."""


class SizeBias:
    """Amends the attention calls of one module while the current run has merged tokens.

    Args:
        sizes: gives (R, P) float32 sizes of the tokens of the current run, None where every token is one.
    """

    def __init__(self, sizes: Callable[[], torch.Tensor | None]) -> None:
        self.sizes = sizes
        self._local = threading.local()

    def __call__(
        self,
        function: Callable[..., Any],
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: Any,
        **kwargs: Any,
    ) -> Any:
        """What `function` answers for (R, H, P, W) queries, keys and values with the sizes of the keys weighed in."""
        sizes = self._segment(key.shape[2])
        if sizes is None:
            return function(module, query, key, value, mask, **kwargs)
        width = query.shape[-1]
        scale = kwargs.pop("scaling", None) or width**-0.5
        wide_query, wide_key = pad(query, (0, _CHANNELS)), pad(key, (0, _CHANNELS))
        wide_query[..., width] = 1 / scale
        wide_key[..., width] = sizes.log()[:, None].to(key.dtype)
        wide_value = pad(value, (0, _CHANNELS))
        output, *rest = function(module, wide_query, wide_key, wide_value, mask, scaling=scale, **kwargs)
        return output[..., :width], *rest

    def _segment(self, count: int) -> torch.Tensor | None:
        """The sizes of the next `count` keys: packed encoders attend segment by segment."""
        sizes = self.sizes()
        if sizes is None:
            return None
        seen, start = getattr(self._local, "seen", (None, 0))
        start = start if seen is sizes else 0
        self._local.seen = sizes, (start + count) % sizes.shape[1]
        return sizes[:, start : start + count]
