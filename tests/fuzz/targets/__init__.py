"""The parsers that damaged files are put through."""

from tests.fuzz.targets.geojson import TARGET as GEOJSON
from tests.fuzz.targets.server_replies import TARGET as SERVER_REPLIES
from tests.fuzz.targets.slides import TARGET as SLIDES

TARGETS = (GEOJSON, SERVER_REPLIES, SLIDES)
