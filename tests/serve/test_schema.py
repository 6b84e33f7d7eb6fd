"""The routes are what /openapi.json says of them, whatever is sent: schemathesis draws the requests from it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from serve_backend import Echo

from serve.api import make_api

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

checks = pytest.importorskip("schemathesis.specs.openapi.checks")

pytestmark = pytest.mark.slow

schema = schemathesis.openapi.from_asgi("/openapi.json", make_api(Echo()))


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_reply_is_one_that_the_schema_names_and_none_is_a_failure(case) -> None:
    reply = case.call()
    assert reply.status_code < 500
    # The schema does not say all: that a question is not blank, or that a greedy program is only one.
    case.validate_response(reply, excluded_checks=[checks.positive_data_acceptance])
