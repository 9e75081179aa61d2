"""Names of the maps that networks and predictors give."""

from __future__ import annotations

from typing import Final, Literal

# What a network gives: float32 (n, h/s, w/s, classes), before softmax and upsampling.
SEMANTIC_LOGITS: Final = "semantic_logits"

# What a network gives of whole patches: float32 (n, classes), before softmax or sigmoid; and what
# beside its target says whether a patch counts, float32 (n,).
CLASSES: Final = "classes"
KNOWN: Final = "known"

# What a predictor gives for a tile; h/s is that of the logits.
LABELS: Final = "labels"  # uint8 (n, tile, tile)
CONFIDENCE: Final = "confidence"  # float32 (n, h/s, w/s): probability of the likeliest class
PROBABILITIES: Final = "probabilities"  # float32 (n, h/s, w/s, classes)
LOGITS: Final = "logits"  # float32 (n, h/s, w/s, classes): what probabilities are made of

PredictedMap = Literal["labels", "confidence", "probabilities", "logits"]
