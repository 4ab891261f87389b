"""The adapter table: one small file for each family of models."""

from __future__ import annotations

from .base import FAMILIES, Family, family_of

__all__ = ["FAMILIES", "Family", "family_of"]
