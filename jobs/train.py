"""Only the training of a round, as a Ray job; takes what `pad-ray train` takes."""

from pad_ray.jobs import run_job

run_job("train")
