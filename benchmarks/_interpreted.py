"""Import this before anything that imports Triton: without a GPU its kernels run in its interpreter."""

from __future__ import annotations

import os
from shutil import which

INTERPRETED = which("nvidia-smi") is None
if INTERPRETED:
    os.environ["TRITON_INTERPRET"] = "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
