"""The video testbed: clips of moving things, questions on motion, order and counting over time, and their model.

>>> sample = samples("heldout", 1)[0]
>>> sample.frames.shape, sample.prompt.startswith("<bos> <video> ")
((16, 112, 112, 3), True)
"""

from .sampling import VideoSample, evidence_tokens, samples

__all__ = ["VideoSample", "evidence_tokens", "samples"]
