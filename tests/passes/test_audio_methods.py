"""The methods for sound against plain numpy versions of the published rules."""

from __future__ import annotations

import pytest
import torch
from published import DTYPES, array, cosines, descending, drawn, run, same_values, signal

from foveate.ir.layout import Layout
from foveate.ir.signal import received
from foveate.passes import create


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("total", "count"), [(20, 5), (33, 30), (7, 1), (12, 11)])
def test_a_tome_output(total: int, count: int, dtype: torch.dtype) -> None:
    """The most similar neighbours merge; chains of them become one mean, and the order stays."""
    method = create("a-tome-output")
    tokens = drawn(method, Layout(total), dtype=dtype)
    found, features = run(method, tokens, count)
    for row in range(2):
        values = array(tokens.features[row])
        similar = [cosines(values[[i]], values[[i + 1]])[0, 0] for i in range(total - 1)]
        merged = {i + 1 for i in descending(similar)[: total - count]}
        runs: list[list[int]] = []
        for i in range(total):
            if i in merged:
                runs[-1].append(i)
            else:
                runs.append([i])
        assert found.index[row].tolist() == [group[0] for group in runs]
        same_values(features[row], [values[group].mean(axis=0) for group in runs], dtype)


@pytest.mark.parametrize("layer", [None, -2])
def test_topk_audio_mean(layer: int | None) -> None:
    method = create("topk-audio-mean", {"layer": layer})
    tokens = drawn(method, Layout(31))
    found, _ = run(method, tokens, 12)
    for row in range(2):
        attention = signal(tokens, received("encoder", layer), row)
        assert found.index[row].tolist() == sorted(descending(attention)[:12])
