"""What the model is: its token flow as a graph, and the plans that change it."""

from __future__ import annotations
