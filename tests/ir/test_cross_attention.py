"""Keys and values of cross-attention: once in a prefill, over the tokens that leave the encoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from families import real_model, small_config
from torch.utils.flop_counter import FlopCounterMode

from foveate.ir.coverage import COUNTED, convention_flops
from foveate.ir.graph import CROSS_ATTENTION, Graph, Placed
from foveate.ir.placement import Placement
from foveate.ir.tracing import trace

KEPT = 400


@pytest.fixture(scope="module")
def graph() -> Graph:
    return trace(small_config("whisper"), "audio=30s,text=1,new=8")


def placed(graph: Graph, site: str) -> Graph:
    count = graph.layouts["audio"].count
    return graph.place([Placed(Placement("uniform", site, keep=KEPT / count), "audio", count, KEPT)])


def test_a_decode_step_does_what_torch_counts_in_one(graph: Graph) -> None:
    model = real_model(small_config("whisper"))
    model.set_attn_implementation("eager")  # torch counts no fused attention on a CPU
    sound = torch.randn(1, model.config.num_mel_bins, 2 * model.config.max_source_positions)
    token = torch.ones(1, 1, dtype=torch.long)
    with torch.no_grad():
        first = model(input_features=sound, decoder_input_ids=token, use_cache=True)
        with FlopCounterMode(display=False) as counter:
            model(
                encoder_outputs=first.encoder_last_hidden_state[None],
                decoder_input_ids=token,
                past_key_values=first.past_key_values,
                use_cache=True,
            )
    ops = [op for name in ("decoder", "head") for _, op in graph.stage(name).ops() if op.kind in COUNTED]
    one_key = 4 * model.config.d_model * graph.decoder.depth  # a prompt of one token does not show how keys add up
    assert sum(op.convention_flops(batch=1, tokens=1, context=2) for op in ops) == counter.get_total_flops() - one_key


@pytest.mark.parametrize("site", ["audio.encoder.layers.0.mid", "audio.encoder.output"])
def test_fewer_tokens_leave_fewer_keys(graph: Graph, site: str) -> None:
    encoder, shorter = graph.stage("audio.encoder"), placed(graph, site).stage("audio.encoder")
    assert encoder.layers[-1].name == CROSS_ATTENTION
    assert len(encoder.layers[-1].ops) == 2 * graph.decoder.depth
    assert (encoder.tokens[-1], shorter.tokens[-1]) == (graph.layouts["audio"].count, KEPT)
    across = replace(encoder, layers=encoder.layers[-1:], tokens=encoder.tokens[-1:])
    less = convention_flops(graph) - convention_flops(placed(graph, site))
    lost = 1 - KEPT / encoder.tokens[-1]
    assert less == across.flops() * lost if site.endswith("output") else less > across.flops() * lost


def test_tokens_in_the_prompt_leave_no_such_layer() -> None:
    names = [layer.name for stage in trace("llava-1.5-7b").stages for layer in stage.layers]
    assert CROSS_ATTENTION not in names
