"""A fingerprint of a model's configuration: plans name the model that they were made for."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# What changes without changing the model: where it was loaded from, by which version, in which dtype.
_INCIDENTAL = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "_attn_implementation", "architectures"}


def fingerprint(model_or_config: Any) -> str:
    """`sha256:` and the hex digest of the configuration, the same for a live model and for its config.json."""
    config = getattr(model_or_config, "config", model_or_config)
    text = json.dumps(_plain(config.to_dict()), sort_keys=True, default=str)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if k not in _INCIDENTAL and v is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
