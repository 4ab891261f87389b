"""The closed vocabulary of the video testbed: every word that a prompt, an answer or a token label can hold.

Things are a part of the image testbed's; the word list is the video model's own, so its word ids differ.
"""

from __future__ import annotations

from typing import Final

from ..vocabulary import SHAPES

SPECIAL: Final = ("<pad>", "<bos>", "<eos>", "<video>", "<image>", "<unk>")
FUNCTION_WORDS: Final = (
    *("is", "there", "a", "the", "what", "which", "way", "how", "many", "often", "objects", "does", "come", "comes"),
    *("goes", "at", "before", "first", "last", "start", "end", "yes", "no", "nothing"),
)
MOTIONS: Final = ("left", "right", "up", "down", "still")
DIGITS: Final = ("1", "2", "3")
EMOJI_THINGS: Final = tuple(
    "dog cat pig elephant frog fish apple pizza car bus airplane house sunflower soccer heart star".split()
)
THINGS: Final = EMOJI_THINGS + SHAPES

WORDS: Final = (*SPECIAL, *FUNCTION_WORDS, *MOTIONS, *DIGITS, *THINGS)
WORD_ID: Final[dict[str, int]] = {word: index for index, word in enumerate(WORDS)}
PAD, BOS, EOS, VIDEO, IMAGE, UNKNOWN = range(len(SPECIAL))

TOKEN_CLASSES: Final = ("background", *THINGS)


def encode(text: str) -> list[int]:
    """Return the token ids of space-separated words; raises ``KeyError`` on a word outside the vocabulary.

    >>> [WORDS[i] for i in encode("which way goes the dog")]
    ['which', 'way', 'goes', 'the', 'dog']
    """
    return [WORD_ID[word] for word in text.split()]
