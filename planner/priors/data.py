"""Published results, each as a relative score: the compressed model's over the uncompressed one's of the same table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ...common.validation import validate
from ...common.yaml_lines import parse
from .schema import RowRecord, SourceRecord


@dataclass(frozen=True)
class PublishedResult:
    """One method at one ratio in one source.

    Attributes:
        source: name of the source. method: id in the catalogue (`Pass.catalog_id`). mechanism: how it decides.
        modality: what was compressed. keep: fraction of the tokens kept, averaged over the decoder's layers, as the
            tables of SparseVLM (arXiv:2410.04417, section 4) count them.
        relative: mean over the benchmarks of score / baseline score.
    """

    source: str
    method: str
    mechanism: str
    modality: str
    keep: float
    relative: float


@cache
def published_results() -> tuple[PublishedResult, ...]:
    """Every row of every file in `priors/`, by file name and then in the file's order.

    Example:
        >>> {result.modality for result in published_results()} == {"image", "video"}
        True
    """
    folder = files(__package__)
    entries = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda e: e.name)
    texts = ((entry.name, entry.read_text(encoding="utf-8")) for entry in entries)
    return tuple(result for name, text in texts for result in read_source(text, source=name))


def read_source(text: str, *, source: str) -> tuple[PublishedResult, ...]:
    """The rows that YAML `text` holds; `source` names it in errors.

    Raises:
        BadInput: malformed, with the line and how to mend it.
    """
    record = validate(SourceRecord, parse(text, source=source))
    return tuple(
        PublishedResult(
            record.source, row.method, row.mechanism, record.modality, row.kept / row.of, _relative(record, row)
        )
        for row in record.rows
    )


def _relative(record: SourceRecord, row: RowRecord) -> float:
    used = [name for name in row.scores if name not in record.left_out]
    return sum(row.scores[name] / record.baseline[name] for name in used) / len(used)
