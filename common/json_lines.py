"""JSON Lines at the file boundary: a line that does not fit becomes one sentence with file, line, field and mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from .errors import BadInput
from .names import unknown

Model = TypeVar("Model", bound=BaseModel)


def parsed_line(model: type[Model], text: str, *, source: Path, number: int, mend: str) -> Model:
    """Line `number` of the file `source` as an instance of `model`.

    Args:
        mend: what a right line looks like, for the sentence about a wrong one.

    Raises:
        BadInput: it is no JSON object, or does not fit the model; the sentence names the line.

    Example:
        >>> class Point(BaseModel):
        ...     x: float
        >>> parsed_line(Point, '{"x": 1}', source=Path("a.jsonl"), number=1, mend='write {"x": ...}').x
        1.0
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput.at(source, number, f"this is not JSON ({error.msg} at column {error.colno})", mend) from error
    if not isinstance(data, dict):
        raise BadInput.at(source, number, f"an object is expected, not {data!r:.60}", mend)
    for key in data:
        if key not in model.model_fields:
            raise BadInput.at(source, number, str(unknown("key", key, model.model_fields)))
    try:
        return model.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise BadInput.at(source, number, f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}", mend) from error
