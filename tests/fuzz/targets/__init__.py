"""The parsers that damaged files are put through."""

from tests.fuzz.targets.annotations import TARGETS as ANNOTATIONS
from tests.fuzz.targets.bundle import TARGET as BUNDLE
from tests.fuzz.targets.containers import TARGET as CONTAINERS
from tests.fuzz.targets.geojson import TARGET as GEOJSON
from tests.fuzz.targets.keras_weights import TARGET as KERAS_WEIGHTS
from tests.fuzz.targets.object_checkpoint import TARGET as OBJECT_CHECKPOINT
from tests.fuzz.targets.server_replies import TARGET as SERVER_REPLIES
from tests.fuzz.targets.slides import TARGET as SLIDES
from tests.fuzz.targets.tables import TARGET as TABLES
from tests.fuzz.targets.tf1 import CHECKPOINT as TF1_CHECKPOINT
from tests.fuzz.targets.tf1 import GRAPH as FROZEN_GRAPH
from tests.fuzz.targets.toml import TARGET as TOML
from tests.fuzz.targets.torch_file import TARGET as TORCH_FILE
from tests.fuzz.targets.training_checkpoint import ON_SERVER as SERVER_CHECKPOINT
from tests.fuzz.targets.training_checkpoint import TARGET as TRAINING_CHECKPOINT

TARGETS = (
    GEOJSON,
    *ANNOTATIONS,
    SERVER_REPLIES,
    SLIDES,
    CONTAINERS,
    BUNDLE,
    TRAINING_CHECKPOINT,
    SERVER_CHECKPOINT,
    TF1_CHECKPOINT,
    FROZEN_GRAPH,
    OBJECT_CHECKPOINT,
    KERAS_WEIGHTS,
    TORCH_FILE,
    TOML,
    TABLES,
)
