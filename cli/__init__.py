"""The command line: argument parsing and printing only; every command is one small file beside this one.

Nothing here imports torch, transformers, optuna, networkx or numpy until a command that needs it runs.
"""

from __future__ import annotations

from .app import main

__all__ = ["main"]
