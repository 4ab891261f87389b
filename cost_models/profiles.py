"""The device profiles that come with foveate, and profiles from files."""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path

from ..common.names import unknown
from ..common.validation import validate
from ..common.yaml_lines import Located, load, parse
from .profile import DeviceProfile
from .profile_file import read, resolve
from .profile_schema import PriorRecord

_SUFFIXES = (".yaml", ".yml")


def device_names() -> tuple[str, ...]:
    """Names of the profiles that come with foveate, sorted: one file of `cost_models/devices/` each."""
    return _stems("devices")


def load_profile(source: str | os.PathLike[str] | DeviceProfile) -> DeviceProfile:
    """The profile called `source`, or of the YAML file at that path; a `DeviceProfile` is returned as it is.

    Raises:
        BadInput: an unknown name (the nearest is offered), no such file, or a file that is no device profile.

    Example:
        >>> load_profile("l4").memory_bytes
        24000000000
    """
    if isinstance(source, DeviceProfile):
        return source
    text = os.fspath(source)
    if text in device_names():
        return _packaged(text)
    if isinstance(source, Path) or text.endswith(_SUFFIXES) or os.sep in text:
        return _resolved(load(text))
    raise unknown("device", text, device_names())


@cache
def _packaged(name: str) -> DeviceProfile:
    return _resolved(_package_file("devices", name))


def _resolved(located: Located) -> DeviceProfile:
    record = read(located)
    if record.prior is not None and record.prior not in _stems("priors"):
        raise located.error(("prior",), str(unknown("prior", record.prior, _stems("priors"))))
    prior = None if record.prior is None else validate(PriorRecord, _package_file("priors", record.prior))
    return resolve(record, located, prior)


def _stems(folder: str) -> tuple[str, ...]:
    names = (entry.name for entry in (files(__package__) / folder).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def _package_file(folder: str, name: str) -> Located:
    entry = files(__package__) / folder / f"{name}.yaml"
    return parse(entry.read_text(encoding="utf-8"), source=f"{folder}/{name}.yaml")
