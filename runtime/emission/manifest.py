"""`manifest.json` of an emitted folder: what was emitted for which plan, and the hash of every file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import pydantic

from ...common.errors import BadInput
from ...common.files import read_text
from ...common.validation import validate
from ...common.yaml_lines import parse
from ...ir.plan import Plan

MANIFEST, MODULE = "manifest.json", "emitted.py"
SCHEMA_VERSION = 1


class Record(pydantic.BaseModel):
    """Base of every mapping: unknown keys are refused."""

    model_config = pydantic.ConfigDict(extra="forbid", populate_by_name=True)


class SignalRecord(Record):
    """One signal that functions take after the features: a name, the shape behind the media, and a torch dtype."""

    name: str
    shape: list[int]
    dtype: str


class SiteRecord(Record):
    """One placement for one modality; `way` is `emitted`, or `library` for `reason`.

    `grid` is that of the tokens that arrive; inside an encoder they are units of its stream, and `prefix` is how many
    tokens stand before them. `launches`: of `select_N` and `compact_N` on a GPU. `merges`: what goes on
    are means of groups, which `compact_N` gives. `groups`: the module has `group_N`
    too, since they form by content; `combines`: and `combine_N`, since what goes on is something else than their means.
    `signals`: what `select_N`, `group_N` and `compact_N` take after the features.
    """

    number: int
    method: str = pydantic.Field(alias="pass")
    site: str
    modality: str
    way: Literal["emitted", "library"]
    reason: str | None = None
    tokens_in: int
    tokens_out: int
    grid: tuple[int, int, int] | None = None
    prefix: int | None = None
    width: int
    launches: dict[str, int] | None = None
    merges: bool = False
    groups: bool = False
    combines: bool = False
    signals: list[SignalRecord] = pydantic.Field(default_factory=list)


class KernelRecord(Record):
    """One launch of `function`, compiled: what is needed to load and to start it, and what it takes.

    `registers` of a thread, `spilled` bytes of a thread, `shared` bytes of a program, `warps` of a program.
    """

    function: str
    kernel: str
    file: str
    grid: list[int]
    warps: int
    arguments: dict[str, str]
    constants: dict[str, Any]
    registers: int
    spilled: int
    shared: int


class Manifest(Record):
    """The whole file; `files` maps each other file of the folder to `sha256:` and its hex digest."""

    foveate: int = SCHEMA_VERSION
    emitted_by: str
    torch: str
    triton: str
    plan: str
    model: str
    dtype: str
    tuning: str
    sites: list[SiteRecord]
    targets: dict[str, list[KernelRecord]] = pydantic.Field(default_factory=dict)
    files: dict[str, str]

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(self.model_dump(by_alias=True, exclude_none=True), indent=2) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an emitted folder, its files checked against their hashes.

    Raises:
        BadInput: no manifest, not one of this version, or a file that is missing or was changed.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BadInput(f"{folder} holds no {MANIFEST}; name a folder that `foveate emit` wrote.")
    found = validate(Manifest, parse(read_text(path), source=str(path)))
    if found.foveate != SCHEMA_VERSION:
        raise BadInput(f"{path} is of version {found.foveate}, and this foveate reads {SCHEMA_VERSION}; emit it again.")
    for name, wanted in found.files.items():
        file = folder / name
        if not file.is_file() or hashed(file.read_bytes()) != wanted:
            raise BadInput(f"{file} is not the file that {MANIFEST} describes; emit the plan again.")
    return found


def hashed(data: bytes) -> str:
    """`sha256:` and the hex digest.

    Example:
        >>> hashed(b"")[:20]
        'sha256:e3b0c44298fc1'
    """
    return "sha256:" + hashlib.sha256(data).hexdigest()


def plan_fingerprint(plan: Plan) -> str:
    """A hash of what the plan does: its placements without counts and evidence, in the order given."""
    acts = [(p.method, p.site, p.keep, sorted(p.params.items()), p.modality) for p in plan.placements]
    return hashed(json.dumps(acts, default=list).encode())
