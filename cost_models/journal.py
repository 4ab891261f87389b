"""A calibration's timings, kept in a file while it runs, so that it goes on where it was interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..common.files import write_whole

VERSION = 1


class Journal:
    """What has been timed so far, by name.

    Args:
        path: the file; None keeps nothing. circumstances: machine, versions and settings; timings of a file that was
            written under others are not used.
    """

    def __init__(self, path: Path | None, circumstances: Mapping[str, Any]) -> None:
        self.path, self.circumstances = path, dict(circumstances)
        self._timed: dict[str, Any] = _stored(path, self.circumstances)

    @property
    def resumed(self) -> int:
        """How many steps were found in the file."""
        return len(self._timed)

    def timed(self, name: str, measure: Callable[[], Any]) -> Any:
        """What the file has under `name`, else what `measure` returns (plain JSON data), which is written at once."""
        if name not in self._timed:
            self._timed[name] = measure()
            self._write()
        return self._timed[name]

    def finish(self) -> None:
        """Remove the file: the profile has everything now."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        if self.path is not None:
            data = {"foveate_calibration": VERSION, "circumstances": self.circumstances, "timed": self._timed}
            write_whole(self.path, json.dumps(data))


def _stored(path: Path | None, circumstances: Mapping[str, Any]) -> dict[str, Any]:
    """The timings in the file; none where it is missing, damaged or from other circumstances."""
    try:
        data = json.loads(path.read_text(encoding="utf-8")) if path is not None and path.is_file() else {}
    except (OSError, ValueError):
        return {}
    known = isinstance(data, dict) and data.get("foveate_calibration") == VERSION
    same = known and data.get("circumstances") == json.loads(json.dumps(dict(circumstances)))
    return dict(data["timed"]) if same and isinstance(data.get("timed"), dict) else {}
