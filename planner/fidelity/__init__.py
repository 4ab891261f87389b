"""How closely the compressed model follows the uncompressed one, or how well it does a task."""
