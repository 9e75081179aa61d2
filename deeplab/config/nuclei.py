"""Conventions by which nuclei become HoVer-Net's maps and these become nuclei again."""

from __future__ import annotations

from typing import Literal

# "original": as the public code (github.com/vqdang/hover_net) computes, with its quirks, for
# weights that were trained with it. "local": what is said of a nucleus depends on its surroundings
# only, never on the tile, and the zero of its hv map lies on its centroid.
Convention = Literal["local", "original"]

# Derivatives that the loss of the hv maps compares: of the horizontal map along the horizontal, as
# the paper says, or of each map along the other axis, as the public code computes.
Gradients = Literal["same_axis", "cross_axis"]
