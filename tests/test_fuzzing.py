"""Mutated files: every one is read into a valid object or refused with a clear sentence, never with a traceback.

Whatever a reader raises but `BadInput` is a bug and fails the test with the seed that leads to it. `make test` tries a
few hundred mutations, `make test-slow` all 10,000.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from foveate.cli.validate import checked
from foveate.common.errors import BadInput
from foveate.cost_models import load_profile
from foveate.ir.plan import Plan
from foveate.ir.workload import Workload
from foveate.planner.fidelity.samples import read_jsonl

KINDS = ("plan", "profile", "workload", "calibration")
MANY = 10_000 // len(KINDS)
FEW = 100
WORKLOADS = (
    "image=2x672x448,text=64,new=128",
    "video=64x448x448,batch=2,turns=3",
    "audio=30s,concurrency=4",
    "image=1x224x224,text=16,new=4,task=ocr",
)
SAMPLES = '{"image": "a.png", "prompt": "<image> what is it", "answer": "a dog"}\n\n{"image": "a.png", "prompt": "x"}\n'
STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**400, float("inf"), float("nan"), "", "1e400", "\x00", "é" * 99, "../x", [], {}, [[]],
    {"a": {"b": []}}, "2020-01-01", "~", "<script>", "%s", "{}", "0x1f", 1e-320, "image.projector.output", "100%",
)  # fmt: skip
SCRAPS = (
    "\t", "\x00", "\ufeff", ": ", "- ", "{", "]", "&a ", "*a", "!!python/object:os.system ", "'", '"', "|\n", "\\",
    "\n", "#", "%", "\u2028", "9" * 400, "-", "..", "<<: *a\n", "? ", "---\n", "...\n", "\ud800",
)  # fmt: skip


def mutated_text(text: str, source: random.Random) -> str:
    """One to four edits: a scrap put in, a stretch cut out, doubled or moved, a character changed."""
    for _ in range(source.randint(1, 4)):
        start = source.randint(0, len(text))
        end = min(len(text), start + source.choice((1, 1, 3, 10, 80)))
        edit = source.randrange(5)
        if edit == 0:
            text = text[:start] + source.choice(SCRAPS) + text[start:]
        elif edit == 1:
            text = text[:start] + text[end:]
        elif edit == 2:
            text = text[:end] + text[start:]
        elif edit == 3:
            text = text[:start] + chr(source.choice((9, 10, 32, 58, 45, 91, 125, 34, 233, 0x1F600))) + text[start + 1 :]
        else:
            place = source.randint(0, len(text))
            text = text[:place] + text[start:end] + text[place:]
    return text


def mutated_tree(data: Any, source: random.Random) -> Any:
    """`data` with one value somewhere replaced, removed, doubled or put under another name."""
    holders = [data, *_holders(data)]
    holder = source.choice([found for found in holders if isinstance(found, (dict, list)) and found])
    keys: Sequence[Any] = list(holder) if isinstance(holder, dict) else range(len(holder))
    key = source.choice(keys)
    edit = source.randrange(4)
    if edit == 0:
        holder[key] = source.choice(STRANGE)
    elif edit == 1:
        del holder[key]
    elif isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[source.choice(("", "x", "placements", "keep", key + "s" if isinstance(key, str) else "y"))] = holder[key]
    return data


def _holders(data: Any) -> list[Any]:
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [found for value in inner if isinstance(value, (dict, list)) for found in (value, *_holders(value))]


class Shipped:
    """The files that come with foveate, by kind, and the readers of each kind."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        self.texts = {
            "plan": [path.read_text() for path in sorted((root / "examples").glob("*.yaml"))] + [_full_plan()],
            "profile": [path.read_text() for path in sorted((root / "cost_models" / "devices").glob("*.yaml"))],
            "workload": list(WORKLOADS),
            "calibration": [SAMPLES],
        }
        self.readers: dict[str, Callable[[Path], object]] = {
            "plan": lambda path: (checked(path), Plan.from_yaml(checked(path).to_yaml())),
            "profile": load_profile,
            "workload": lambda path: Workload.parse(path.read_text(encoding="utf-8", errors="surrogateescape")),
            "calibration": lambda path: read_jsonl(path, lambda **_: {}),
        }

    def mutate(self, kind: str, source: random.Random) -> str:
        """A file of that kind with something wrong, or something else right."""
        text = source.choice(self.texts[kind])
        if kind in ("plan", "profile") and source.random() < 0.5:
            return yaml.safe_dump(mutated_tree(yaml.safe_load(text), source), allow_unicode=True, sort_keys=False)
        if kind == "calibration" and source.random() < 0.5:
            return json.dumps(mutated_tree(json.loads(text.splitlines()[0]), source)) + "\n"
        return mutated_text(text, source)

    def read(self, kind: str, text: str) -> str | None:
        """What the reader of that kind complains about, None where the file is valid."""
        path = self.folder / f"{kind}.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            self.readers[kind](path)
        except BadInput as error:
            return str(error)
        return None


