"""Well-known multimodal models by name: configuration values with their sources, one YAML file each, no weights.

A preset stands for a model that nobody has downloaded: `load("qwen2.5-vl-7b")` is the transformers configuration of
the published model, from which its graph is traced. Importing this package loads neither torch nor transformers.
"""

from __future__ import annotations

from .catalogue import find, load, names, preset, presets
from .preset import Preset

__all__ = ["Preset", "find", "load", "names", "preset", "presets"]
