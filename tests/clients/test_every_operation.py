"""Every documented operation under made-up requests, good and bad: no 5xx, no undocumented status, no undocumented shape."""

import schemathesis
from hypothesis import HealthCheck, settings
from pages import KEY
from running import ROOT, Service
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# A few requests an operation, the same ones every time: more find nothing new per minute of everybody's time.
_EXAMPLES = 8

# Another test holds this file equal to what the service says of itself.
schema = schemathesis.openapi.from_path(ROOT / "docs" / "reference" / "openapi.json")


@schema.parametrize()
@settings(max_examples=_EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_the_service_keeps_its_word(case: schemathesis.Case, five_doors: Service) -> None:
    case.call_and_validate(base_url=five_doors.url, headers={"X-API-Key": KEY}, checks=_CHECKS, timeout=30)
