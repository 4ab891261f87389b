"""A small multimodal model of our own that has learned something, with the scenes and questions it was trained on.

>>> from foveate.testbed import samples
>>> sample = samples("heldout", 1)[0]
>>> sample.prompt.startswith("<bos> <image> ")
True
"""

from .loading import checkpoint_path, load
from .sampling import Sample, samples

__all__ = ["Sample", "checkpoint_path", "load", "samples"]
