"""The golden version: one adapter that a person liked, pinned by the hash of its weights.

Every week is compared with the week before, and a little loss each time is no loss any time. Against a version that stays
where it is, it adds up and shows. `lora_adapters/golden.json` keeps the pin and every pin before it, with its reason.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from persona_training.adapters import adapter_chain, finished_adapter, write_json
from persona_training.errors import AdapterError

FILE_NAME = "golden.json"
SCHEMA = "casiopy/golden-v1"


@dataclass(frozen=True)
class Pin:
    """One adapter, its weights, why and since when (UTC)."""

    adapter_id: str
    weights_sha256: str
    reason: str
    at: str


def pins(adapters_dir: Path) -> list[Pin]:
    """Every pin there was, oldest first; the last one holds.

    Raises:
        AdapterError: the file is damaged.
    """
    path = adapters_dir / FILE_NAME
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is {content['schema']}")
        return [Pin(**{key: str(pin[key]) for key in Pin.__dataclass_fields__}) for pin in content["pins"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(
            f"{path} is damaged ({error}). Restore it from a backup, or delete it and pin the golden version again with "
            "`casiopy pin ADAPTER --reason TEXT`."
        ) from error


def pin_golden(adapters_dir: Path, folder: Path, reason: str, now: datetime | None = None) -> Pin:
    """Pin an adapter as it is now.

    Args:
        adapters_dir: the adapter must lie in it, where later gates look for it.
        folder: of the adapter; it and the layers below it must be finished and unchanged.
        reason: why this one, kept with the pin.
        now: for tests.

    Raises:
        AdapterError: it cannot be used, lies elsewhere, or no reason is given.
    """
    if not reason.strip():
        raise AdapterError("A pin needs a reason: --reason TEXT. It is kept with the pin.")
    adapter_chain(folder)
    manifest = finished_adapter(folder)
    home = adapters_dir / str(manifest["adapter_id"])
    if not home.is_dir() or not home.samefile(folder):
        raise AdapterError(f"{folder} does not lie in {adapters_dir}, where later gates look. Move it there first.")
    moment = now or datetime.now(UTC)
    pin = Pin(home.name, str(manifest["weights"]["sha256"]), reason.strip(), f"{moment:%Y-%m-%dT%H:%M:%SZ}")
    every = [*pins(adapters_dir), pin]
    write_json(adapters_dir / FILE_NAME, {"schema": SCHEMA, "pins": [asdict(one) for one in every]})
    return pin


def golden_folder(adapters_dir: Path) -> tuple[Path | None, str]:
    """The pinned adapter's folder and a sentence on it; None when nothing is pinned.

    Raises:
        AdapterError: the pinned adapter is gone, or its weights are others than those pinned.
    """
    every = pins(adapters_dir)
    if not every:
        return None, "nothing is pinned (`casiopy pin ADAPTER --reason TEXT` pins a version to stay close to)"
    pin = every[-1]
    folder = adapters_dir / pin.adapter_id
    how = "pin another with `casiopy pin`, or leave it out with --golden none"
    if not (folder / "manifest.json").is_file():
        raise AdapterError(f"The golden version {pin.adapter_id} is not in {adapters_dir}. Restore it, {how}.")
    if finished_adapter(folder)["weights"]["sha256"] != pin.weights_sha256:
        raise AdapterError(
            f"The weights of the golden version {pin.adapter_id} are not those pinned. Restore it, {how}."
        )
    return folder, f"pinned {pin.at[:10]}: {pin.reason}"
