"""Placements on the cache: which keys and values each layer and head goes on with."""
