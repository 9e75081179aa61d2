"""Where things are: frames, boxes, microns per pixel, tile grids. Numbers only."""
