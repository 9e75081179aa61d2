"""Named shapes in level-0 pixels, and the files that carry them."""
