"""`foveate models`: the models that can be named without a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import FormatOption
from .output import OutputFormat, print_json, print_table, say

if TYPE_CHECKING:
    from ..ir.presets import Preset

EXAMPLE = "foveate models qwen2.5-vl-7b"


def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this one, with its values.")] = None,
    *,
    format: FormatOption = OutputFormat.TABLE,
) -> None:
    """List the presets: well-known models whose configuration comes with foveate, without weights."""
    from ..ir.presets import preset, presets

    found = [preset(name)] if name else list(presets())
    if format is OutputFormat.JSON:
        print_json([describe(item) for item in found])
    elif name:
        _print_one(found[0])
    else:
        _print_all(found)


def describe(preset: Preset) -> dict[str, Any]:
    """One preset of the JSON in docs/formats.md."""
    return {
        "name": preset.name,
        "model_type": preset.model_type,
        "modalities": list(preset.modalities),
        "repository": preset.repository,
        "parameters": preset.parameters,
        "source": list(preset.source),
        "processor": dict(preset.processor),
        "config": dict(preset.config),
    }


def _print_all(found: list[Preset]) -> None:
    columns = ("name", "model_type", "modalities", "parameters", "source")
    print_table({c: "right" if c == "parameters" else "left" for c in columns}, [_row(item) for item in found])


def _row(found: Preset) -> list[str]:
    return [found.name, found.model_type, " ".join(found.modalities), count(found.parameters), found.source[0]]


def _print_one(found: Preset) -> None:
    from ..common.yaml_lines import dump

    rows = [
        ["model_type", found.model_type],
        ["modalities", " ".join(found.modalities)],
        ["repository", found.repository],
        ["parameters", count(found.parameters)],
        ["source", "\n".join(found.source)],
        ["processor", dump(dict(found.processor)).rstrip() if found.processor else "-"],
        ["config", dump(dict(found.config)).rstrip() if found.config else "the defaults of the model type"],
    ]
    say(found.name, style="bold")
    print_table({"": "left", " ": "left"}, rows)


def count(parameters: int | None) -> str:
    """A number of parameters with its thousands apart.

    >>> count(7063427072), count(None)
    ('7,063,427,072', '-')
    """
    return "-" if parameters is None else f"{parameters:,}"
