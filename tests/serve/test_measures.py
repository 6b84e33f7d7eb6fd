"""What the service counts and logs is on one page, and in one line per request."""

from __future__ import annotations

import json
from pathlib import Path

from serve.gate import Visit
from serve.measures import AccessLog, merged

NODE = """# HELP ray_pad_ray_requests_total Requests.
# TYPE ray_pad_ray_requests_total counter
ray_pad_ray_requests_total{node="%s"} 3.0
# HELP ray_node_cpu Something of Ray's own.
# TYPE ray_node_cpu gauge
ray_node_cpu 1.0
# HELP ray_pad_ray_request_seconds Time.
# TYPE ray_pad_ray_request_seconds histogram
ray_pad_ray_request_seconds_bucket{le="0.1"} 3.0
ray_pad_ray_request_seconds_sum 0.2
"""


def test_the_measures_of_several_nodes_have_one_header_and_all_samples() -> None:
    page = merged([NODE % "a", NODE % "b"])
    lines = page.splitlines()
    assert lines[:4] == [
        "# HELP ray_pad_ray_requests_total Requests.",
        "# TYPE ray_pad_ray_requests_total counter",
        'ray_pad_ray_requests_total{node="a"} 3.0',
        'ray_pad_ray_requests_total{node="b"} 3.0',
    ]
    assert page.count("ray_pad_ray_request_seconds_sum 0.2") == 2 and page.count("# TYPE") == 2


def test_what_is_not_about_the_service_is_left_out() -> None:
    assert "ray_node_cpu" not in merged([NODE])
    assert merged([]) == merged(["garbage"]) == ""


def test_prometheus_reads_the_page() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    families = {family.name: family for family in text_string_to_metric_families(merged([NODE % "a"]))}
    assert [sample.value for sample in families["ray_pad_ray_requests"].samples] == [3.0]


def test_the_access_log_has_one_json_object_a_line_whatever_a_client_sends(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.jsonl"))
    for path in ("/v1/solve", '/"}\n{"status": 200, "path": "/\u2028', "/\ud800"):
        log.write(Visit("2026-01-01T00:00:00.000+00:00", "POST", path, "", 404, 0.01, {"tokens": 9}))
    lines = (tmp_path / "access.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert len(entries) == 3
    fields = {"time", "method", "path", "route", "status", "seconds", "tokens"}
    assert all(set(entry) == fields and entry["status"] == 404 for entry in entries)
