"""OpenVINO without its telemetry: its import would tell Google Analytics of every start and keep an id in the user's home.

Nobody is asked before. Whoever needs OpenVINO imports it from here.
"""

import sys

# None in its place: it counts as not installed, and OpenVINO takes a stub of its own.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402
from openvino import opset15 as ops  # noqa: E402

__all__ = ["openvino", "ops"]
