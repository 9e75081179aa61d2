"""Which part of a long list is told; Girder hands what people ask for to the database as it is."""

from __future__ import annotations

import re

from girder.exceptions import ValidationException

MOST = 2**31 - 1
FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+){0,5}")


def check_page(limit: int, offset: int, sort: list) -> None:
    """Raise ValidationException unless the database can find this part of a list."""
    for name, value in (("limit", limit), ("offset", offset)):
        if not 0 <= value <= MOST:
            raise ValidationException(f"{name} must be from 0 to {MOST}, but is {value}.", name)
    for field, direction in sort or []:
        if len(field) > 100 or not FIELD.fullmatch(field):
            raise ValidationException(f"sort must be the name of a field, but is {field}.", "sort")
        if direction not in (1, -1):
            raise ValidationException(f"sortdir must be 1 or -1, but is {direction}.", "sortdir")
