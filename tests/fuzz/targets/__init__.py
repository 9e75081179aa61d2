"""The parsers that damaged files are put through."""

from tests.fuzz.targets.geojson import TARGET as GEOJSON

TARGETS = (GEOJSON,)
