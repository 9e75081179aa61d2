"""Patients of CAMELYON17's slides by their names, and sides by the hospitals they come from."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from deeplab.config.train_request import CENTRES
from deeplab.errors import SourceError, TrainingError
from deeplab.exchange.samples import Found, LeftOut, Sample

PATIENTS = 20  # of each centre, in the part to learn from and in the part to be tested on
_PATIENT = re.compile(r"(?<![a-z])patient_(\d+)(?!\d)", re.IGNORECASE)


def patient_of(name: str) -> int | None:
    """Return the number of the patient in the name of a slide; None: there is none."""
    found = _PATIENT.search(name)
    return int(found[1]) if found else None


def centre_of(patient: int) -> int:
    """Return the centre, 0 to 4, of a patient: 20 each, from patient 0 and again from 100 on."""
    return patient % (CENTRES * PATIENTS) // PATIENTS


def with_patients(found: Found) -> Found:
    """Return samples of which no patient is known with the one that their names say, if any.

    So the nodes of a patient stay together whatever splits them.
    """
    return replace(found, samples=[_with_patient(sample) for sample in found.samples])


def _with_patient(sample: Sample) -> Sample:
    number = patient_of(sample.name)
    if sample.patient or number is None:
        return sample
    return replace(sample, patient=f"patient_{number:03}")


def split_by_centre(found: Found, train: Collection[int], validation: Collection[int]) -> Found:
    """Return the samples of the centres asked for, each with its side.

    Where no centre is named for a side, samples of all the others go by the shares of the split,
    or to learn from where validation has its centres.

    Raises:
        SourceError: the name of a slide says no patient.
        TrainingError: a side that has centres has no slide.
    """
    split = Found(left_out=list(found.left_out))
    for sample in found.samples:
        number = patient_of(sample.name)
        if number is None:
            raise SourceError(
                f"{sample.name} does not say its patient, as patient_017_node_4.tif does; leave"
                " train_centers and val_centers away, or call slides so"
            )
        centre = centre_of(number)
        if train and centre not in {*train, *validation}:
            split.left_out.append(LeftOut(sample.name, f"is of centre {centre}", {}, sample.files))
            continue
        split.samples.append(_placed(sample, centre, validation))
    for name, centres in (("train_centers", train), ("val_centers", validation)):
        side = "train" if name == "train_centers" else "validation"
        if centres and not any(sample.split in ("", side) for sample in split.samples):
            raise TrainingError(
                f"{name} {' '.join(map(str, sorted(centres)))} leaves no slide to"
                f" {'learn from' if side == 'train' else 'validate on'}; there are slides of centre"
                f" {_there(found)}"
            )
    if validation and not any(sample.split == "train" for sample in split.samples):
        raise TrainingError(
            f"val_centers {' '.join(map(str, sorted(validation)))} leaves no slide to learn from;"
            f" there are slides of centre {_there(found)}"
        )
    return split


def _placed(sample: Sample, centre: int, validation: Collection[int]) -> Sample:
    if not validation:
        return sample  # the fraction decides
    return replace(sample, split="validation" if centre in validation else "train")


def _there(found: Found) -> str:
    numbers = (patient_of(sample.name) for sample in found.samples)
    return ", ".join(map(str, sorted({centre_of(n) for n in numbers if n is not None})))