def _full_plan() -> str:
    """A plan with every block that docs/formats.md names."""
    return """foveate: 1
placements:
- {pass: divprune, site: image.projector.output, keep: 0.25, params: {}, tokens_in: 576, tokens_out: 144}
- {pass: fastv, site: decoder.layers.2, keep: 0.5, modality: [image], group: a}
model: {name: testbed, type: llava, fingerprint: "sha256:0"}
workload: {images: [{count: 1, height: 336, width: 336}], text_tokens: 64, new_tokens: 128, batch: 1, turns: 1}
device: {name: my-machine, dtype: float32, profile: measured}
budget: ["ttft<=60%", "memory<=20GiB"]
predicted: {ttft_ms: 1.0, tpot_ms: 1.0, memory_bytes: 10, interval: [0.5, 1.5], stages: [{name: a, ms: 1.0, tokens: 3}]}
measured: {ttft_ms: 1.0, ratio: 0.5, interval: [0.4, 0.6], n: 21, machine: "a machine"}
fidelity: {kind: measured, value: 0.97, interval: [0.9, 0.99], top1: 0.9, samples: 16}
conflicts: [{between: [a, b], relation: discounted, reason: "why"}]
search: {seed: 0, trials: 9, evaluated: 9, study: "", front: [{plan: "a", value: 0.9, ttft_ms: 1.0}]}
"""


@pytest.fixture
def shipped(root: Path, tmp_path: Path) -> Shipped:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    return Shipped(root, tmp_path)


def fuzz(shipped: Shipped, kind: str, count: int) -> tuple[int, int]:
    """(valid, refused) of `count` mutations; a complaint must be one sentence of a length that people read."""
    refused = 0
    for seed in range(count):
        text = shipped.mutate(kind, random.Random(f"{kind} {seed}"))
        try:
            complaint = shipped.read(kind, text)
        except Exception as error:
            raise AssertionError(f"{kind}, seed {seed}: {type(error).__name__}: {error}\n{text!r:.2000}") from error
        if complaint is not None:
            refused += 1
            assert 10 <= len(complaint) <= 1500, (kind, seed, complaint)
            assert "Traceback" not in complaint, (kind, seed, complaint)
    return count - refused, refused


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_files_are_valid(shipped: Shipped, kind: str) -> None:
    assert {shipped.read(kind, text) for text in shipped.texts[kind]} == {None}


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_mutations(shipped: Shipped, kind: str) -> None:
    valid, refused = fuzz(shipped, kind, FEW)
    assert refused >= FEW // 4, "the mutations hardly hurt"
    assert valid + refused == FEW


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_mutations(shipped: Shipped, kind: str) -> None:
    valid, refused = fuzz(shipped, kind, MANY)
    assert refused >= MANY // 4
    assert valid >= 1
