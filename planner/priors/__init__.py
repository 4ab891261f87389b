"""Fidelity from published tables, for models whose weights are not there."""
