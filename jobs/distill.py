r"""The whole loop as a Ray job:

ray job submit --working-dir . --runtime-env jobs/runtime_env.yaml -- \
    python jobs/distill.py quick --run-dir /shared/runs/quick
"""

from pad_ray.jobs import run_job

run_job("distill")
