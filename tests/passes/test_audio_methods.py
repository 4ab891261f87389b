"""The methods for sound against plain numpy versions of the published rules."""

from __future__ import annotations

import pytest
import torch
from published import DTYPES, array, cosines, descending, drawn, run, same_values, signal

from foveate.ir.layout import Layout
from foveate.ir.signal import Need, latest_key, latest_received, received
from foveate.passes import Pass, create


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("total", "count"), [(20, 5), (33, 30), (7, 1), (12, 11)])
@pytest.mark.parametrize("name", ["a-tome", "a-tome-output"])
def test_adjacent_merging(name: str, total: int, count: int, dtype: torch.dtype) -> None:
    """The most similar neighbours merge; chains of them become one mean, and the order stays."""
    method = create(name)
    tokens = drawn(method, Layout(total), dtype=dtype)
    found, features = run(method, tokens, count)
    for row in range(2):
        values = array(tokens.features[row])
        compared = values if name == "a-tome-output" else signal(tokens, latest_key(), row).mean(axis=1)
        similar = [cosines(compared[[i]], compared[[i + 1]])[0, 0] for i in range(total - 1)]
        merged = {i + 1 for i in descending(similar)[: total - count]}
        runs: list[list[int]] = []
        for i in range(total):
            if i in merged:
                runs[-1].append(i)
            else:
                runs.append([i])
        assert found.index[row].tolist() == [group[0] for group in runs]
        same_values(features[row], [values[group].mean(axis=0) for group in runs], dtype)


@pytest.mark.parametrize(
    ("method", "need"),
    [
        (create("topk-audio-mean"), received("encoder")),
        (create("topk-audio-mean", {"layer": -2}), received("encoder", -2)),
        (create("topk-audio"), latest_received()),
    ],
)
def test_top_k_by_attention_received(method: Pass, need: Need) -> None:
    tokens = drawn(method, Layout(31))
    found, _ = run(method, tokens, 12)
    for row in range(2):
        assert found.index[row].tolist() == sorted(descending(signal(tokens, need, row))[:12])
