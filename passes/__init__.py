"""What can be done: one small file for each compression method, over shared primitives."""

from __future__ import annotations

from .base import REGISTRY, Compression, Pass, Tokens, create, register

__all__ = ["REGISTRY", "Compression", "Pass", "Tokens", "create", "register"]
