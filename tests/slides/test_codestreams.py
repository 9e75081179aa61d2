"""Heads of compressed images say what their encoders were given."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.slides.codestreams import claim_of

FAST = {"effort": 1, "numthreads": 1}
KINDS = {
    "jpeg8": {},
    "jpeg2k": {},
    "jpeg2k, a file": {"codecformat": "jp2"},
    "jpegxl": FAST,
    "jpegxl, lossless": {"lossless": True, **FAST},
    "jpegxl, a file": {"usecontainer": True, **FAST},
    "jpegxr": {},
    "webp": {},
    "webp, lossless": {"lossless": True},
    "png": {},
    "lerc": {},
}
# Sides of every form that JPEG XL has: multiples of 8, ratios, lengths of 9, 13 and 18 bits.
SIDES = st.one_of(st.integers(1, 700), st.sampled_from([8, 64, 256, 512, 513, 1024, 9000]))


@pytest.mark.parametrize("kind", KINDS)
@given(width=SIDES, height=SIDES)
@settings(max_examples=10)
def test_the_head_says_what_was_encoded(kind, width, height):
    width, height = min(width, max(1, 2**16 // height)), height
    if kind == "jpegxr" and min(width, height) < 16:
        return  # its encoder takes none so small
    encode = getattr(imagecodecs, f"{kind.partition(',')[0]}_encode")
    claim = claim_of(encode(np.zeros((height, width, 3), np.uint8), **KINDS[kind]))
    assert claim is not None
    assert claim[:2] == (width, height)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_is_cut_short_has_a_claim_or_none(kind):
    encode = getattr(imagecodecs, f"{kind.partition(',')[0]}_encode")
    whole = encode(np.zeros((32, 32, 3), np.uint8), **KINDS[kind])
    claims = [claim_of(whole[:length]) for length in range(min(len(whole), 400))]
    assert claims[0] is None
    assert {claim[:2] for claim in claims if claim} <= {(32, 32)}


@given(raw=st.binary(max_size=200), start=st.sampled_from(sorted(KINDS)), cut=st.integers(0, 60))
@settings(max_examples=50)
def test_any_bytes_have_a_claim_or_none(raw, start, cut):
    encode = getattr(imagecodecs, f"{start.partition(',')[0]}_encode")
    whole = encode(np.zeros((32, 32, 3), np.uint8), **KINDS[start])
    claim_of(bytes(whole[:cut]) + raw)
