"""What a slide can need. What claims more is refused before any of it is decoded.

Little bytes can claim much: one deflated tile of 3 MB may hold 3 GB. So sizes are compared with
these before room is made for them. The largest slides known are whole mounts of prostate and brain,
some 75 mm by 50 mm: 750,000 x 500,000 pixels at 0.1 um.
"""

from __future__ import annotations

MAX_SIDE = 2**22  # pixels
MAX_PIXELS = 2**40  # of one image in a file; three of the whole mounts above
# Scanners write tiles of 240 to 4,096 pixels; the last have 48 MiB in RGB. A read holds nine.
MAX_TILE_BYTES = 2**26
MAX_PART_BYTES = 2**28  # of a chunk of a Zarr, or a file of several (shard)
# Ten levels of a hundred channels are a thousand; libtiff looks for each from the first.
MAX_DIRECTORIES = 4096
MAX_TAGS = 1024  # of a directory; Hamamatsu writes some 70
MAX_TAG_BYTES = 2**28  # of all directories: 16 bytes for each of 16 million tiles
# An image without tiles is decoded in one piece, in 4 bytes for a pixel: 1.5 GiB.
MAX_UNTILED_PIXELS = 3 * 2**27
MAX_STRIP_BYTES = 2**28  # of an image of special pixels, whose strips are decoded for each read
MAX_JPEG2000_PIXELS = 3 * 2**25  # of such a picture: its decoder takes four times as much
TILED_COPY = "copy it into tiles, for example: vips tiffsave IN OUT.tif --tile --pyramid"
