"""Imports every module that enters rows."""

from __future__ import annotations

from . import anyres, fusion, grids, natives, patches, sound, tiles

__all__ = ["anyres", "fusion", "grids", "natives", "patches", "sound", "tiles"]
