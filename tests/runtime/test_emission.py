"""Emitted kernels: equal to the library where nothing of it can be imported, the same bytes every time, and applied."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from emitted_cases import CASES, record, sites, text_of
from family_cases import internvl
from tiny import batch, tiny_llava

from foveate.common.errors import BadInput
from foveate.ir.graph import Graph
from foveate.ir.layout import Layout
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.tracing import trace
from foveate.passes import create
from foveate.passes.base import REGISTRY
from foveate.runtime import apply
from foveate.runtime.emission import emit, load
from foveate.runtime.emission.chains import chain_of, why_not
from foveate.runtime.emission.loading import EmittedPass
from foveate.runtime.emission.manifest import MANIFEST, MODULE, read_manifest

SUPPORT = Path(__file__).parents[1] / "support"
PLAN = Plan.of(
    Placement("divprune", "image.projector.output", 0.75),
    Placement("fastv", "decoder.layers.1", 0.7),
    Placement("dart", "decoder.layers.2", 0.7),
    Placement("norm", "decoder.layers.3", 0.5),
)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return trace(tiny_llava().config, "image=1x56x56,text=8,new=2")


@pytest.fixture
def folder(graph: Graph, tmp_path: Path) -> Path:
    emit(PLAN, graph, folder=tmp_path / "kernels", dtype="float32")
    return tmp_path / "kernels"


@pytest.mark.parametrize("way", ["triton", "torch"])
def test_a_module_equals_the_library_where_only_torch_and_triton_are(way: str, tmp_path: Path) -> None:
    files = []
    for dtype in ("float32", "bfloat16"):
        files += [tmp_path / f"{dtype}.py", tmp_path / f"{dtype}.pt"]
        files[-2].write_text(text_of(dtype))
        torch.save(record(dtype), files[-1])
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_INTERPRET": "1"} if way == "triton" else {}
    command = [sys.executable, "-I", str(SUPPORT / "bare_run.py"), *map(str, files)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [f"{way} {len(CASES)}"] * 2


def test_a_module_imports_torch_and_triton_alone() -> None:
    tree = ast.parse(text_of("float32"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"torch", "triton"}
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))


def test_sizes_are_constants_of_the_kernels() -> None:
    kernels = [
        node
        for node in ast.parse(text_of("float32")).body
        if isinstance(node, ast.FunctionDef) and "tl.program_id" in ast.unparse(node) and node.decorator_list
    ]
    assert kernels
    for kernel in kernels:
        kinds = {argument.arg: ast.unparse(argument.annotation) for argument in kernel.args.args if argument.annotation}
        assert {kinds[name] for name in ("tokens", "count", "width") if name in kinds} == {"tl.constexpr"}


def test_other_shapes_are_refused_by_the_module(folder: Path) -> None:
    module = load(folder, PLAN).module
    with pytest.raises(ValueError, match="emitted for"):
        module.select_0(torch.zeros(1, 5, 32))


def test_the_same_plan_gives_the_same_bytes(folder: Path, graph: Graph, tmp_path: Path) -> None:
    again = tmp_path / "again"
    emit(dataclasses.replace(PLAN), graph, folder=again, dtype="float32")
    for name in (MODULE, MANIFEST):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_the_manifest_says_what_became_of_each_placement(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert [(s.method, s.way, s.tokens_in, s.tokens_out) for s in manifest.sites] == [
        ("divprune", "emitted", 16, 12),
        ("fastv", "emitted", 12, 8),
        ("dart", "emitted", 8, 6),
        ("norm", "emitted", 6, 3),
    ]
    assert manifest.sites[1].launches == {"select": 1, "compact": 1}
    assert [(s.name, s.shape) for s in manifest.sites[2].signals] == [
        ("key", [8, 2, 8]),
        ("media", [8, 32]),
        ("text_key", [8, 2, 8]),
        ("text", [8, 32]),
    ]
    assert set(manifest.files) == {MODULE}


def test_a_model_runs_on_emitted_kernels_as_on_the_library(folder: Path) -> None:
    model, inputs = tiny_llava(), batch([(1, 6), (2, 4)])
    with torch.no_grad():
        with apply(model, PLAN) as handle:
            expected, kept = model(**inputs).logits, handle.selections
        with apply(model, PLAN, kernels=folder) as handle:
            found = model(**inputs).logits
            served = [site.method.served for site in handle._session._all_sites() if hasattr(site.method, "served")]
            assert {name: row.tolist() for name, row in handle.selections.items()} == {
                name: row.tolist() for name, row in kept.items()
            }
    assert len(served) == 4
    assert min(served) > 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


IN_ENCODER = Plan.of(
    Placement("tome", "image.encoder.layers.0.mid", 0.75),
    Placement("representation-shift", "image.encoder.layers.1", 0.75),
    Placement("norm", "image.encoder.output", 0.67),
)


def test_units_inside_an_encoder_are_emitted_in_its_width(graph: Graph, tmp_path: Path) -> None:
    manifest = emit(IN_ENCODER, graph, folder=tmp_path / "encoder", dtype="float32")
    assert [(s.way, s.tokens_in, s.tokens_out, s.width, s.prefix) for s in manifest.sites] == [
        ("emitted", 16, 12, 32, 1),
        ("emitted", 12, 9, 32, 1),
        ("emitted", 9, 6, 32, 1),
    ]
    assert [(s.name, s.shape) for site in manifest.sites for s in site.signals] == [
        ("key", [16, 4, 8]),
        ("before", [12, 32]),
    ]


def test_an_encoder_runs_on_emitted_kernels_as_on_the_library(graph: Graph, tmp_path: Path) -> None:
    emit(IN_ENCODER, graph, folder=tmp_path / "encoder", dtype="float32")
    model, inputs = tiny_llava(), batch([(1, 6), (2, 4)])
    with torch.no_grad():
        with apply(model, IN_ENCODER):
            expected = model(**inputs).logits
        with apply(model, IN_ENCODER, kernels=tmp_path / "encoder") as handle:
            found = model(**inputs).logits
            methods = [site.method for site in handle._session._all_sites()]
    assert all(isinstance(method, EmittedPass) and method.served for method in methods)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_tiles_are_emitted_one_by_one(tmp_path: Path) -> None:
    graph = trace(internvl().config, "image=1x64x32,text=8,new=2")
    plan = Plan.of(Placement("norm", "image.encoder.output", 0.5))
    (site,) = emit(plan, graph, folder=tmp_path / "tiles", dtype="float32").sites
    layout = graph.layouts["image"]
    assert layout.count % site.tokens_in == 0
    assert site.tokens_in < layout.count


@pytest.mark.parametrize("name", ["pool", "visionzip", "prumerge-plus", "cdpruner-llm-text"])
def test_what_goes_on_behind_the_projector_is_the_librarys(name: str, graph: Graph, tmp_path: Path) -> None:
    plan, model, inputs = (
        Plan.of(Placement(name, "image.projector.output", 0.5)),
        tiny_llava(),
        batch([(1, 6), (2, 4)]),
    )
    emit(plan, graph, folder=tmp_path / name, dtype="float32")
    with torch.no_grad():
        with apply(model, plan):
            expected = model(**inputs).logits
        with apply(model, plan, kernels=tmp_path / name) as handle:
            found = model(**inputs).logits
            assert all(site.method.served for site in handle._session._all_sites())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_features_of_another_dtype_are_served_by_the_library(graph: Graph, tmp_path: Path) -> None:
    emit(PLAN, graph, folder=tmp_path / "half", dtype="bfloat16")
    model, inputs = tiny_llava(), batch([(1, 6), (2, 4)])
    with torch.no_grad():
        with apply(model, PLAN):
            expected = model(**inputs).logits
        with apply(model, PLAN, kernels=tmp_path / "half") as handle:
            assert torch.equal(model(**inputs).logits, expected)
            assert [s.method.served for s in handle._session._all_sites() if hasattr(s.method, "served")] == [0] * 4


def test_kernels_of_another_plan_are_refused(folder: Path) -> None:
    other = Plan.of(Placement("divprune", "image.projector.output", 0.5))
    with pytest.raises(BadInput, match="another plan"):
        apply(tiny_llava(), other, kernels=folder)


def test_a_changed_or_missing_file_is_refused(folder: Path) -> None:
    (folder / MODULE).write_text((folder / MODULE).read_text() + "\n")
    with pytest.raises(BadInput, match=r"not the file that manifest\.json describes"):
        apply(tiny_llava(), PLAN, kernels=folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(BadInput, match=r"holds no manifest\.json"):
        load(folder, PLAN)


def test_a_manifest_of_another_version_is_refused(folder: Path) -> None:
    data = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(data | {"foveate": 9}))
    with pytest.raises(BadInput, match="version 9"):
        load(folder, PLAN)


def test_a_folder_is_replaced_whole_and_only_where_foveate_wrote_it(folder: Path, graph: Graph, tmp_path: Path) -> None:
    (folder / "left.txt").write_text("from before")
    emit(PLAN, graph, folder=folder, dtype="float32")
    assert sorted(path.name for path in folder.iterdir()) == [MODULE, MANIFEST]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("keep me")
    with pytest.raises(BadInput, match="not written by foveate"):
        emit(PLAN, graph, folder=mine, dtype="float32")
    with pytest.raises(BadInput, match="create it first"):
        emit(PLAN, graph, folder=tmp_path / "no" / "such", dtype="float32")
    assert [path.name for path in mine.iterdir()] == ["letter.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernels", "mine"]


def test_nothing_is_left_where_emitting_fails(
    graph: Graph, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / MANIFEST).read_bytes()
    monkeypatch.setattr("foveate.runtime.emission.emitting.module_text", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        emit(PLAN, graph, folder=folder, dtype="float32")
    assert (folder / MANIFEST).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["kernels"]


@pytest.mark.parametrize(
    ("name", "layout", "keep", "reason"),
    [
        ("norm", Layout(8), 1.0, "every token"),
        ("norm", Layout(8), 0.0, "no token"),
        ("norm", Layout(9000), 0.5, "longer than 8192"),
        ("tome", Layout(8), 0.4, "in rounds"),
        ("vispruner", Layout(8), 0.5, "rounds"),
        ("prumerge-plus", Layout(8), 0.125, "without the sum"),
        ("vidcom2", Layout(8), 0.5, "variances of channels"),
        ("downsample", Layout(8), 0.5, "on the input"),
        ("knorm", Layout(8), 0.5, "only in the call"),
    ],
)
def test_what_has_no_chain_says_why(name: str, layout: Layout, keep: float, reason: str) -> None:
    method = create(name)
    target = method.count(layout, keep)
    assert chain_of(method, layout, target) is None
    assert reason in why_not(method, layout, target)


def test_every_pass_that_ships_has_a_chain_or_says_why_not() -> None:
    layout = Layout(60, (4, 3, 5))
    for name in REGISTRY.names():
        method = create(name)
        target = layout.kept(0.5)
        if chain_of(method, layout, target) is None:
            assert "no chain is known" not in why_not(method, layout, target), name


def test_counts_that_depend_on_content_have_no_chain() -> None:
    method, layout = create("timechat-online", {"adaptive": True}), Layout(60, (4, 3, 5))
    target = create("timechat-online").count(layout, 0.5)
    assert chain_of(method, layout, target) is None
    assert "depends on what is in them" in why_not(method, layout, target)


def test_inputs_and_caches_stay_in_the_library(graph: Graph, tmp_path: Path) -> None:
    plan = Plan.of(Placement("downsample", "image.input", 0.5), Placement("knorm", "decoder.cache", 0.5))
    sites = emit(plan, graph, folder=tmp_path / "none", dtype="float32").sites
    assert [(site.way, str(site.reason).split(",")[0]) for site in sites] == [
        ("library", "it acts at image.input"),
        ("library", "what its layers keep of which sequence is known only in the call"),
    ]


def test_every_case_has_a_chain() -> None:
    assert all(site.chain is not None for site in sites())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Triton is for Linux")
def test_binaries_are_compiled_and_described(graph: Graph, tmp_path: Path) -> None:
    plan = Plan.of(Placement("fastv", "decoder.layers.1", 0.5))
    found = emit(plan, graph, folder=tmp_path / "one", dtype="bfloat16", targets=["cuda:90"])
    kernels = found.targets["cuda:90"]
    assert {(kernel.function, kernel.kernel) for kernel in kernels} == {
        ("select_0", "select_top_k"),
        ("compact_0", "select_and_gather"),
    }
    for kernel in kernels:
        assert 0 < kernel.registers <= 255
        assert kernel.spilled == 0
        assert (tmp_path / "one" / kernel.file).read_bytes()[:4] == b"\x7fELF"
    assert set(found.files) == {MODULE, *(kernel.file for kernel in kernels)}


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cuda:80", "cuda:90", "hip:gfx942"])
def test_no_emitted_kernel_spills(graph: Graph, tmp_path: Path, target: str) -> None:
    plan = Plan.of(*IN_ENCODER.placements, *PLAN.placements[1:2], Placement("norm", "decoder.layers.3", 0.5))
    for dtype in ("float32", "bfloat16"):
        found = emit(plan, graph, folder=tmp_path / dtype, dtype=dtype, targets=[target])
        assert [kernel for kernel in found.targets[target] if kernel.spilled] == []
    again = emit(plan, graph, folder=tmp_path / "again", dtype=dtype, targets=[target])
    assert again == found  # the hashes of the binaries too


@pytest.mark.parametrize("target", ["cuda", "cuda:ninety", "hip:90", "metal:1"])
def test_an_unknown_target_is_refused(graph: Graph, tmp_path: Path, target: str) -> None:
    with pytest.raises(BadInput, match="is no target"):
        emit(PLAN, graph, folder=tmp_path / "kernels", targets=[target])
    assert not list(tmp_path.iterdir())
