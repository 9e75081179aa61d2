"""Painted tissue with nuclei of two types that touch, and files that tell of them in any form."""

import json

import cv2
import numpy as np
from PIL import Image
from scipy.io import savemat

from tests.models.hovernet_for_tests import touching_ellipses

SIDE = 192
TYPES = ("epithelial", "lymphocyte")
PINK, COLOURS = (228, 190, 210), np.array([(0, 0, 0), (150, 60, 110), (60, 70, 150)])


def paint_nuclei(seed, side=SIDE):
    """RGB (side, side, 3), nuclei (side, side) numbered from 1, and the type of each, (k + 1,)."""
    random = np.random.default_rng(seed)
    instances = touching_ellipses(seed, side, radius=(6, 11), crowd=0.5)
    kinds = random.integers(1, 3, instances.max() + 1)
    kinds[0] = 0
    rgb = np.full((side, side, 3), PINK, float)
    rgb += cv2.GaussianBlur(random.normal(0, 40, rgb.shape), (0, 0), 4)
    rgb[instances > 0] = COLOURS[kinds[instances]][instances > 0]
    shades = random.uniform(0.8, 1.2, len(kinds))
    rgb = rgb * np.where(instances > 0, shades[instances], 1)[..., None]
    rgb = cv2.GaussianBlur(rgb, (0, 0), 0.8) + random.normal(0, 5, rgb.shape)
    return np.clip(rgb, 0, 255).astype(np.uint8), instances, kinds


def outlines(instances, number):
    """The rings of a nucleus along its pixels' edges, as GeoJSON has them."""
    # Enlarged eightfold the outline of the pixels' middles is that of their edges but for an eighth.
    large = np.kron((instances == number).astype(np.uint8), np.ones((8, 8), np.uint8))
    found, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    (ring,) = found
    points = ((ring[:, 0] + 0.5) / 8).tolist()
    return [[*points, points[0]]]


def write_polygons(path, instances, kinds, names):
    """Write GeoJSON: a polygon for each nucleus, in the layer `names[kind]`."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": outlines(instances, number)},
            "properties": {"classification": {"name": names[kinds[number]]}},
        }
        for number in range(1, len(kinds))
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def write_numbers(folder, stem, instances, kinds):
    """Write numbers of nuclei in 16 bits, and the picture of their types."""
    Image.fromarray(instances.astype(np.uint16)).save(folder / f"{stem}.instances.png")
    Image.fromarray(kinds[instances].astype(np.uint8)).save(folder / f"{stem}.types.png")


def write_mat(path, instances, kinds):
    """Write maps of numbers and of types, as CoNSeP has them."""
    savemat(path, {"inst_map": instances.astype(float), "type_map": kinds[instances].astype(float)})


def nuclei_in_all_forms(folder, count=2):
    """Fill a folder with `count` pictures of each form of file."""
    for number in range(count):
        for form, stem in enumerate((f"polygons{number}", f"numbers{number}", f"mat{number}")):
            rgb, instances, kinds = paint_nuclei(3 * number + form)
            Image.fromarray(rgb).save(folder / f"{stem}.png")
            if form == 0:
                write_polygons(folder / f"{stem}.geojson", instances, kinds, ("", *TYPES))
            elif form == 1:
                write_numbers(folder, stem, instances, kinds)
            else:
                write_mat(folder / f"{stem}.mat", instances, kinds)
    return folder
