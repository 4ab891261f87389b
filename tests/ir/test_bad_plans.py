"""Every kind of bad plan: one sentence that names the file, the line, the field and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan, load

GOOD = """\
foveate: 1
placements:
- pass: divprune
  site: image.projector.output
  keep: 0.25
"""

# What to write in place of what, the line that the error names, and what it says.
CHANGES = [
    ("  keep: 0.25", "  kep: 0.25", 5, "unknown key 'placements[0].kep': did you mean 'keep'?"),
    ("placements:", "placement:", 2, "unknown key 'placement': did you mean 'placements'?"),
    ("  keep: 0.25", "  keep: 0.25\n  method: fastv", 6, "unknown key 'placements[0].method'"),
    ("  keep: 0.25", "  keep: 1.5", 5, "placements[0].keep is 1.5; it should be less than or equal to 1"),
    ("  keep: 0.25", "  keep: -0.1", 5, "placements[0].keep is -0.1; it should be greater than or equal to 0"),
    ("  keep: 0.25", "  keep: .nan", 5, "placements[0].keep is nan; it should be a finite number"),
    ("  keep: 0.25", "  keep: .inf", 5, "placements[0].keep is inf"),
    ("  keep: 0.25", "  keep: true", 5, "placements[0].keep is True; it should be a valid number"),
    ("  keep: 0.25", "  keep: half", 5, "placements[0].keep is 'half'; it should be a valid number"),
    ("  keep: 0.25", "  keep: [0.25]", 5, "placements[0].keep is [0.25]; it should be a valid number"),
    ("  keep: 0.25\n", "", 3, "placements[0].keep is missing; add it"),
    ("- pass: divprune\n  site", "- site", 3, "placements[0].pass is missing; add it"),
    ("pass: divprune", "pass: ''", 3, "placements[0].pass is ''"),
    ("pass: divprune", "pass: 3", 3, "placements[0].pass is 3; it should be a valid string"),
    ("projector.output", "projector.outputs", 4, "unknown site 'image.projector.outputs': a site is MODALITY.input"),
    ("image.projector.output", "decoder.layers.two", 4, "unknown site 'decoder.layers.two'"),
    ("  keep: 0.25", "  keep: 0.25\n  modality: text", 6, "'text' is no modality; it is one of image, video, audio"),
    ("  keep: 0.25", "  keep: 0.25\n  params: 3", 6, "placements[0].params is 3"),
    ("  keep: 0.25", "  keep: 0.25\n  tokens_out: -1", 6, "placements[0].tokens_out is -1"),
    ("  keep: 0.25", "  keep: 0.25\n  keep: 0.5", 6, "the key 'keep' is already on line 5; keep one of the two"),
    ("foveate: 1", "foveate: 2", 1, "schema version 2 is not one that this foveate reads; write foveate: 1"),
    ("foveate: 1", "foveate: true", 1, "schema version True is not one that this foveate reads; write foveate: 1"),
    ("foveate: 1", "foveate: one", 1, "schema version 'one' is not one that this foveate reads"),
    ("foveate: 1\n", "", 1, "foveate is missing; add it"),
    (GOOD, "foveate: 1\nplacements: 3\n", 2, "placements is 3; it should be a valid list"),
    (GOOD, "foveate: 1\nplacements:\n- divprune\n", 3, "placements[0] is 'divprune'"),
    (GOOD, "- divprune\n", 1, "a mapping is expected"),
    (GOOD, "", 1, "a mapping is expected"),
    (GOOD, "foveate: 1\nplacements: [\n", 3, "expected"),
    (GOOD, "foveate: 1\nplacements: &a []\nbudget: *a\n", 3, "aliases are not allowed"),
    (GOOD, GOOD + "budget: [ttft<=60%, ttft=3]\n", 6, "budget 'ttft=3' is not understood"),
    (GOOD, GOOD + "budget: ttft<=60%\n", 6, "budget is 'ttft<=60%'; it should be a valid list"),
    (GOOD, GOOD + "workload: {images: [{height: 0, width: 3}]}\n", 6, "workload.images[0].height is 0"),
    (GOOD, GOOD + "workload:\n  txt_tokens: 3\n", 7, "unknown key 'workload.txt_tokens': did you mean 'text_tokens'?"),
    (GOOD, GOOD + "workload: {audio_seconds: [0]}\n", 6, "workload.audio_seconds[0] is 0"),
    (GOOD, GOOD + "device: {name: x, dtype: y, profile: guess}\n", 6, "device.profile is 'guess'"),
    (GOOD, GOOD + "conflicts:\n- {between: [a], relation: ordered, reason: x}\n", 7, "conflicts[0].between"),
    (GOOD, GOOD + "search: {seed: 0.5, trials: 0, evaluated: 0}\n", 6, "search.seed is 0.5"),
]


@pytest.mark.parametrize(("old", "new", "line", "sentence"), CHANGES)
def test_one_sentence_with_the_line(tmp_path: Path, old: str, new: str, line: int, sentence: str) -> None:
    assert old in GOOD
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(BadInput) as refused:
        load(path)
    said = str(refused.value)
    assert said.startswith(f"{path}, line {line}: ")
    assert sentence in said
    assert "\n" not in said


def test_the_unchanged_plan_is_good() -> None:
    assert Plan.from_yaml(GOOD) == Plan.of(Placement("divprune", "image.projector.output", 0.25))


def test_text_in_place_of_a_file_names_its_source() -> None:
    with pytest.raises(BadInput, match=r"^<mail>, line 1: schema version 7"):
        Plan.from_yaml("foveate: 7", source="<mail>")


def test_a_missing_file_and_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no such file; check the path"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="it is not UTF-8 text"):
        load(tmp_path / "bytes.yaml")


@pytest.mark.parametrize(
    ("placement", "sentence"),
    [
        (Placement("random", "nowhere", 0.5), "unknown site 'nowhere'"),
        (Placement("random", "decoder.layers.1", 1.5), "keep is 1.5"),
        (Placement("random", "decoder.layers.1", 0.5, modality=("text",)), "'text' is no modality"),
    ],
)
def test_a_bad_plan_made_in_python_is_not_written(tmp_path: Path, placement: Placement, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        Plan.of(placement).save(tmp_path / "plan.yaml")
    assert sentence in str(refused.value)
    assert not list(tmp_path.iterdir())
