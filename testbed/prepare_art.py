"""Build the art of the scenes (sprite atlases, digit glyphs, backgrounds) from public packages.

Run once by a maintainer; its outputs in ``testbed/assets`` are committed and are all that the scenes read:

    npm pack emoji-datasource-google@16.0.0 && npm pack emoji-datasource-twitter@16.0.0     # unpack each
    pip download --no-deps scikit-learn==1.7.2                                              # unzip it
    python -m foveate.testbed.prepare_art --noto GOOGLE --twemoji TWITTER --sklearn SKLEARN
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .art import ATLAS_COLUMNS, FONT_NAMES, GLYPH_SIZE, PHOTOGRAPHS, SPRITE_SIZE
from .vocabulary import DIGITS, EMOJI

ART = Path(__file__).parent / "assets"


def sprite_atlas(package: Path, vendor: str) -> Image.Image:
    """Paste one 64 px picture per word of ``EMOJI`` into a grid of 8 columns, RGBA."""
    records = {name: item for item in json.loads((package / "emoji.json").read_text()) for name in item["short_names"]}
    rows = -(-len(EMOJI) // ATLAS_COLUMNS)
    atlas = Image.new("RGBA", (ATLAS_COLUMNS * SPRITE_SIZE, rows * SPRITE_SIZE))
    for index, word in enumerate(EMOJI):
        sprite = Image.open(package / "img" / vendor / "64" / records[word]["image"]).convert("RGBA")
        place = (index % ATLAS_COLUMNS * SPRITE_SIZE, index // ATLAS_COLUMNS * SPRITE_SIZE)
        atlas.paste(sprite.resize((SPRITE_SIZE, SPRITE_SIZE)), place)
    return atlas


def glyph_atlas(fonts: Path) -> tuple[Image.Image, dict[str, list[int]]]:
    """Draw the digits of every font, one font a row; return the atlas and the advance widths in pixels."""
    width, height = GLYPH_SIZE
    atlas = Image.new("L", (width * len(DIGITS), height * len(FONT_NAMES)))
    draw = ImageDraw.Draw(atlas)
    advances: dict[str, list[int]] = {}
    for row, name in enumerate(FONT_NAMES):
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont
        font = ImageFont.load_default(56) if name == "Aileron" else ImageFont.truetype(fonts / f"{name}.ttf", 56)
        advances[name] = [min(width, round(font.getlength(digit))) for digit in DIGITS]
        for column, digit in enumerate(DIGITS):
            draw.text((column * width, row * height + height / 2), digit, font=font, fill=255, anchor="lm")
    return atlas, advances


def photograph(path: Path, *, short_side: int = 300) -> Image.Image:
    """Read a photograph as RGB with its short side reduced to ``short_side`` pixels."""
    picture = Image.open(path).convert("RGB")
    scale = short_side / min(picture.size)
    if scale >= 1:
        return picture
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write every file of ``testbed/assets`` apart from its table of licences."""
    import skimage

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noto", type=Path, required=True, help="unpacked emoji-datasource-google")
    parser.add_argument("--twemoji", type=Path, required=True, help="unpacked emoji-datasource-twitter")
    parser.add_argument("--sklearn", type=Path, required=True, help="folder with china.jpg and flower.jpg")
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts/truetype/dejavu"))
    options = parser.parse_args(arguments)
    sprite_atlas(options.noto, "google").save(ART / "noto.png", optimize=True)
    sprite_atlas(options.twemoji, "twitter").save(ART / "twemoji.png", optimize=True)
    atlas, advances = glyph_atlas(options.fonts)
    atlas.save(ART / "digits.png", optimize=True)
    (ART / "digits.json").write_text(json.dumps(advances, indent=1) + "\n")
    sources = (Path(skimage.__file__).parent / "data", options.sklearn)
    for stem in (stem for stems in PHOTOGRAPHS.values() for stem in stems):
        (path,) = (found for folder in sources for found in sorted(folder.glob(f"{stem}.*")))
        photograph(path).save(ART / f"{stem}.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    main()
