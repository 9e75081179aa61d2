"""The plugin's settings."""

import re

from girder.exceptions import ValidationException
from girder.utility import setting_utilities

DEFAULT_IMAGE = "histomics-deeplab:latest"
DEFAULT_LEASE_MINUTES = 15
# A repository path, then a tag or a digest: what `docker run` takes, without surprises.
_IMAGE_NAME = re.compile(
    r"[a-z0-9][a-z0-9._:/-]{0,254}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|@sha256:[0-9a-f]{64})"
)


class SettingKey:
    """Keys in Girder's table of settings."""

    IMAGES = "deeplab.images"
    LEASE_MINUTES = "deeplab.lease_minutes"


@setting_utilities.default(SettingKey.IMAGES)
def _default_images() -> list[str]:
    return [DEFAULT_IMAGE]


@setting_utilities.validator(SettingKey.IMAGES)
def _check_images(setting: dict) -> None:
    names = setting["value"]
    if not isinstance(names, list):
        raise ValidationException(
            f"{SettingKey.IMAGES} must be a list of Docker image names.", "value"
        )
    for name in names:
        if not isinstance(name, str) or not _IMAGE_NAME.fullmatch(name):
            raise ValidationException(
                f"{name!r} is not the name of a Docker image with its tag or digest, "
                f"such as {DEFAULT_IMAGE}.",
                "value",
            )
    if len(set(names)) != len(names):
        raise ValidationException(f"{SettingKey.IMAGES} names an image twice.", "value")


@setting_utilities.default(SettingKey.LEASE_MINUTES)
def _default_minutes() -> float:
    return DEFAULT_LEASE_MINUTES


@setting_utilities.validator(SettingKey.LEASE_MINUTES)
def _check_minutes(setting: dict) -> None:
    minutes = setting["value"]
    if isinstance(minutes, bool) or not isinstance(minutes, (int, float)) or not minutes > 0:
        raise ValidationException(f"{SettingKey.LEASE_MINUTES} must be more than 0.", "value")
