"""Placements inside encoders and at their outputs, and what is read while media are encoded."""
