"""Where a study is kept: in memory, in an SQLite file, or in a database that several machines share."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from ...common.errors import BadInput
from .workers import GRACE, requeue

if TYPE_CHECKING:
    import optuna

HEARTBEAT_S = 10
"""Seconds between two heartbeats of a running trial."""

_SECRETS = ("password=", "passfile=", "sslpassword=")
"""Parts of a URL's query that are nobody else's business."""


def storage_of(place: str | None) -> optuna.storages.BaseStorage | None:
    """Optuna's storage at `place`: the path of an SQLite file, or a URL such as `postgresql://host/name`.

    Args:
        place: None keeps the study in memory.

    Raises:
        BadInput: the place cannot be opened, or its database driver is not installed.
    """
    import optuna

    if place is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # heartbeats and their callback are experimental in Optuna
        try:
            return optuna.storages.RDBStorage(
                url_of(place),
                heartbeat_interval=HEARTBEAT_S,
                grace_period=GRACE * HEARTBEAT_S,
                heartbeat_stale_trial_callback=requeue,
            )
        except Exception as error:  # SQLAlchemy's many kinds, and missing drivers: all mean that it cannot be used
            raise BadInput(f"the study {shown(place)} cannot be opened: {_first_line(error)}") from error


def url_of(place: str) -> str:
    """The storage URL of a path or URL; PostgreSQL goes through psycopg 3 where that is installed.

    >>> url_of("study.db")
    'sqlite:///study.db'
    """
    if "://" not in place:
        return f"sqlite:///{place}"
    scheme, rest = place.split("://", 1)
    if scheme in ("postgres", "postgresql") and _installed("psycopg"):
        return f"postgresql+psycopg://{rest}"
    return place


def shown(place: str) -> str:
    """The place without its password, for messages and plans.

    >>> shown("postgresql://anna:secret@host/studies"), shown("study.db")
    ('postgresql://anna@host/studies', 'study.db')
    >>> shown("postgresql://host/studies?user=anna&password=secret")
    'postgresql://host/studies?user=anna'
    """
    if "://" not in place:
        return place
    scheme, rest = place.split("://", 1)
    user, at, host = rest.rpartition("@")
    address, _, query = host.partition("?")
    kept = "&".join(part for part in query.split("&") if not part.lower().startswith(_SECRETS))
    return f"{scheme}://{user.split(':', 1)[0]}{at}{address}{'?' if kept else ''}{kept}"


def _installed(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
