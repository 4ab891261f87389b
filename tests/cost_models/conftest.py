"""A device with round numbers and a small graph built by hand, so that every expected figure can be worked out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from foveate.cost_models import DeviceProfile
from foveate.cost_models.curve import Curve
from foveate.cost_models.profile import ANY, Efficiency
from foveate.ir.graph import Graph, Layer, Placed, Stage, TokenStream
from foveate.ir.layout import Layout
from foveate.ir.op import OP_KINDS, attention, elementwise, gemm, normalization
from foveate.ir.placement import Placement
from foveate.ir.workload import Workload

FLAT = Efficiency(Curve("flops", (1.0,), (1.0,)), Curve("bytes", (1.0,), (1.0,)))


@pytest.fixture(scope="session")
def device() -> DeviceProfile:
    """1 GFLOP/s, 1 GB/s, all curves flat at one, 2 us a launch, no host time."""
    return DeviceProfile(
        name="round",
        kind="cpu",
        profile="prior",
        source="made up",
        memory_bytes=10**9,
        bandwidth_bytes_per_s=1e9,
        peak_flops={"float32": 1e9, "bfloat16": 2e9},
        launch_overhead_us=2.0,
        efficiency={kind: {ANY: FLAT} for kind in OP_KINDS},
        error=(0.8, 1.25),
    )


def _stack(name: str, role: str, layers: int, width: int, tokens: int, *, causal: bool, sequences: int = 1) -> Stage:
    ops = (
        normalization("norm", width, weights=width),
        gemm("qkv", width, 3 * width),
        attention("core", 2, width // 2, causal=causal),
        gemm("out", width, width),
        elementwise("residual", width, reads=2),
        gemm("up", width, 4 * width),
        gemm("down", 4 * width, width),
    )
    numbered = tuple(Layer(f"layers.{i}", ops) for i in range(layers))
    return Stage(
        name=name,
        role=role,  # type: ignore[arg-type]
        modality="image" if role == "encoder" else None,
        layers=(Layer("embeddings", (elementwise("embed", width),)), *numbered),
        tokens=(tokens,) * (layers + 1),
        sequences=sequences,
        width=width,
        parameters=layers * 12 * width * width,
        mixing="sequence",
        first=1,
        depth=layers,
        key_value_width=2 * width if causal else 0,
    )


@pytest.fixture(scope="session")
def build() -> Callable[..., Graph]:
    """Makes a graph of two pictures of 16 tokens and 8 text tokens; arguments change its workload."""

    def make(workload: str = "image=2x32x32,text=8,new=5", *, encoder: int = 2, decoder: int = 3) -> Graph:
        layout = Layout.image(4, 4)
        projector = Layer("projector", (gemm("linear", 32, 64),))
        head = Layer("lm_head", (gemm("lm_head", 64, 100),))
        stages = (
            _stack("image.encoder", "encoder", encoder, 32, 17, causal=False, sequences=2),
            Stage("image.projector", "projector", "image", (projector,), (16,), 2, 64, 2048, "pointwise"),
            _stack("decoder", "decoder", decoder, 64, 40, causal=True),
            Stage("head", "head", None, (head,), (1,), 1, 64, 6400, "pointwise"),
        )
        streams = (
            TokenStream("image.encoder", "image.projector", 2, 32, Layout.image(4, 4, prefix=1)),
            TokenStream("image.projector", "decoder", 2, 64, layout),
            TokenStream("decoder", "head", 1, 64, Layout(1)),
        )
        return Graph("toy", "llava", "sha256:0", Workload.parse(workload), stages, streams, {"image": layout})

    return make


@pytest.fixture(scope="session")
def graph(build: Callable[..., Graph]) -> Graph:
    """The graph of the default workload."""
    return build()


@pytest.fixture(scope="session")
def place() -> Callable[..., Graph]:
    """Puts a pass at a site that leaves `kept` of 16 tokens and costs one gemm over those that arrive."""

    def at(graph: Graph, site: str, kept: int) -> Graph:
        placed = Placed(Placement("random", site, kept / 16), "image", 16, kept, (gemm("score", 64, 1),))
        return graph.place([placed])

    return at
