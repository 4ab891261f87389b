"""Plans as YAML: what is written comes back, from five lines by hand to every block of the format page."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.common.errors import BadInput
from foveate.ir.budget import Budget
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan, load
from foveate.ir.plan_schema import (
    ConflictRecord,
    DeviceRecord,
    FidelityRecord,
    MeasuredRecord,
    ModelRecord,
    PredictedRecord,
    SearchRecord,
    StageRecord,
)
from foveate.ir.site import MODALITIES
from foveate.ir.workload import Images, Video, Workload

FULL = """\
foveate: 1                       # schema version
placements:
- pass: divprune
  site: image.projector.output
  keep: 0.25
  params: {}
  tokens_in: 576
  tokens_out: 144
model: {name: llava-1.5-7b, type: llava, fingerprint: "sha256:..."}
workload: {images: [{count: 1, height: 336, width: 336}], text_tokens: 64, new_tokens: 128, batch: 1, turns: 1,
           concurrency: 1}
device: {name: h100-sxm, dtype: bfloat16, profile: measured}      # measured | datasheet | prior
budget: ["ttft<=60%"]
predicted: {ttft_ms: 0.0, tpot_ms: 0.0, memory_bytes: 0, interval: [0.0, 0.0], stages: []}
measured: {ttft_ms: 0.0, ratio: 0.0, interval: [0.0, 0.0], n: 0, machine: ""}
fidelity: {kind: measured, value: 0.0, interval: [0.0, 0.0], top1: 0.0, samples: 0}    # measured | task | prior
conflicts: [{between: [a, b], relation: discounted, reason: ""}]
search: {seed: 0, trials: 0, evaluated: 0, study: ""}
"""

text = st.text(max_size=12)
number = st.floats(-1e9, 1e9)
count = st.integers(0, 10**9)
positive = st.integers(1, 10**6)
interval = st.lists(number, min_size=2, max_size=2)
scalar = st.one_of(st.booleans(), count, number, text, st.lists(count, max_size=3))
site = st.sampled_from(["image.projector.output", "decoder.layers.2", "video.encoder.layers.3.mid", "decoder.cache"])
placement = st.builds(
    Placement,
    method=st.text(min_size=1, max_size=12),
    site=site,
    keep=st.floats(0, 1),
    params=st.dictionaries(text, scalar, max_size=3),
    modality=st.none() | st.lists(st.sampled_from(MODALITIES), min_size=1, unique=True).map(tuple),
    group=st.none() | text,
    tokens_in=st.none() | count,
    tokens_out=st.none() | count,
)
workload = st.builds(
    Workload,
    images=st.lists(st.builds(Images, positive, positive, positive), max_size=2).map(tuple),
    videos=st.lists(st.builds(Video, positive, positive, positive), max_size=2).map(tuple),
    audio_seconds=st.lists(st.floats(1e-3, 1e6), max_size=2).map(tuple),
    text_tokens=count,
    new_tokens=count,
    batch=positive,
    turns=positive,
    concurrency=positive,
)
budget = st.sampled_from(["ttft<=60%", "ttft<=0.1ms", "memory<=20.5GiB", "fidelity>=0.98", "latency<=1234567.8s"])
stage = st.builds(StageRecord, name=text, ms=number, tokens=count)
plans = st.builds(
    Plan,
    placements=st.lists(placement, max_size=3).map(tuple),
    model=st.none() | st.builds(ModelRecord, name=text, type=text, fingerprint=text),
    workload=st.none() | workload,
    device=st.none()
    | st.builds(DeviceRecord, name=text, dtype=text, profile=st.sampled_from(["measured", "datasheet", "prior"])),
    budget=st.lists(budget.map(Budget.parse), max_size=3).map(tuple),
    predicted=st.none()
    | st.builds(
        PredictedRecord,
        ttft_ms=number,
        tpot_ms=number,
        memory_bytes=count,
        interval=interval,
        stages=st.lists(stage, max_size=2),
        baseline_ttft_ms=st.none() | number,
        baseline_tpot_ms=st.none() | number,
    ),
    measured=st.none()
    | st.builds(MeasuredRecord, ttft_ms=number, ratio=number, interval=interval, n=count, machine=text),
    fidelity=st.none()
    | st.builds(
        FidelityRecord,
        kind=st.sampled_from(["measured", "task", "prior"]),
        value=number,
        interval=interval,
        top1=st.none() | number,
        samples=count,
    ),
    conflicts=st.lists(
        st.builds(
            ConflictRecord,
            between=st.lists(text, min_size=2, max_size=2),
            relation=st.sampled_from(["forbidden", "ordered", "discounted", "unknown"]),
            reason=text,
        ),
        max_size=2,
    ).map(tuple),
    search=st.none() | st.builds(SearchRecord, seed=count, trials=count, evaluated=count, study=text),
)


@given(plans)
def test_round_trip(plan: Plan) -> None:
    assert Plan.from_yaml(plan.to_yaml()) == plan


def test_five_lines_by_hand(tmp_path: Path) -> None:
    lines = ["foveate: 1", "placements:", "- pass: fastv", "  site: decoder.layers.2", "  keep: 0.5"]
    path = tmp_path / "plan.yaml"
    path.write_text("\n".join(lines))
    plan = load(path)
    assert plan == Plan.of(Placement("fastv", "decoder.layers.2", 0.5))
    assert plan.to_yaml().splitlines()[:5] == lines
    assert load(plan) is plan


def test_the_full_example_of_the_format_page() -> None:
    plan = Plan.from_yaml(FULL)
    assert plan.placements == (Placement("divprune", "image.projector.output", 0.25, tokens_in=576, tokens_out=144),)
    assert plan.workload == Workload((Images(1, 336, 336),), text_tokens=64, new_tokens=128)
    assert plan.budget == (Budget("ttft", 0.6, relative=True),)
    assert plan.device == DeviceRecord(name="h100-sxm", dtype="bfloat16", profile="measured")
    assert plan.conflicts[0].between == ["a", "b"]
    keys = [line.split(":")[0] for line in FULL.splitlines() if line[0] not in "- "]
    assert list(plan.to_data()) == keys
    assert Plan.from_yaml(plan.to_yaml()) == plan


def test_what_is_absent_is_not_written() -> None:
    written = Plan.of(Placement("random", "decoder.layers.1", 0.5)).to_data()
    assert set(written) == {"foveate", "placements"}
    assert Plan.from_yaml("foveate: 1\nplacements: []\n") == Plan.of()


def test_save_and_load(tmp_path: Path) -> None:
    plan = Plan.from_yaml(FULL)
    assert load(plan.save(tmp_path / "plan.yaml")) == plan
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


def test_one_modality_may_be_written_as_a_word() -> None:
    template = "foveate: 1\nplacements:\n- {{pass: random, site: decoder.layers.1, keep: 0.5, modality: {}}}\n"
    one, several = Plan.from_yaml(template.format("image")), Plan.from_yaml(template.format("[image, video]"))
    assert one.placements[0].modality == ("image",)
    assert several.placements[0].modality == ("image", "video")


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(BadInput, match="a plan is a Plan or the path of a plan file, not dict"):
        load({"foveate": 1})  # type: ignore[arg-type]
