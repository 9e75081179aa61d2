"""The parsers that damaged files are put through."""

from tests.fuzz.targets.geojson import TARGET as GEOJSON
from tests.fuzz.targets.slides import TARGET as SLIDES

TARGETS = (GEOJSON, SLIDES)
