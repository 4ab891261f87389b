"""The report's data and markup: what it shows is what the plan, the graph and the study say, escaped."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import optuna
import pytest
from report_cases import HOSTILE, TRIALS, full_plan, profile_of, write_study

from foveate.common.errors import BadInput
from foveate.cost_models import CostModel
from foveate.ir.plan import Plan
from foveate.ir.tracing import trace
from foveate.planner.report import Costed, Drawing, report
from foveate.planner.report.content import Flow, StageFlow
from foveate.planner.report.flow_svg import Scale, flow_svg
from foveate.planner.report.page import collect
from foveate.runtime import resolve

ROOT = Path(__file__).resolve().parents[2]
SMALL = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + b"IHDR" + (4).to_bytes(4, "big") * 2
CHARTS = re.compile(r'<script type="application/json" id="charts">(.*?)</script>', re.DOTALL)


@pytest.fixture(scope="module")
def costed() -> Costed:
    folder = ROOT / "testbed" / "checkpoints" / "image"
    graph = trace(folder, "image=1x224x224,text=16,new=4", name="testbed")
    return Costed(graph, CostModel(profile_of(), dtype="float32"))


@pytest.fixture
def plan(tmp_path: Path, costed: Costed) -> Plan:
    write_study(tmp_path / "study.db")
    return full_plan(costed, study=str(tmp_path / "study.db"))


def charts(page: str) -> dict[str, Any]:
    found = CHARTS.search(page)
    assert found is not None
    return dict(json.loads(found.group(1)))


def test_the_flow_is_that_of_the_graph(plan: Plan, costed: Costed) -> None:
    found = collect(plan, costed=costed)
    assert costed.cost is not None
    assert plan.predicted is not None
    assert found.before is not None
    assert found.after is not None
    after = resolve(costed.graph, plan)
    assert [stage.tokens[:-1] for stage in found.after.stages if stage.name == "decoder"] == [after.decoder.tokens[:-1]]
    assert {s.name: s.ms for s in found.after.stages} == {s.name: s.ms for s in plan.predicted.stages}
    predicted = costed.cost.predict(costed.graph)
    assert {s.name: s.ms for s in found.before.stages} == {s.name: s.ms for s in predicted.stages}
    marks = [mark for stage in found.after.stages for mark in stage.marks]
    assert [letter for _, letter in marks] == ["A", "B"]
    decoder = costed.graph.decoder
    assert marks[1][0] == decoder.first + 2


def test_the_waterfall_ends_at_the_plans_ttft(plan: Plan, costed: Costed) -> None:
    found = charts(report(plan, costed=costed))["waterfall"]["data"][0]
    assert plan.predicted is not None
    assert found["measure"][0] == "absolute"
    assert found["x"][0] == plan.predicted.baseline_ttft_ms
    assert found["x"][-1] == plan.predicted.ttft_ms
    assert sum(found["x"][:-1]) == pytest.approx(plan.predicted.ttft_ms)


def test_every_measured_trial_is_shown(plan: Plan) -> None:
    page = report(plan)
    assert plan.predicted is not None
    assert plan.predicted.baseline_ttft_ms is not None
    marks = [t for t in charts(page)["front"]["data"] if t["name"] in ("past the budget", "within the budget")]
    shown = sorted((x, y) for trace in marks for x, y in zip(trace["x"], trace["y"], strict=True))
    expected = [(t.ratio * plan.predicted.baseline_ttft_ms, t.value) for t in TRIALS if t.value is not None]
    assert shown == [pytest.approx(pair) for pair in sorted(expected)]
    front = next(t for t in charts(page)["front"]["data"] if t["name"] == "front")
    beaten = [p for p in expected if any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in expected)]
    assert sorted(zip(front["x"], front["y"], strict=True)) == sorted(set(expected) - set(beaten))
    assert "1 more trials refused or given up" in " ".join(page.split())


def test_hostile_names_are_escaped(plan: Plan, tmp_path: Path) -> None:
    page = report(plan, drawings=[Drawing(SMALL, HOSTILE)])
    body = page[: page.index('<script type="application/json"')]
    assert HOSTILE not in page.replace("\\u003c", "")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert unescape(body).count(HOSTILE) >= 4  # model, conflict, study's trial, caption
    text = next(t["text"] for t in charts(page)["front"]["data"] if any("alert" in w for w in t["text"]))
    assert not any("<script" in words or "<img" in words for words in text)


def test_nothing_on_the_page_asks_for_a_network(plan: Plan) -> None:
    page = report(plan)
    own = page[: page.index('<script type="application/json"')]
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]+"', own)
    assert "default-src 'none'" in own
    assert "url(" not in own


def test_what_a_plan_lacks_is_said() -> None:
    page = report(Plan.from_yaml("foveate: 1\nplacements:\n- {pass: pool, site: image.projector.output, keep: 0.25}\n"))
    missing = re.findall(r'data-missing="(\w+)">([^<]+)</p>', page)
    assert [section for section, _ in missing] == [
        "flow",
        "waterfall",
        "front",
        "ablation",
        "conflicts",
        "kept",
        "sources",
    ]
    assert all(words.strip().endswith(".") for _, words in missing)
    assert charts(page) == {}


def test_another_profile_is_not_taken_for_the_plans(plan: Plan, costed: Costed) -> None:
    assert plan.predicted is not None
    other = replace(plan, predicted=plan.predicted.model_copy(update={"baseline_ttft_ms": 1e4}))
    found = collect(other, costed=costed)
    assert "it is not the one that the plan was made with" in found.missing["flow"]
    assert found.before is not None
    assert {stage.ms for stage in found.before.stages} == {None}


def test_a_study_that_is_gone_leaves_what_the_plan_holds(plan: Plan, tmp_path: Path) -> None:
    assert plan.search is not None
    gone = replace(plan, search=plan.search.model_copy(update={"study": str(tmp_path / "gone.db")}))
    found = collect(gone)
    assert "cannot be found here" in found.missing["front"]
    assert [trial.plan for trial in found.trials] == ["a@image.projector.output 0.5"]
    with pytest.raises(BadInput, match="cannot be read"):
        collect(plan, study=str(tmp_path / "none" / "study.db"))


def test_the_drawing_is_to_scale() -> None:
    flow = Flow("Before", (StageFlow("image.encoder", (100, 50), 10.0), StageFlow("decoder", (200,), 20.0)), 30.0)
    scale = Scale.of([flow])
    shapes = ET.fromstring(flow_svg(flow, scale)).findall("polygon[@points]")
    stages = [shape for shape in shapes if shape.get("class", "").startswith("stage")]
    sizes = []
    for shape in stages:
        points = [tuple(map(float, p.split(","))) for p in shape.get("points", "").split()]
        xs, ys = zip(*points, strict=True)
        sizes.append((max(xs) - min(xs), max(ys) - min(ys)))
    assert sizes[1][0] / sizes[0][0] == pytest.approx(2, rel=0.01)
    assert sizes[1][1] / sizes[0][1] == pytest.approx(2, rel=0.01)


def test_a_missing_library_is_named(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(BadInput, match=r"install foveate\[report\]"):
        report(plan)


def test_the_study_is_left_as_it_was(plan: Plan, tmp_path: Path) -> None:
    before = (tmp_path / "study.db").read_bytes()
    report(plan)
    assert (tmp_path / "study.db").read_bytes() == before
    assert len(optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path}/study.db").trials) == len(TRIALS)
