"""Recording what a model does, operation by operation, without doing it: shapes run, numbers do not."""

from __future__ import annotations
