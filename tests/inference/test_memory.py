"""Tiles are as large as memory suffices for, which a small one tells."""

import numpy as np
import pytest

from deeplab.inference import memory
from deeplab.inference.memory import GB, IN_FLIGHT, ROOMY, Memory, resident_bytes

PARTS = (673, 497, 417)


@pytest.fixture
def held(monkeypatch):
    """A process of 300 MB, in which weights take 100 MB and tiles 400 bytes a pixel."""
    now = {"bytes": 300e6}
    monkeypatch.setattr(memory, "resident_bytes", lambda: now["bytes"])
    return now


@pytest.fixture
def compiled(held):
    """Gives predictors, and notes for which sides."""

    def compile_for(side):
        compile_for.sides.append(side)
        held["bytes"] += 100e6

        def predict(tiles):
            assert tiles.shape == (1, side, side, 3)
            held["bytes"] += 400 * side**2
            return {"np": np.zeros((1, side, side, 1), np.float32)}

        return predict

    compile_for.sides = []
    return compile_for


# 400 MB beside the tiles, of which each pixel takes 400 bytes, and 7 for each tile in flight.
@pytest.mark.parametrize(
    ("limit_gb", "side"),
    [(2.0, 1025), (0.97, 1025), (0.95, 673), (0.67, 673), (0.65, 497), (0.53, 417), (0.1, 417)],
)
def test_the_largest_that_fits_is_taken(compiled, caplog, limit_gb, side):
    assert IN_FLIGHT == 5
    assert Memory(limit_gb * GB, PARTS).largest_side(compiled, 1025, 3) == side
    assert compiled.sides == [417]
    assert (f"suffice for tiles of {side} pixels, not 1025" in caplog.text) == (side < 1025)


@pytest.mark.parametrize("given", [Memory(ROOMY, PARTS), Memory(GB, ())])
def test_nothing_is_tried_where_there_is_room_or_no_choice(compiled, given):
    assert given.largest_side(compiled, 1025, 3) == 1025
    assert not compiled.sides


def test_nothing_is_tried_where_the_system_does_not_say(compiled, held):
    held["bytes"] = 0
    assert Memory(GB, PARTS).largest_side(compiled, 1025, 3) == 1025
    assert not compiled.sides


def test_what_the_process_holds_grows_with_what_it_uses():
    before = resident_bytes()
    pages = np.ones(25_000_000)
    assert resident_bytes() - before > 0.9 * pages.nbytes
