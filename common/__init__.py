"""The ground floor: errors, whole-file writes, YAML with line numbers, nearest names, seeds, timing, registries.

Nothing here knows about models or tokens, and nothing here imports torch or transformers when it is imported.
"""
