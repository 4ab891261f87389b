"""Placements before encoders: smaller pictures, fewer frames, shorter sounds."""
