"""The rows of the tracer's table, by model type; every other type is served by the generic row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...common.registry import Registry
from .row import Row

ROWS: Registry[type[Row]] = Registry("traced family")


def row(cls: type[Row]) -> type[Row]:
    """Class decorator: enter a row under each of its model types."""
    for model_type in cls.model_types:
        ROWS.register(model_type, cls)
    return cls


def row_of(config: Any, processor: Mapping[str, Any] | None = None) -> Row:
    """The row of a configuration, with the checkpoint's processor settings where they are known."""
    from . import rows  # noqa: F401

    model_type = str(getattr(config, "model_type", ""))
    return (ROWS.get(model_type) if model_type in ROWS else Row)(config, processor)
