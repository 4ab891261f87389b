"""How the live models of each family are called: one small file for each way of laying media out."""

from __future__ import annotations

from .base import ADAPTERS, Adapter, Medium, adapter, adapter_of, live_part

__all__ = ["ADAPTERS", "Adapter", "Medium", "adapter", "adapter_of", "live_part"]
