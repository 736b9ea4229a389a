"""The door to the datasets on disk: exports/<export_id>/."""

from __future__ import annotations

from itertools import islice

from pydantic import ValidationError

from persona_dashboard.dataset_shapes import DatasetManifest, DatasetRow
from persona_dashboard.folder import Folder, Reading

SAMPLE_LINES = 40


class ExportStore(Folder):
    """Reads manifests and sample rows."""

    def manifests(self) -> dict[str, Reading[DatasetManifest]]:
        """Every dataset on disk by its id."""
        return {export_id: self.manifest(export_id) for export_id in self.ids("manifest.json")}

    def manifest(self, export_id: str) -> Reading[DatasetManifest]:
        """One manifest; raises `NoSuchEntry` for an id that cannot be one."""
        return self.read(export_id, "manifest.json", DatasetManifest)

    def sample(self, export_id: str, split: str, count: int) -> list[DatasetRow] | None:
        """The first rows of a split, or None when the file is not on disk."""
        try:
            with self.file(export_id, f"{split}.jsonl").open(encoding="utf-8", errors="replace") as lines:
                return parse_rows(list(islice(lines, SAMPLE_LINES)), count)
        except OSError:
            return None


def parse_rows(lines: list[str], count: int) -> list[DatasetRow]:
    """Up to `count` rows out of JSON lines, leaving out damaged ones."""
    rows: list[DatasetRow] = []
    for line in lines:
        try:
            rows.append(DatasetRow.model_validate_json(line))
        except ValidationError:
            continue
    return rows[:count]
