"""Where students come from: a folder, a hub id, a package of the index, or what ships with pad_ray."""

from pad_ray.students.folder import check_student, weights_mark
from pad_ray.students.sources import cache_folder, check_name, is_cached, local_student

__all__ = ["cache_folder", "check_name", "check_student", "is_cached", "local_student", "weights_mark"]
