"""Encoders read from ONNX models: parameters as torch counts them, FLOPs as its counter does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from foveate.common.errors import BadInput
from foveate.ir.graph import Stage
from foveate.ir.onnx_encoder import encoder_stage

onnx = pytest.importorskip("onnx", reason="onnx is not installed; install foveate[onnx]")
pytest.importorskip("onnxscript", reason="onnxscript is not installed; install foveate[onnx]")
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 84,
    "patch_size": 14,
}


class Tokens(torch.nn.Module):
    """The encoder's tokens alone."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: torch.Tensor) -> Any:
        return self.tower(pixels).last_hidden_state


def tower(name: str) -> Tokens:
    """Every parameter its own values: the exporter stores equal tensors once. Eager attention is counted by torch."""
    more: dict[str, Any] = {"vision_use_head": False} if name == "siglip" else {"mlp_ratio": 2}
    kind = transformers.SiglipVisionModel if name == "siglip" else transformers.Dinov2Model
    model: Any = kind._from_config(kind.config_class(**SIZES, **more), attn_implementation="eager")
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return Tokens(model).eval()


def exported(module: torch.nn.Module, path: Path, *, free: bool) -> Path:
    pixels = torch.zeros(2, 3, 84, 84)
    dynamic = ({0: torch.export.Dim.DYNAMIC},) if free else None
    program = torch.onnx.export(module, (pixels,), dynamo=True, opset_version=18, dynamic_shapes=dynamic, verbose=False)
    assert program is not None
    onnx.save(program.model_proto, path)
    return path


@pytest.fixture(scope="module", params=["siglip", "dinov2"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokens, Stage]:
    module = tower(request.param)
    path = exported(module, tmp_path_factory.mktemp("onnx") / "encoder.onnx", free=True)
    return module, encoder_stage(path)


def test_tokens_parameters_and_layers_are_those_of_the_model(case: tuple[Tokens, Stage]) -> None:
    module, stage = case
    with torch.no_grad():
        tokens = module(torch.zeros(1, 3, 84, 84))
    assert (stage.tokens_in, stage.width) == tuple(tokens.shape[1:])
    unused = sum(p.numel() for n, p in module.named_parameters() if "mask_token" in n)
    assert stage.parameters == sum(p.numel() for p in module.parameters()) - unused
    assert stage.depth == 3
    numbered = stage.layers[stage.first : stage.first + stage.depth]
    assert [layer.name for layer in numbered] == ["layers.0", "layers.1", "layers.2"]
    assert sum(op.kind == "attention" for op in numbered[0].ops) == 2


@pytest.mark.parametrize("batch", [1, 3])
def test_flops_are_those_of_torchs_counter(case: tuple[Tokens, Stage], batch: int) -> None:
    module, stage = case
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(batch, 3, 84, 84))
    contracting = ("gemm", "attention", "convolution")
    found = sum(
        op.flops(batch=batch, tokens=tokens, context=tokens) for tokens, op in stage.ops() if op.kind in contracting
    )
    assert found == counter.get_total_flops()


def test_costs_are_polynomials_in_the_tokens(case: tuple[Tokens, Stage]) -> None:
    """Twice the tokens: linear maps cost twice as much, attention four times."""
    stage = case[1]
    for tokens, op in stage.ops():
        once, twice = (op.flops(batch=1, tokens=n, context=n) for n in (tokens, 2 * tokens))
        if op.kind == "attention":
            assert twice == 4 * once
        if op.kind == "gemm":
            assert twice == 2 * once


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(BadInput, match=r"can be read"):
        encoder_stage(tmp_path / "text.onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    given = helper.make_tensor_value_info("x", kind, ["batch", 3, "height", "width"])
    result = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [given], [result])
    model = helper.make_model(graph)
    with pytest.raises(BadInput, match="give height and width"):
        encoder_stage(model)
    with pytest.raises(BadInput, match="ends in tokens"):
        encoder_stage(model, height=8, width=8)
