"""Imports every module that enters rows."""

from __future__ import annotations

from . import anyres, crops, fusion, gemma, grids, natives, patches, sound, tiles

__all__ = ["anyres", "crops", "fusion", "gemma", "grids", "natives", "patches", "sound", "tiles"]
