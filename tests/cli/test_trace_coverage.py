"""`foveate trace --coverage`: its three forms over a few model types."""

from __future__ import annotations

import json

import pytest

from foveate.ir import sources

from .conftest import Foveate

TYPES = ("git", "mistral4")
"""One that traces and one that takes text alone."""


@pytest.fixture
def few_types(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name: cls for name, cls in sources.multimodal_classes().items() if name in TYPES}
    monkeypatch.setattr(sources, "multimodal_classes", lambda: known)


@pytest.mark.usefixtures("few_types")
def test_json_has_type_verdict_and_reason_of_each(foveate: Foveate) -> None:
    result = foveate("trace", "--coverage", "--format", "json")
    assert result.code == 0
    found = json.loads(result.out)
    assert [sorted(entry) for entry in found] == [["model_type", "ok", "reason"]] * len(TYPES)
    assert [(entry["model_type"], entry["ok"]) for entry in found] == [("git", True), ("mistral4", False)]
    assert found[0]["reason"] == ""
    assert "takes no images, video or audio" in found[1]["reason"]


@pytest.mark.usefixtures("few_types")
def test_markdown_is_the_page_of_the_documentation(foveate: Foveate) -> None:
    result = foveate("trace", "--coverage", "--format", "markdown")
    assert result.code == 0
    assert result.out.startswith("# What traces\n")
    assert "1 of the 2 model types" in result.out
    assert "| `mistral4` |" in result.out


@pytest.mark.usefixtures("few_types")
def test_a_form_that_coverage_does_not_have_is_refused(foveate: Foveate) -> None:
    result = foveate("trace", "--coverage", "--format", "svg")
    assert result.code == 2
    assert "--coverage has no svg form" in result.sentence
