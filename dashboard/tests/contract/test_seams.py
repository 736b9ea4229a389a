"""Both seams: the example files are valid by the published schemas, and the dashboard shows whatever those allow."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from flask.testing import FlaskClient
from house import settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from persona_dashboard import create_app
from persona_dashboard.adapter_shapes import AdapterManifest, Metric, RunHeartbeat
from persona_dashboard.dataset_shapes import DatasetManifest
from persona_dashboard.report_shapes import GateReport
from persona_dashboard.service_shapes import Shape
from places import DATASET, RUNNING, TRAINED
from seam_files import write_everything

ROOT = Path(__file__).parents[3]
SEAMS = [
    ("exports/schema/dataset-v1.schema.json", DatasetManifest, f"exports/{DATASET}/manifest.json"),
    ("lora_adapters/schema/adapter-v1.schema.json", AdapterManifest, f"lora/{TRAINED}/manifest.json"),
    ("lora_adapters/schema/adapter-v1.schema.json", AdapterManifest, f"lora/{RUNNING}/manifest.json"),
    ("lora_adapters/schema/report-v1.schema.json", GateReport, f"lora/{TRAINED}/summary.json"),
    ("lora_adapters/schema/run-v1.schema.json", RunHeartbeat, f"lora/{RUNNING}/run.json"),
    ("lora_adapters/schema/metrics-v1.schema.json", Metric, f"lora/{RUNNING}/metrics.jsonl"),
]


@pytest.mark.parametrize(("schema", "shape", "example"), SEAMS)
def test_examples_are_valid_and_read(tmp_path: Path, schema: str, shape: type[Shape], example: str) -> None:
    write_everything(tmp_path / "exports", tmp_path / "lora")
    rules = json.loads((ROOT / schema).read_text(encoding="utf-8"))
    text = (tmp_path / example).read_text(encoding="utf-8")
    documents = text.splitlines() if example.endswith(".jsonl") else [text]
    for document in documents:
        jsonschema.validate(json.loads(document), rules)
        shape.model_validate_json(document)


@pytest.mark.parametrize(("schema", "shape", "_example"), SEAMS)
def test_what_the_dashboard_needs_the_schema_promises(schema: str, shape: type[Shape], _example: str) -> None:
    promised = set(json.loads((ROOT / schema).read_text(encoding="utf-8"))["required"])
    needed = {name for name, field in shape.model_fields.items() if field.is_required()}
    assert needed - promised == set()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FlaskClient]:
    """Example files and a dashboard over them; making one per example would take most of the time."""
    folder = tmp_path_factory.mktemp("seams")
    write_everything(folder / "exports", folder / "lora")
    return folder, create_app(settings(folder / "exports", folder / "lora")).test_client()


@given(data=st.data())
@hypothesis_settings(max_examples=60, deadline=None)
def test_no_file_content_takes_a_page_down(filled: tuple[Path, FlaskClient], data: st.DataObject) -> None:
    folder, client = filled
    target = data.draw(st.sampled_from([folder / example for _, _, example in SEAMS]))
    kept = target.read_text(encoding="utf-8")
    document = json.loads(kept.splitlines()[0] if target.suffix == ".jsonl" else kept)
    document[data.draw(st.sampled_from(sorted(document)))] = data.draw(json_values)
    try:
        target.write_text(json.dumps(document) + "\n", encoding="utf-8")
        addresses = ("/", "/exports", f"/exports/{DATASET}", "/runs", f"/runs/{RUNNING}", f"/runs/{TRAINED}", "/gate")
        for address in (*addresses, f"/gate/{TRAINED}", "/adapters", f"/adapters/{TRAINED}"):
            assert client.get(address).status_code == 200, address
    finally:
        target.write_text(kept, encoding="utf-8")
