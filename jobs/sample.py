"""Only the teacher's part, as a Ray job; takes what `pad-ray sample` takes."""

from pad_ray.jobs import run_job

run_job("sample")
