"""What commands print for good input: the JSON of docs/formats.md, tables, and both answers of `run`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from foveate.passes import REGISTRY

from .conftest import Foveate

METHOD_KEYS = (
    "name catalog_id mechanism modalities sites needs consumes query_aware training source params summary".split()
)
STAGE_KEYS = "name modality role layers tokens_in tokens_out flops bytes params active_params mixing".split()
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_methods_as_json_has_every_pass_and_key(foveate: Foveate) -> None:
    rows = json.loads(foveate("methods", "--format", "json").out)
    assert [row["name"] for row in rows] == list(REGISTRY.names())
    assert all(list(row) == METHOD_KEYS for row in rows)


def test_methods_as_a_table_names_every_pass(foveate: Foveate) -> None:
    shown = foveate("methods").out
    assert all(name in shown for name in REGISTRY.names())


def test_one_method_shows_its_parameters(foveate: Foveate) -> None:
    (row,) = json.loads(foveate("methods", "fastervlm", "--format", "json").out)
    assert row["params"] == {"layer": None}
    assert row["needs"] == ["encoder attention_row cls"]


def test_devices_as_json(foveate: Foveate) -> None:
    rows = json.loads(foveate("devices", "--format", "json").out)
    by_name = {row["name"]: row for row in rows}
    assert {"generic-cpu", "h100-sxm"} <= set(by_name)
    assert by_name["h100-sxm"]["memory_bytes"] == 80_000_000_000


def test_trace_as_json_counts_tokens(foveate: Foveate, checkpoint: Path) -> None:
    data = json.loads(
        foveate("trace", checkpoint, "--workload", "image=2x224x224,text=10,new=4,batch=3", "--format", "json").out
    )
    assert list(data) == ["model", "workload", "stages", "streams", "sites", "possible_sites"]
    assert all(list(stage) == STAGE_KEYS for stage in data["stages"])
    stages = {stage["name"]: stage for stage in data["stages"]}
    assert stages["image.encoder"]["tokens_in"] == 3 * 2 * 257
    assert stages["image.projector"]["tokens_out"] == 3 * 2 * 256
    assert stages["decoder"]["tokens_in"] == 3 * (2 * 256 + 10)
    around = ["image.input", "image.projector.output", "decoder.layers.1", "decoder.cache"]
    inside = {site for site in data["sites"] if site.startswith("image.encoder.")}
    assert [site for site in data["sites"] if site not in inside] == around
    assert {"image.encoder.layers.0.mid", "image.encoder.output"} <= inside <= set(data["possible_sites"])


def test_trace_bytes_grow_with_the_batch_by_the_activations_alone(foveate: Foveate, checkpoint: Path) -> None:
    def decoder(batch: int) -> dict[str, int]:
        workload = f"image=1x224x224,text=10,batch={batch}"
        stages = json.loads(foveate("trace", checkpoint, "--workload", workload, "--format", "json").out)["stages"]
        return next(stage for stage in stages if stage["name"] == "decoder")

    one, two, three = decoder(1), decoder(2), decoder(3)
    assert two["bytes"] - one["bytes"] == three["bytes"] - two["bytes"]
    # Rotary tables are made once for all rows; everything else grows with them.
    assert two["flops"] - one["flops"] == three["flops"] - two["flops"]
    assert 0 <= 2 * one["flops"] - two["flops"] < 0.01 * one["flops"]
    fixed = one["bytes"] - (two["bytes"] - one["bytes"])  # weights, and rotary tables that all rows share
    assert 0 < fixed < 0.1 * one["bytes"]


def test_trace_under_a_plan_shows_the_smaller_decoder(
    foveate: Foveate, checkpoint: Path, write_plan: Callable[..., Path]
) -> None:
    plain = json.loads(foveate("trace", checkpoint, "--format", "json").out)
    under = json.loads(foveate("trace", checkpoint, "--plan", write_plan(keep=0.25), "--format", "json").out)
    before, after = plain["stages"][2], under["stages"][2]
    assert before["tokens_out"] - after["tokens_out"] == 256 - 64
    assert after["flops"] < before["flops"]


def test_the_hand_written_plan_has_five_lines_and_is_valid(foveate: Foveate, checkpoint: Path) -> None:
    plan = EXAMPLES / "hand_written.yaml"
    assert len(plan.read_text().splitlines()) == 5
    result = foveate("validate", plan, "--model", checkpoint)
    assert result.code == 0
    assert "256 to 64 tokens" in result.out


def test_a_plan_for_layers_that_the_model_lacks_is_refused(
    foveate: Foveate, checkpoint: Path, write_plan: Callable[..., Path]
) -> None:
    result = foveate("validate", write_plan(site="decoder.layers.9"), "--model", checkpoint)
    assert result.code == 2
    assert "decoder.layers" in result.sentence


def test_run_answers_with_and_without_the_plan(
    foveate: Foveate, checkpoint: Path, picture: Path, write_plan: Callable[..., Path]
) -> None:
    arguments = ("--prompt", "is there a dog", "--plan", write_plan(keep=0.25), "--new-tokens", 3)
    result = foveate("run", checkpoint, "--image", picture, *arguments)
    assert (result.code, result.err) == (0, "")
    rows = [line.split() for line in result.out.splitlines() if line.strip()]
    lengths = {row[0]: row[1] for row in rows[2:]}
    assert int(lengths["none"]) - int(next(v for k, v in lengths.items() if k != "none")) == 256 - 64


def test_run_with_everything_kept_gives_the_same_answer_twice(
    foveate: Foveate, checkpoint: Path, picture: Path, write_plan: Callable[..., Path]
) -> None:
    arguments = ("--prompt", "is there a dog", "--plan", write_plan(keep=1.0), "--new-tokens", 3)
    shown = foveate("run", checkpoint, "--image", picture, *arguments).out
    answers = [line.split(maxsplit=2)[1:] for line in shown.splitlines() if line.strip()][2:]
    assert len(answers) == 2
    assert answers[0] == answers[1]


@pytest.mark.parametrize("workload", ["video=8x224x224", "text=5"])
def test_bench_without_pictures_is_refused(
    foveate: Foveate, checkpoint: Path, write_plan: Callable[..., Path], workload: str
) -> None:
    result = foveate("bench", checkpoint, "--plan", write_plan(), "--workload", workload)
    assert result.code == 2
