"""ONNX models of plans: onnxruntime gives what a live model's decoder receives under the same plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from family_cases import BY_NAME
from live_families import AUDIO, IMAGE, VIDEO, batch

from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of
from foveate.runtime.export import export_onnx
from foveate.runtime.export.annotation import read_plan

onnx = pytest.importorskip("onnx", reason="onnx is not installed; install foveate[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed; install foveate[onnx]")
pytest.importorskip("onnxscript", reason="onnxscript is not installed; install foveate[onnx]")

SELECTING, MERGING, POOLING = "divprune", "a-tome-output", "pool"
FAMILIES = ("llava", "gemma3", "paligemma", "internvl", "video_llava", "voxtral")
FEW = [("llava", "fastervlm"), ("video_llava", MERGING), ("voxtral", POOLING)]
REST = [(f, m) for f in FAMILIES for m in (SELECTING, MERGING, POOLING) if (f, m) not in FEW] + [("llava", "visionzip")]
CASES = [*FEW, *(pytest.param(*case, marks=pytest.mark.slow) for case in REST)]
INSIDE = [
    ("llava", [("evit", "encoder.layers.1.mid"), ("divprune", "projector.output")]),
    ("paligemma", [("tome", "encoder.layers.0.mid"), ("divprune", "encoder.layers.1.mid")]),
]
INSIDE_REST = [
    ("llava", [("downsample", "input"), ("divprune", "encoder.layers.1.mid"), ("divprune", "projector.output")]),
    ("internvl", [("downsample", "input")]),
    ("internvl", [("divprune", "encoder.layers.1.mid"), ("pool", "projector.output")]),
    ("gemma3", [("uniform", "encoder.layers.1")]),
    ("voxtral", [("a-tome", "encoder.layers.0.mid")]),
    ("llava", [("divprune", "encoder.output")]),
]
TOKENS = {"image": IMAGE, "video": VIDEO, "audio": AUDIO}


def received(model: Any, plan: Plan, inputs: dict[str, torch.Tensor], token: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What the decoder of the live model gets under a plan for one prompt: the media tokens' embeddings, and where
    they stood among the medium's tokens."""
    seen: list[torch.Tensor] = []

    def keep(module: Any, arguments: Any, given: dict[str, Any]) -> None:
        seen.append(given["inputs_embeds"].detach().clone())

    decoder = adapter_of(model.config).decoder(model)
    with torch.inference_mode(), apply(model, plan) as handle:
        hook = decoder.register_forward_pre_hook(keep, with_kwargs=True)
        try:
            model(**inputs)
        finally:
            hook.remove()
        places = handle.positions[0]
    ids = inputs["input_ids"][0]
    numbers = (ids == token).cumsum(0) - 1
    media = ids[places] == token
    return seen[0][0, media], numbers[places][media]


@pytest.mark.parametrize(("family", "method"), CASES)
def test_onnxruntime_gives_what_the_decoder_receives(family: str, method: str, tmp_path: Path) -> None:
    case = BY_NAME[family]
    model = case.build()
    inputs, _ = batch(case, rows=1)
    agrees(model, Plan.of(Placement(method, f"{case.modality}.projector.output", 0.5)), case, inputs, tmp_path)


@pytest.mark.parametrize(
    ("family", "steps"), [*INSIDE, *(pytest.param(*case, marks=pytest.mark.slow) for case in INSIDE_REST)]
)
def test_passes_inside_the_encoder_are_exported(family: str, steps: list[tuple[str, str]], tmp_path: Path) -> None:
    case = BY_NAME[family]
    model = case.build()
    inputs, _ = batch(case, rows=1)
    plan = Plan.of(*(Placement(method, f"{case.modality}.{site}", 0.5) for method, site in steps))
    counts = agrees(model, plan, case, inputs, tmp_path)
    assert len(counts) == len(steps) + 1
    assert sorted(counts, reverse=True) == counts


def agrees(model: Any, plan: Plan, case: Any, inputs: dict[str, torch.Tensor], tmp_path: Path) -> list[int]:
    """The exported model gives what the live model's decoder receives; the counts that it carries."""
    expected, places = received(model, plan, inputs, TOKENS[case.modality])
    (found,) = export_onnx(model, plan, tmp_path, inputs=inputs)
    assert found.error <= 1e-4
    assert read_plan(found.path).placements == plan.placements
    onnx.checker.check_model(onnx.load(found.path), full_check=True)
    session = onnxruntime.InferenceSession(found.path)
    (given,) = session.get_inputs()
    features = inputs[given.name]
    output, index = session.run(None, {given.name: features.numpy()})
    assert isinstance(given.shape[0], str)  # the number of media is free
    assert index[0].tolist() == places.tolist()
    scale = float(expected.abs().max())
    torch.testing.assert_close(torch.from_numpy(output[0]), expected, rtol=0, atol=1e-4 * scale)
    three = features[:1].expand(3, *features.shape[1:]) + torch.arange(3.0).reshape(3, *[1] * (features.ndim - 1))
    several, _ = session.run(None, {given.name: three.numpy()})
    assert several.shape == (3, *output.shape[1:])
    torch.testing.assert_close(torch.from_numpy(several[0]), torch.from_numpy(output[0]), rtol=0, atol=1e-4 * scale)
    entries = {entry.key: entry.value for entry in onnx.load(found.path).metadata_props}
    return [int(count) for count in entries["foveate.tokens"].split()]


