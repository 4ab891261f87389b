"""Write docs/commands.md: every command of foveate with what it really prints; and the demo in the README.

    python docs/generate.py            # run the quick commands anew; take the slow ones from docs/recorded/
    python docs/generate.py --record   # run the slow ones too, and record what they print
    python docs/generate.py --record plan bench    # of the slow ones only these

The commands run one after the other in a folder of their own, so a later one can use what an earlier one wrote.
Progress goes to standard error and is left out; long outputs are cut, and the cut is marked. The last section of the
page is written by hand and kept.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from foveate.cli.app import app
from foveate.cli.demo_scene import demo_scene
from foveate.common.files import read_text, write_whole

DOCS = Path(__file__).resolve().parent
PAGE, RECORDED, README = DOCS / "commands.md", DOCS / "recorded", DOCS.parent / "README.md"
LONG_SEARCHES = "\n## Long searches: keep, resume, share\n"
LONGEST, WIDTH = 48, 116
"""Lines of an output that the page shows, and columns of the README's demo."""


@dataclass(frozen=True)
class Example:
    """One command line of the page.

    Attributes:
        line: as typed. words: what to know about it. minutes: whether it takes that long, so that its output is
            recorded and the commands after it use the files of docs/recorded/. makes: files that such a run wrote and
            others need. code: the exit code that it ends with.
    """

    line: str
    words: str
    minutes: bool = False
    makes: tuple[str, ...] = ()
    code: int = 0

    @property
    def command(self) -> str:
        """The command's name: the word after `foveate`."""
        return self.line.split()[1]


EXAMPLES = (
    Example("foveate demo", "The main job end to end.", minutes=True),
    Example("foveate trace testbed", "Which stages there are, and what of the work each takes."),
    Example("foveate trace llava-1.5-7b --workload image=1x336x336,text=64,new=128", "A preset: no weights are read."),
    Example(
        "foveate calibrate -o my-machine.yaml --seconds 60",
        "Once for each machine.",
        minutes=True,
        makes=("my-machine.yaml",),
    ),
    Example(
        'foveate plan testbed --budget "ttft<=60%" --device my-machine.yaml --trials 20 -o testbed.plan.yaml',
        "With weights: fidelity and times are measured on the live model. A search can be\n"
        "[kept, resumed and shared](#long-searches-keep-resume-share).",
        minutes=True,
    ),
    Example(
        'foveate plan llava-1.5-7b --budget "ttft<=60%" --device l4 -o llava.plan.yaml',
        "Without weights: fidelity is the prior that published tables lead one to expect, times are predicted.",
    ),
    Example("foveate explain llava.plan.yaml", "Why the plan is what it is."),
    Example("foveate diff llava.plan.yaml hand.yaml", "What two plans do differently."),
    Example("foveate validate hand.yaml --model testbed", "What a plan file says, here one of five lines."),
    Example(
        'foveate run testbed --image picture.png --prompt "is there a dog" --plan hand.yaml', "Both answers.", True
    ),
    Example("foveate overlay testbed --plan hand.yaml --image picture.png -o kept.png", "Which patches are kept."),
    Example("foveate bench testbed --plan hand.yaml --rounds 21", "Times, side by side.", minutes=True),
    Example("foveate check llava.plan.yaml", "The gate, by the cost model. See [ci.md](ci.md)."),
    Example('foveate check llava.plan.yaml --budget "ttft<=40%"', "A budget that is broken: exit code 1.", code=1),
    Example("foveate check llava.plan.yaml --format github", "The same as GitHub annotations."),
    Example(
        'foveate check hand.yaml --model testbed --budget "ttft<=90%" --measure',
        "Timed on the live model.",
        minutes=True,
    ),
    Example("foveate report llava.plan.yaml -o report.html", "A page to look at."),
    Example("foveate emit hand.yaml --model testbed -o kernels", "Triton kernels for the plan's shapes."),
    Example(
        "foveate export hand.yaml --onnx onnx --model testbed", "Encoder, compression and projector as ONNX.", True
    ),
    Example("foveate methods", "The passes that a plan can name."),
    Example("foveate methods fastv", "One of them."),
    Example("foveate models", "Models known by name."),
    Example("foveate devices", "Devices known by name."),
    Example("foveate devices l4 --model llava-1.5-7b", "What a model costs on one, and what compression could gain."),
)


