"""The closed vocabulary of the testbed: every word that a prompt, an answer or a patch label can hold."""

from __future__ import annotations

from typing import Final

SPECIAL: Final = ("<pad>", "<bos>", "<eos>", "<image>", "<unk>")
FUNCTION_WORDS: Final = (
    *("is", "there", "a", "the", "what", "at", "where", "how", "many", "objects", "number", "printed", "colour"),
    *("sign", "background", "yes", "no", "nothing", "none"),
)
RELATIONS: Final = ("left-of", "right-of", "above", "below")
REGIONS: Final = (
    *("top-left", "top", "top-right"),
    *("left", "center", "right"),
    *("bottom-left", "bottom", "bottom-right"),
)
EMOJI: Final = tuple(
    "dog cat horse cow pig rabbit bear elephant frog owl duck fish snake turtle bee apple banana grapes lemon carrot "
    "corn pizza hamburger cookie cake car bus train airplane rocket bike ship helicopter truck house cactus rose "
    "sunflower mushroom umbrella key lock book guitar trumpet soccer football basketball crown ring shoe shirt "
    "scissors hammer bell candle camera heart star moon".split()
)
SHAPES: Final = ("circle", "square", "triangle", "diamond")
OBJECTS: Final = EMOJI + SHAPES
COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (200, 30, 30),
    "orange": (240, 140, 20),
    "yellow": (245, 220, 60),
    "green": (40, 150, 60),
    "blue": (40, 80, 200),
    "purple": (130, 50, 160),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
}
DIGITS: Final = tuple("0123456789")

WORDS: Final = (*SPECIAL, *FUNCTION_WORDS, *RELATIONS, *REGIONS, *OBJECTS, *COLOURS, *DIGITS)
WORD_ID: Final[dict[str, int]] = {word: index for index, word in enumerate(WORDS)}
PAD, BOS, EOS, IMAGE, UNKNOWN = range(len(SPECIAL))

PATCH_CLASSES: Final = ("background", "sign", *OBJECTS, *DIGITS)
PATCH_CLASS_ID: Final[dict[str, int]] = {name: index for index, name in enumerate(PATCH_CLASSES)}
COLOUR_NAMES: Final = tuple(COLOURS)


def encode(text: str) -> list[int]:
    """Return the token ids of space-separated words; raises ``KeyError`` on a word outside the vocabulary.

    >>> [WORDS[i] for i in encode("where is the dog")]
    ['where', 'is', 'the', 'dog']
    """
    return [WORD_ID[word] for word in text.split()]
