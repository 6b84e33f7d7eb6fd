"""Only the evaluation of a round, as a Ray job; takes what `pad-ray evaluate` takes."""

from pad_ray.jobs import run_job

run_job("evaluate")