def main() -> int:
    """Write the page; 1 where a command ended otherwise than it should."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--record", nargs="*", metavar="COMMAND", help="run commands that take minutes; none: all")
    record = options.parse_args().record
    record = {example.command for example in EXAMPLES} if record == [] else set(record or ())
    refuse_gaps()
    RECORDED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        sections = [section(number, example, Path(folder), record) for number, example in enumerate(EXAMPLES)]
        if "demo" in record:
            shutil.copy(Path(folder) / "foveate-demo" / "kept.png", DOCS / "kept.png")
    write_whole(PAGE, page(sections) + by_hand(read_text(PAGE)))
    write_whole(README, with_demo(read_text(README), read_text(RECORDED / "00-demo.txt")))
    return 0


def prepare(folder: Path) -> None:
    """What the commands read: a plan written by hand and a picture."""
    shutil.copy(DOCS.parent / "examples" / "hand_written.yaml", folder / "hand.yaml")
    demo_scene().image.save(folder / "picture.png")


def section(number: int, example: Example, folder: Path, record: Set[str]) -> str:
    """The Markdown of one example; its output is had by running it, or from the recording."""
    kept = RECORDED / f"{number:02d}-{example.command}.txt"
    if example.minutes and example.command not in record:
        output = (
            read_text(kept) if kept.exists() else f"(not recorded yet; docs/generate.py --record {example.command})\n"
        )
        for name in example.makes:
            shutil.copy(RECORDED / name, folder / name)
    else:
        output = printed(example, folder)
        if example.minutes:
            write_whole(kept, output)
            for name in example.makes:
                shutil.copy(folder / name, RECORDED / name)
    print(f"{example.line}: {len(output.splitlines())} lines", file=sys.stderr, flush=True)
    return markdown(example, output)


def printed(example: Example, folder: Path) -> str:
    """What a command prints on standard output.

    Raises:
        SystemExit: it ended with another exit code than it should.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # as in an activated environment
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "116"}
    words = [shutil.which("foveate", path=path) or "foveate", *shlex.split(example.line)[1:]]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != example.code:
        sys.exit(f"{example.line} ended with {done.returncode}: {done.stderr}")
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines()) + "\n"


def markdown(example: Example, output: str) -> str:
    """One example of the page."""
    lines = output.rstrip("\n").splitlines()
    if len(lines) > LONGEST:
        lines = [*lines[:LONGEST], f"... ({len(lines) - LONGEST} more lines)"]
    words = example.words + (" Takes minutes; from a recorded run." if example.minutes else "")
    body = "\n".join(lines) or "(prints nothing)"
    return f"{words}\n\n```console\n$ {example.line}\n{body}\n```\n"


def page(sections: Sequence[str]) -> str:
    """The page: one heading for each command, in the order in which they are first used."""
    text = "# Every command\n\nWritten by `python docs/generate.py`: what stands here was printed by the commands. "
    text += "Each has a `--help` with all its options;\n[formats.md](formats.md) has exit codes and JSON.\n"
    seen: set[str] = set()
    for example, body in zip(EXAMPLES, sections, strict=True):
        if example.command not in seen:
            seen.add(example.command)
            text += f"\n## foveate {example.command}\n"
        text += f"\n{body}"
    return text


def by_hand(text: str) -> str:
    """What stands on the page after the commands, which is written by hand and kept."""
    return text[text.index(LONG_SEARCHES) :]


def with_demo(text: str, output: str) -> str:
    """The README with what the demo printed, long lines wrapped, between the sentences before and after it."""
    start = text.index("\n\n    ", text.index("`make demo` prints this"))
    end = text.index("\n\nThe picture that it draws", start)
    kept = output.rstrip("\n").splitlines()
    lines = [part for line in kept for part in ([line] if len(line) <= WIDTH else textwrap.wrap(line, WIDTH))]
    return text[:start] + "\n\n" + textwrap.indent("\n".join(lines), "    ") + text[end:]


def refuse_gaps() -> None:
    """End where a command has no example, before any of them is run."""
    commands = {str(found.name or getattr(found.callback, "__name__", "")) for found in app.registered_commands}
    missing = commands - {example.command for example in EXAMPLES}
    if missing:
        sys.exit(f"commands without an example: {', '.join(sorted(missing))}")


if __name__ == "__main__":
    sys.exit(main())
