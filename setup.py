"""The distribution `histomics-deeplab`: the engine `deeplab`, and the tasks as `deeplab_cli`."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "deeplab/__init__.py").read_text())[1]

setup(
    name="histomics-deeplab",
    version=VERSION,
    description="Whole-slide segmentation that pathologists train and run from HistomicsUI",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["deeplab", "deeplab.*"]),
        *(f"deeplab_cli{name and '.' + name}" for name in ["", *find_packages("cli")]),
        "deeplab_cli.specs",
    ],
    package_dir={"deeplab_cli": "cli", "deeplab_cli.specs": "slicer_cli_spec"},
    package_data={
        "deeplab": ["py.typed", "demonstration/*"],
        "deeplab_cli.specs": ["*.xml", "*.json"],
    },
    entry_points={"console_scripts": ["deeplab = deeplab_cli.entry:entry"]},
    # TensorFlow is an extra, so that a machine with a GPU does not get the CPU build as well.
    install_requires=[
        "girder-client>=5",  # 3 needs an old setuptools
        "girder-slicer-cli-web>=1.5",
        "google-crc32c>=1.6",
        "h5py>=3.11",
        "ijson>=3.3",
        "imagecodecs>=2024.6",
        "large-image>=1.35,<2",
        "large-image-source-openslide>=1.35,<2",
        "large-image-source-tiff>=1.35,<2",
        "large-image-source-tifffile>=1.35,<2",
        "lxml>=5",
        "markupsafe>=2.1",
        "matplotlib>=3.10",
        "numpy>=2",
        "opencv-python-headless>=4.10",
        "openpyxl>=3.1",
        "openslide-python>=1.3",
        "pillow>=11",
        "pylibtiff>=0.6",
        "requests>=2.32",
        "pydicom>=3",
        "rich>=13",
        "scikit-image>=0.24,<2",  # HistomicsTK uses names that 2 takes away
        "scipy>=1.15",
        "shapely>=2.1",
        "simplejpeg>=1.8",
        "zarr>=3",
        "tifffile>=2024.8",
        "urllib3>=2.2",
    ],
    extras_require={
        "cpu": ["tensorflow-cpu==2.21.*", "openvino>=2026.4"],
        "gpu": ["tensorflow[and-cuda]==2.21.*"],
        "ray": ["ray>=2.40"],
        "onnx": ["onnx>=1.19", "tf2onnx>=1.17"],
        "test": [
            "hypothesis>=6.100",
            "import-linter==2.16",
            "jsonschema>=4.23",
            "mypy==2.4.1",
            "onnx>=1.19",
            "onnxruntime>=1.23",
            "pandas>=2.2",
            "playwright>=1.50",
            "pytest>=8.3",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "ray>=2.40",
            "ruff==0.17.5",
            "scikit-learn>=1.5",
            "tf2onnx>=1.17",
            "types-openpyxl>=3.1",
            "typos==1.52.0",
        ],
        # What exported state dicts are loaded into; without it that test is skipped.
        "test-torch": ["segmentation-models-pytorch>=0.5", "torch>=2.4"],
    },
)
