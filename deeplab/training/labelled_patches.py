"""Patches of which the classes are known, and those of which every pixel is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deeplab.config.classes import ClassList
from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.errors import SourceError
from deeplab.exchange.beside import split_name
from deeplab.exchange.image_sources import images_in
from deeplab.exchange.labelled_images import LabelledImage, labelled_images
from deeplab.exchange.samples import files_in
from deeplab.files import file_digest
from deeplab.slides.scale import check_upsampling
from deeplab.slides.slide import measure_extent

TRAIN, VAL, TEST = "train", "val", "test"  # folders of the published layout
IMAGES, MASKS = "img", "mask"  # in the last two


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPatches:
    """What a training from labels of patches learns from and is judged on.

    Attributes:
        source: of the patches to learn from, as it was given or as it lies in the layout.
        images: these with their labels.
        classes: names.
        validation: folders of patches and of their true masks, by which the best model is chosen;
            None: there are none.
        test: likewise, of those that choose nothing.
        truth_folder: of masks of the patches to learn from; None: there are none.
    """

    source: str
    images: tuple[LabelledImage, ...]
    classes: tuple[str, ...]
    validation: tuple[str, Path] | None
    test: tuple[str, Path] | None
    truth_folder: Path | None

    @classmethod
    def of(cls, request: FromLabelsRequest) -> LabelledPatches:
        """Return the patches that a request names.

        Raises:
            SourceError: there is none, a label makes no sense, or a class is in none of them.
        """
        source, layout = _layout(request.source)
        images = labelled_images(
            source, labels=request.labels_of_patches, classes=request.classes, exclusive=False
        )
        return cls(
            source=source,
            images=tuple(images),
            classes=request.classes,
            validation=_pair(layout / VAL) if layout else None,
            test=_pair(layout / TEST) if layout else None,
            truth_folder=request.true_masks,
        )

    @property
    def class_list(self) -> ClassList:
        """The classes in colours of their own."""
        return ClassList.named(self.classes)

    @property
    def folder(self) -> Path:
        """The one that the patches lie in."""
        return self.images[0].path.parent

    @property
    def judged(self) -> tuple[str, Path] | None:
        """The patches with true masks by which the models are judged."""
        return self.test or self.validation

    @property
    def truth_files(self) -> list[Path]:
        """The true masks of the patches to learn from."""
        return files_in(self.truth_folder) if self.truth_folder else []

    @property
    def files(self) -> Iterator[Path]:
        """All that is read."""
        yield from (image.path for image in self.images)
        yield from self.validation_files
        yield from _files_of(self.test)
        yield from self.truth_files

    @property
    def validation_files(self) -> list[Path]:
        """The patches by which the best model is chosen, and their masks."""
        return _files_of(self.validation)

    @property
    def labels_digest(self) -> str:
        """What the patches are and which classes they have, as text."""
        rows = (f"{each.name} {each.labels} {file_digest(each.path)}" for each in self.images)
        return "\n".join([repr(self.classes), *rows])

    def check(self, request: FromLabelsRequest, *, cell: int) -> None:
        """Refuse patches that neither stage could learn from, and masks that are not of theirs.

        Args:
            request: of the training.
            cell: side of the coarsest cell of both networks, work pixels.

        Raises:
            SourceError: a class is in no patch, a patch is smaller than a cell, they lie in several
                folders, or a mask has another size than its patch.
            ScaleError: a patch is too coarse for the networks.
        """
        self._check_labels()
        for image in self.images:
            if image.path.parent != self.folder:
                raise SourceError(
                    f"{image.path} and {self.images[0].path} lie in two folders, and pseudo masks "
                    "are called after patches of one; put all into one folder, with a table"
                )
            _check_side(image, request, cell)
        for pair in (self.validation, self.test):
            if pair:
                _check_masks(images_in(Path(pair[0])), pair[1])
        if self.truth_folder:
            _check_masks([image.path for image in self.images], self.truth_folder)

    def _check_labels(self) -> None:
        had = {label for image in self.images for label in image.labels}
        for name in self.classes:
            if name not in had:
                known = ", ".join(sorted(had)) or "none"
                raise SourceError(
                    f"no patch of {self.source} has the class {name} (there are: {known}); leave "
                    "it away, or add patches that have it"
                )
        if unknown := sorted(had.difference(self.classes)):
            raise SourceError(
                f"patches of {self.source} have the label {unknown[0]}, which is none of "
                f"{', '.join(self.classes)}"
            )


def mask_beside(image: Path, masks: Path) -> Path:
    """Return the mask of a picture, which is called as it is, as PNG."""
    return masks / (split_name(image.name)[0] + ".png")


def _layout(source: str) -> tuple[str, Path | None]:
    """Return what names the patches to learn from, and the published layout that has them."""
    path = Path(source)
    if (path / TRAIN).is_dir():
        return str(path / TRAIN), path
    if path.is_file() and path.parent.name == TRAIN:  # a table among its patches
        return source, path.parent.parent
    return source, None


def _pair(folder: Path) -> tuple[str, Path] | None:
    images, masks = folder / IMAGES, folder / MASKS
    return (str(images), masks) if images.is_dir() and masks.is_dir() else None


def _files_of(pair: tuple[str, Path] | None) -> list[Path]:
    return [*images_in(Path(pair[0])), *files_in(pair[1])] if pair else []


def _check_side(image: LabelledImage, request: FromLabelsRequest, least: int) -> None:
    slide = measure_extent(image.path)
    mpp = image.mpp or request.slide_mpp or request.work_mpp
    check_upsampling(image.name, mpp, request.work_mpp)
    shrunk = mpp / request.work_mpp
    side = min(slide.width_level0, slide.height_level0) * shrunk
    if side < least:
        raise SourceError(
            f"{image.path} has {slide.width_level0} x {slide.height_level0} pixels, "
            f"{side:.0f} at {request.work_mpp:g} um: less than a cell of the networks, {least}; "
            "choose a finer work_mpp or larger patches"
        )


def _check_masks(images: Sequence[Path], masks: Path) -> None:
    for image in images:
        mask = mask_beside(image, masks)
        if not mask.is_file():
            raise SourceError(f"{image} has no mask {mask}")
        of_image, of_mask = measure_extent(image), measure_extent(mask)
        sizes = [(each.width_level0, each.height_level0) for each in (of_image, of_mask)]
        if sizes[0] != sizes[1]:
            (width, height), (mask_width, mask_height) = sizes
            raise SourceError(
                f"the mask {mask} has {mask_width} x {mask_height} pixels and its patch {width} x "
                f"{height}; it must be as large"
            )
