"""HoliTom's merging inside the decoder against the published loop, written out in plain numpy."""

from __future__ import annotations

import pytest
import torch
from published import DTYPES, array, cosines, descending, drawn, run, same_values, signal

from foveate.ir.layout import Layout
from foveate.ir.signal import last_row
from foveate.passes import create


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("total", "count"), [(24, 12), (24, 3), (40, 1), (9, 8), (6, 6)])
def test_ignored_tokens_flow_into_the_most_similar_one_by_one(total: int, count: int, dtype: torch.dtype) -> None:
    method = create("holitom-inner")
    tokens = drawn(method, Layout(total), dtype=dtype)
    found, features = run(method, tokens, count)
    for row in range(2):
        values = array(tokens.features[row])
        kept = sorted(descending(signal(tokens, last_row(), row))[:count])
        rest = [place for place in range(total) if place not in kept]
        standing = {place: values[place].copy() for place in kept}
        similar = cosines(values[rest], values[kept]) if rest else []
        for place, likeness in zip(rest, similar, strict=True):
            goal = kept[int(likeness.argmax())]
            standing[goal] = (standing[goal] + values[place]) / 2
        assert found.index[row].tolist() == kept
        same_values(features[row], [standing[place] for place in kept], dtype)
