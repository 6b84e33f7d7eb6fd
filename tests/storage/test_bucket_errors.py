"""What goes wrong with a bucket is one sentence: which object, what the server said, what to do."""

from __future__ import annotations

import pytest

from pad_ray.errors import StorageError
from pad_ray.recipe import Recipe
from pad_ray.run import open_run
from pad_ray.status import status
from pad_ray.storage import Storage
from pad_ray.storage.place import client, place_of
from tests.storage.faulty_proxy import FaultyProxy

RECIPE = Recipe.model_validate({"name": "t", "problems": {"train": "a"}, "student": {"model": "m"}})


def test_a_bucket_that_is_not_there_is_named_before_anything_is_done(s3_server: str, machine: object) -> None:
    uri = f"s3://nobody-made-it/run?endpoint={s3_server}"
    with pytest.raises(StorageError, match=r"no bucket 'nobody-made-it' at http://127"), open_run(RECIPE, uri):
        pass
    with pytest.raises(StorageError, match=r"no bucket 'nobody-made-it'"):
        status(uri)


def test_a_server_that_is_not_there_is_named(machine: object) -> None:
    with pytest.raises(StorageError, match=r"nobody answers at http://127\.0\.0\.1:9") as caught:
        Storage("s3://b/run?endpoint=http://127.0.0.1:9").check()
    assert "s3_endpoint" in caught.value.hint


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_refused_credentials_are_told_with_what_they_need(proxied: Storage, proxy: FaultyProxy, code: str) -> None:
    proxy.answer = (403, code, "No.")
    for refused in (proxied.check, lambda: proxied.read("x"), lambda: proxied.create("x", b"")):
        with pytest.raises(StorageError, match=rf"s3://.*refuses these credentials \({code}, No\)") as caught:
            refused()
        assert "AWS_ACCESS_KEY_ID" in caught.value.hint


def test_absent_credentials_are_told(s3_server: str, machine: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    client.cache_clear()
    with pytest.raises(StorageError, match="there are no credentials for S3"):
        Storage(f"s3://b/run?endpoint={s3_server}").check()
    client.cache_clear()


def test_a_server_that_stays_busy_is_quoted(proxied: Storage, proxy: FaultyProxy) -> None:
    proxy.answer = (503, "SlowDown", "Please reduce your request rate.")
    with pytest.raises(StorageError, match=r"said SlowDown, Please reduce your request rate after 3 attempts"):
        proxied.check()


def test_a_uri_that_is_no_place_is_refused() -> None:
    for uri in ("s3://", "s3:///run", "s3://b/run?region=x", "s3://b/run?endpoint=localhost:9000"):
        with pytest.raises(StorageError, match=r"no place in S3|is no URL"):
            place_of(uri)


def test_a_root_is_understood_again_from_its_text() -> None:
    for uri in ("s3://b/a/run", "s3://b/run?endpoint=http://127.0.0.1:9000"):
        assert str(Storage(f"{uri}")) == uri
    assert str(Storage("s3://b/run/", "http://x:1/")) == "s3://b/run?endpoint=http://x:1"
    assert str(Storage("s3://b/run?endpoint=http://y", "http://x")) == "s3://b/run?endpoint=http://y"
