"""Published weights and recorded data that public packages carry, for benchmarks on real models.

Nothing of it is part of the repository: packages are fetched once into a cache folder, verified, and only read.
"""
