"""Measuring students: decode, execute, grade, put intervals on the figures, and tell the run's story.

`metrics` and `folder` are plain Python; `run` is the one module here that uses Ray.
"""
