"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import OutputFormat

MODEL_HELP = "`testbed` or `testbed-video` (the embedded models) or the folder of a local checkpoint"

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help=f"{MODEL_HELP}.", show_default=False)]
ModelOption = Annotated[str | None, typer.Option("--model", metavar="MODEL", help=f"{MODEL_HELP}.", show_default=False)]
PlanArgument = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan file (YAML).", show_default=False)]
WorkloadOption = Annotated[
    str | None,
    typer.Option(
        "--workload",
        metavar="WORKLOAD",
        help="One request, as in image=1x336x336,text=64,new=128 (count x height x width); default: the model's.",
        show_default=False,
    ),
]
BudgetOption = Annotated[
    list[str],
    typer.Option(
        "--budget", metavar="BUDGET", help="A limit such as ttft<=60% or tpot<=30ms; repeatable.", show_default=False
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME|FILE", help="A device profile: see `foveate devices`.", show_default=False),
]
FormatOption = Annotated[OutputFormat, typer.Option("--format", help="How to print the result.", case_sensitive=False)]
ImageOption = Annotated[
    Path | None, typer.Option("--image", metavar="PICTURE", help="A PNG or JPEG file.", show_default=False)
]
VideoOption = Annotated[
    Path | None, typer.Option("--video", metavar="CLIP", help="An MP4 or WebM file.", show_default=False)
]
AudioOption = Annotated[
    Path | None, typer.Option("--audio", metavar="SOUND", help="A WAV, FLAC, OGG or MP3 file.", show_default=False)
]
FramesOption = Annotated[int, typer.Option("--frames", min=1, help="Frames taken of a clip, evenly spread.")]
