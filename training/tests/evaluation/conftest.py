"""The shipped battery, and voices built from hand-written lists whose verdict is known beforehand."""

from __future__ import annotations

import pytest
from persona_training.evaluation.battery import Battery, load_battery


@pytest.fixture(scope="session")
def battery() -> Battery:
    return load_battery()
