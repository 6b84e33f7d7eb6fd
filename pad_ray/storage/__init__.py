"""The run folder behind one interface: a folder, or a prefix in an S3 bucket. And records as rows in it."""

from pad_ray.storage.folder import writing
from pad_ray.storage.root import Storage, local_copy, resolve_uri
from pad_ray.storage.rows import arrow_schema, from_row, to_row

__all__ = ["Storage", "arrow_schema", "from_row", "local_copy", "resolve_uri", "to_row", "writing"]
