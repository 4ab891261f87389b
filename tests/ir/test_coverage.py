"""The coverage check: what it accepts, and that it notices a wrong graph."""

from __future__ import annotations

from dataclasses import replace

import pytest
from families import small_config

from foveate.ir.coverage import Coverage, covered, fault, page, traced_and_counted


@pytest.mark.parametrize("model_type", ["llava", "qwen2_vl", "blip", "qwen2_audio", "internvl"])
def test_a_small_model_of_the_type_is_counted_right(model_type: str) -> None:
    graph, counted, parameters = traced_and_counted(small_config(model_type))
    assert fault(graph, counted, parameters) is None


def test_a_wrong_graph_is_noticed() -> None:
    graph, counted, parameters = traced_and_counted(small_config("llava"))
    assert "FLOPs" in str(fault(graph, round(1.01 * counted), parameters))
    assert "parameters" in str(fault(graph, counted, parameters + 1))
    shorter = replace(graph, stages=graph.stages[1:], streams=graph.streams[1:])
    assert fault(shorter, counted, parameters) is not None


def test_a_text_model_does_not_trace() -> None:
    found = covered("mistral4")
    assert not found.ok
    assert "takes no images, video or audio" in found.reason


def test_the_page_lists_what_traces_and_why_the_rest_does_not() -> None:
    text = page([Coverage("a", True), Coverage("b", False, "no | tower")])
    assert "1 of the 2 model types" in text
    assert "`a`." in text
    assert "| `b` | no / tower |" in text
