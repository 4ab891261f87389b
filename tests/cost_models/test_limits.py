"""Amdahl's limits: reached by dropping everything, passed by nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from foveate.common.errors import BadInput
from foveate.cost_models import CostModel, DeviceProfile
from foveate.ir.graph import Graph


def test_the_limit_is_what_dropping_every_picture_token_gains(
    device: DeviceProfile, graph: Graph, place: Callable[..., Graph]
) -> None:
    model = CostModel(device)
    whole = model.predict(graph).ttft_ms
    for limit in model.limits(graph):
        gone = model.predict(place(graph, limit.site, 0))
        free = gone.ttft_ms - gone.compression_ms
        assert limit.speedup == pytest.approx(whole / free, rel=1e-12)
        assert limit.stays == pytest.approx(free / whole, rel=1e-12)


def test_later_sites_gain_less(device: DeviceProfile, graph: Graph) -> None:
    found = CostModel(device).limits(graph)
    assert [limit.site for limit in found] == [str(s) for s in graph.sites() if s.kind != "decoder.cache"]
    assert {"image.projector.output", "decoder.layers.1", "decoder.layers.2"} <= {limit.site for limit in found}
    speedups = [limit.speedup for limit in found]
    assert speedups == sorted(speedups, reverse=True)
    assert speedups[-1] > 1.0


def test_the_words_carry_the_numbers(device: DeviceProfile, graph: Graph) -> None:
    limit = next(one for one in CostModel(device).limits(graph) if one.site == "image.projector.output")
    assert f"nothing at image.projector.output can beat {limit.speedup:.1f}x here" in limit.words
    assert f"{100 * limit.stays:.0f} % of the time to first token stays, decoder alone takes" in limit.words


def test_a_placed_graph_has_spent_its_limits(device: DeviceProfile, graph: Graph, place: Callable[..., Graph]) -> None:
    with pytest.raises(BadInput, match="as it was traced"):
        CostModel(device).limits(place(graph, "decoder.layers.1", 4))
