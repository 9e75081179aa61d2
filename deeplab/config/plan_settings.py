"""What a training is asked to plan by itself, and which settings that can be."""

from __future__ import annotations

from dataclasses import dataclass

from deeplab.config.checks import Checked, check_at_least
from deeplab.errors import ConfigError

# In the order in which they are chosen: each depends on those before it.
PLANNED = (
    "network",
    "backbone",
    "work_mpp",
    "patch_size",
    "batch_size",
    "steps",
    "slow_start_step",
    "validate_every",
    "class_weights",
)


@dataclass(frozen=True, kw_only=True)
class PlanSettings(Checked):
    """What is planned, and what is not.

    Attributes:
        hours: that the training may take: um per pixel, network, patches, steps and class weights
            are then chosen by what is drawn and by the machine, but for those that differ from
            their defaults; 0: settings are as they stand.
        fixed: settings that such a plan leaves as they are although they have their defaults.
    """

    hours: float = 0.0
    fixed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("hours", self.hours, 0)
        for name in self.fixed:
            if name not in PLANNED:
                raise ConfigError("fixed", name, f"some of {', '.join(PLANNED)}")

    def plans(self, name: str) -> bool:
        """Tell whether a setting is still to be chosen by a plan."""
        return self.hours > 0 and name in PLANNED and name not in self.fixed
