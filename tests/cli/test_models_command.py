"""`foveate models`: the presets as a table, as JSON, and one by one."""

from __future__ import annotations

import json

from foveate.ir.presets import names, preset

from .conftest import Foveate

KEYS = "name model_type modalities repository parameters source processor config".split()


def test_the_table_names_every_preset_once(foveate: Foveate) -> None:
    shown = foveate("models")
    assert shown.code == 0
    first_words = [line.split()[0] for line in shown.out.splitlines() if line.strip()]
    assert [word for word in first_words if word in names()] == list(names())


def test_the_table_has_parameters_and_sources(foveate: Foveate) -> None:
    row = next(line for line in foveate("models").out.splitlines() if line.split()[:1] == ["llava-1.5-7b"])
    assert "llava" in row
    assert "image" in row
    assert "7,063,427,072" in row
    assert "config.json" in row


def test_json_has_every_preset_and_key(foveate: Foveate) -> None:
    rows = json.loads(foveate("models", "--format", "json").out)
    assert [row["name"] for row in rows] == list(names())
    assert all(list(row) == KEYS for row in rows)
    assert all(row["source"] for row in rows)


def test_one_preset_as_json_is_what_the_file_says(foveate: Foveate) -> None:
    (row,) = json.loads(foveate("models", "qwen2.5-vl-7b", "--format", "json").out)
    assert row["parameters"] == preset("qwen2.5-vl-7b").parameters == 8_292_166_656
    assert row["config"]["text_config"]["hidden_size"] == 3584
    assert row["processor"]["merge_size"] == 2


def test_one_preset_shows_its_values(foveate: Foveate) -> None:
    shown = foveate("models", "qwen2.5-vl-7b")
    assert shown.code == 0
    for part in ("Qwen/Qwen2.5-VL-7B-Instruct", "8,292,166,656", "hidden_size: 3584", "max_pixels: 12845056"):
        assert part in shown.out


def test_one_preset_without_values_says_that_it_is_the_default(foveate: Foveate) -> None:
    assert not preset("whisper-tiny").config
    assert "the defaults of the model type" in foveate("models", "whisper-tiny").out


def test_an_unknown_preset_is_bad_input(foveate: Foveate) -> None:
    shown = foveate("models", "lava-1.5-7b")
    assert shown.code == 2
    assert shown.sentence == "foveate: unknown preset 'lava-1.5-7b': did you mean 'llava-1.5-7b'?"


def test_help_has_an_example(foveate: Foveate) -> None:
    assert "Example: foveate models qwen2.5-vl-7b" in foveate("models", "--help").out
