"""Priors: read from published tables, monotone, labelled, and never better together than the best alone."""

from __future__ import annotations

import math

import pytest

import foveate
from foveate.common.errors import BadInput
from foveate.ir.graph import Graph
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.passes import REGISTRY
from foveate.planner.priors.data import PublishedResult, published_results, read_source
from foveate.planner.priors.fit import fit, published_fit
from foveate.planner.priors.judge import passes_with_prior, prior_judge

SOURCE = """\
source: some-paper
table: Table 1
model: some-model
modality: image
baseline: {A: 80.0, B: 50.0}
left_out: {B: noisy}
rows:
- method: fastv
  mechanism: attention
  kept: 1
  of: 4
  scores: {A: 60.0, B: 50.0}
"""
PROJECTOR = "image.projector.output"


def plan_of(*placements: tuple[str, str, float]) -> Plan:
    return Plan.of(*(Placement(method, site, keep) for method, site, keep in placements))


def made_up(exponent: float, scales: dict[str, float]) -> list[PublishedResult]:
    """Rows that lie on loss curves exactly, in two sources."""
    return [
        PublishedResult(source, method, "attention", "image", keep, math.exp(-scale * (-math.log(keep)) ** exponent))
        for source in ("one", "two")
        for method, scale in scales.items()
        for keep in (0.5, 0.25, 0.1)
    ]


def test_a_row_is_relative_to_its_own_tables_baseline() -> None:
    (result,) = read_source(SOURCE, source="some.yaml")
    assert (result.method, result.keep, result.relative) == ("fastv", 0.25, 0.75)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("kept: 1", "kept: 4", "no compression"),
        ("A: 60.0", "C: 60.0", "no score on C"),
        ("left_out: {B: noisy}", "left_out: {A: x, B: x}", "every benchmark is left out"),
        ("modality: image", "modality: smell", "modality"),
    ],
)
def test_a_malformed_source_is_refused_by_name(old: str, new: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        read_source(SOURCE.replace(old, new), source="some.yaml")
    assert "some.yaml" in str(caught.value)


def test_the_published_rows_are_compressions_near_their_baseline() -> None:
    results = published_results()
    assert len({result.source for result in results}) >= 5
    assert all(0 < result.keep < 1 and 0.5 < result.relative < 1.1 for result in results)


def test_the_fit_recovers_curves_that_made_the_rows() -> None:
    scales = {"fastv": 0.02, "sparsevlm": 0.06}
    found = fit(made_up(1.5, scales))
    assert found.curves.exponent == pytest.approx(1.5, abs=1e-9)
    for method, scale in scales.items():
        assert found.curves.scale(method, "attention", "image") == pytest.approx(scale, rel=0.25)
    assert found.error < 0.01


def test_the_error_is_that_of_sources_left_out() -> None:
    """One source whose rows are all far worse than the others': the error shows it, the fit to all rows would not."""
    rows = made_up(1.5, {"fastv": 0.02})
    worse = [PublishedResult("odd", "vtw", "query", "image", row.keep, row.relative - 0.3) for row in rows[:3]]
    assert fit(rows + worse).error > 0.1 > fit(rows).error


def test_a_fit_needs_two_ratios_of_one_method() -> None:
    with pytest.raises(BadInput, match="two ratios"):
        fit([PublishedResult("one", "fastv", "attention", "image", 0.5, 0.9)])


def test_passes_without_published_results_have_no_prior(graph: Graph) -> None:
    known = passes_with_prior(["image"])
    assert "fastv" in known
    assert "random" not in known
    judge = prior_judge(graph)
    assert judge.judge(plan_of(("random", PROJECTOR, 0.5))) is None
    assert judge.judge(plan_of(("fastv", "decoder.layers.2", 0.5), ("random", PROJECTOR, 0.5))) is None


def test_video_results_say_nothing_of_images(graph: Graph) -> None:
    """VisionZip's training-free rows are of videos only."""
    assert "visionzip" in passes_with_prior(["video"])
    assert prior_judge(graph).judge(plan_of(("visionzip", PROJECTOR, 0.5))) is None


def test_nothing_compressed_is_one_and_less_kept_is_less(graph: Graph) -> None:
    judge = prior_judge(graph)
    nothing = judge.judge(Plan.of())
    assert nothing is not None
    assert (nothing.value, nothing.kind) == (1.0, "prior")
    values = [judge.judge(plan_of(("vispruner", PROJECTOR, keep))) for keep in (0.75, 0.5, 0.25, 0.1, 0.02)]
    found = [value.value for value in values if value is not None]
    assert len(found) == 5
    assert found == sorted(found, reverse=True)


def test_a_later_layer_loses_less_at_the_same_ratio(graph: Graph) -> None:
    judge = prior_judge(graph)
    early, late = (judge.judge(plan_of(("fastv", f"decoder.layers.{layer}", 0.25))) for layer in (1, 4))
    assert early is not None
    assert late is not None
    assert late.value > early.value


def test_an_early_pass_counts_like_the_published_ratio(graph: Graph) -> None:
    found, published = prior_judge(graph).judge(plan_of(("vispruner", PROJECTOR, 0.25))), published_fit()
    scale = published.curves.scale("vispruner", "mixed", "image")
    assert found is not None
    assert found.value == pytest.approx(published.curves.relative(scale, 0.25))


def test_two_passes_are_never_expected_to_beat_the_better_one_at_equal_reduction(graph: Graph) -> None:
    """Half at the projector and half of the rest at layer 1 of 6: a quarter from layer 1 on."""
    judge = prior_judge(graph)
    joint = judge.judge(plan_of(("vispruner", PROJECTOR, 0.5), ("sparsevlm", "decoder.layers.1", 0.5)))
    mean_kept = (0.5 + 5 * 0.25) / 6
    best = judge.judge(plan_of(("vispruner", PROJECTOR, mean_kept)))
    assert joint is not None
    assert best is not None
    assert joint.value <= best.value + 1e-3


def test_the_interval_widens_beyond_what_was_published(graph: Graph) -> None:
    judge, error = prior_judge(graph), published_fit().error
    inside, outside = plan_of(("vispruner", PROJECTOR, 0.25)), plan_of(("vispruner", PROJECTOR, 0.01))
    assert not judge.extrapolates(inside)
    assert judge.extrapolates(outside)
    near, far = judge.judge(inside), judge.judge(outside)
    assert near is not None
    assert far is not None
    assert near.value - near.interval[0] == pytest.approx(1.96 * error)
    assert far.value - far.interval[0] > 1.96 * error


def test_every_pass_with_a_prior_is_registered_under_its_catalogue_id() -> None:
    methods = {result.method for result in published_results()}
    assert all(REGISTRY.get(name).catalog_id in methods for name in passes_with_prior(["image", "video"]))


def test_foveate_plans_without_weights_say_prior() -> None:
    found = foveate.plan("llava-1.5-7b", budget="ttft<=90%", device="h100-sxm")
    assert found.fidelity is not None
    assert found.fidelity.kind == "prior"
    assert found.fidelity.error == pytest.approx(published_fit().error, rel=1e-4)
    assert found.measured is None
    assert found.placements
