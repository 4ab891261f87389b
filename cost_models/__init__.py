"""What a token flow costs on a device: device profiles, op latencies, whole-model predictions, calibration.

Nothing here imports torch when it is imported; only calibration and the yardstick run anything.
"""

from __future__ import annotations

from .calibration import calibrate, calibrate_with_report
from .correction import Measurement, correct
from .limits import Limit
from .model import CostModel, Prediction, StageCost
from .profile import DeviceProfile
from .profiles import device_names, load_profile
from .report import Fit
from .slots import Slots
from .table import Predictions, Table

__all__ = [
    "CostModel",
    "DeviceProfile",
    "Fit",
    "Limit",
    "Measurement",
    "Prediction",
    "Predictions",
    "Slots",
    "StageCost",
    "Table",
    "calibrate",
    "calibrate_with_report",
    "correct",
    "device_names",
    "load_profile",
]