def test_what_acts_in_the_decoder_is_left_out_and_said(tmp_path: Path) -> None:
    case = BY_NAME["llava"]
    model, (inputs, _) = case.build(), batch(case, rows=1)
    first = Placement("fastervlm", "image.projector.output", 0.5)
    plan = Plan.of(first, Placement("fastv", "decoder.layers.2", 0.5))
    (found,) = export_onnx(model, plan, tmp_path, inputs=inputs)
    assert (found.tokens_in, found.tokens_out) == (16, 8)
    assert found.left == ("fastv@decoder.layers.2 keep 0.5",)
    assert read_plan(found.path).placements == (first,)
    entries = {entry.key: entry.value for entry in onnx.load(found.path).metadata_props}
    assert entries["foveate.tokens"] == "16 8"
    assert "fastv" in entries["foveate.left_to_the_decoder"]
    model_opset = {entry.domain: entry.version for entry in onnx.load(found.path).opset_import}
    assert model_opset[""] == found.opset == 18


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    case = BY_NAME["llava"]
    model, (inputs, _) = case.build(), batch(case, rows=1)
    with torch.inference_mode():
        model(**inputs)  # transformers registers hooks of its own in a model's first run
        registered = hooks(model)
        before = model(**inputs).logits
        export_onnx(model, Plan.of(Placement("fastervlm", "image.projector.output", 0.5)), tmp_path, inputs=inputs)
        assert torch.equal(model(**inputs).logits, before)
    assert hooks(model) == registered


def hooks(model: torch.nn.Module) -> list[tuple[int, int]]:
    return [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]


@pytest.mark.parametrize(
    ("family", "placement", "words"),
    [
        ("video_llava", Placement("uniform-frames", "video.input", 0.5), "plan without that pass"),
        ("qwen2_vl", Placement("tome", "image.encoder.layers.0.mid", 0.5), "image_grid_thw"),
        ("qwen2_vl", Placement("pool", "image.projector.output", 0.5), "image_grid_thw"),
        ("video_llava", Placement("fastervlm", "video.projector.output", 0.5), "runs on parts of a medium"),
    ],
)
def test_what_cannot_be_exported_is_said(family: str, placement: Placement, words: str, tmp_path: Path) -> None:
    case = BY_NAME[family]
    model, (inputs, _) = case.build(), batch(case, rows=1)
    with pytest.raises(BadInput, match=words):
        export_onnx(model, Plan.of(placement), tmp_path, inputs=inputs)
    assert not list(tmp_path.iterdir())


def test_a_folder_and_a_library_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    case = BY_NAME["llava"]
    model, (inputs, _) = case.build(), batch(case, rows=1)
    plan = Plan.of(Placement("pool", "image.projector.output", 0.5))
    with pytest.raises(BadInput, match="create it first"):
        export_onnx(model, plan, tmp_path / "none", inputs=inputs)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(BadInput, match=r"install foveate\[onnx\]"):
        export_onnx(model, plan, tmp_path, inputs=inputs)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8])
def test_sorting_is_stable(descending: bool, dtype: torch.dtype) -> None:
    values = torch.tensor([[3, 1, 3, 2, 1, 3], [0, 0, 0, 1, 1, 0]]).to(dtype)
    expected = values.sort(dim=-1, descending=descending, stable=True)
    found = ran(lambda x: x.sort(dim=-1, descending=descending, stable=True), values)
    assert [part.tolist() for part in found] == [expected.values.tolist(), expected.indices.tolist()]


def test_running_maxima() -> None:
    values = torch.tensor([[1, 4, 2, 4, 3, 7, 0], [5, 5, 1, 2, 6, 6, 6]])
    expected = values.cummax(dim=1)
    found = ran(lambda x: x.cummax(dim=1), values)
    assert [part.tolist() for part in found] == [expected.values.tolist(), expected.indices.tolist()]


def ran(function: Any, values: torch.Tensor) -> list[Any]:
    """What onnxruntime makes of a function of one tensor, written with our translations."""
    from foveate.runtime.export.translations import translations

    class Module(torch.nn.Module):
        def forward(self, given: torch.Tensor) -> Any:
            return tuple(function(given))

    program = torch.onnx.export(
        Module().eval(),
        (values,),
        dynamo=True,
        opset_version=18,
        custom_translation_table=translations(),
        verbose=False,
    )
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    return list(session.run(None, {session.get_inputs()[0].name: values.numpy()}))
