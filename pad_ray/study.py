"""A study: what all arms share is made once, then each arm goes on from there as a run of its own.

Where the arms share nothing, each is a whole run from the start.

`shared/` and every `arms/NAME-seedN/` are usual run folders. An arm adopts the shared stages: their files are copied
(small ones) or linked (the student), and its manifest says last that they are done. From then on it resumes as any run
does, and nothing here remembers anything but what lies in the folders.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from pad_ray.evaluate.arms import impossible
from pad_ray.evaluate.card import write_cards
from pad_ray.evaluate.folder import TRAININGS
from pad_ray.evaluate.report import write_report
from pad_ray.evaluate.study_page import write_pages
from pad_ray.flow.adopting import adopt
from pad_ray.flow.progress import Reporter
from pad_ray.flow.students import bring_base_student
from pad_ray.manifest import load_manifest
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import with_keys
from pad_ray.refine.rounds import distill, gather, learn
from pad_ray.run import begun_recipe, open_run
from pad_ray.status import STUDY_FILE
from pad_ray.storage import Storage
from pad_ray.study_file import SAMPLING, Study, sampling_of, shares_sampling

SHARED = "shared"
"""Run folder of what all arms share, in the folder of the study."""
_STATES = (
    *(f"{training}/{part}" for training in TRAININGS for part in ("state", "ray")),
    "decomposer/student",
    "preference/student",
)
"""What only a training that goes on needs, by the folder of its round. Of the two students the first lies in that of
the round too, and the other is where its examples begin."""


@dataclass(frozen=True, slots=True)
class Task:
    """One arm with one seed."""

    arm: str
    seed: int

    @property
    def folder(self) -> str:
        """Its run folder, in the folder of the study."""
        return f"arms/{self.arm}-seed{self.seed}"


class StudyRun:
    """A study bound to a folder; `origin` is its file, for errors."""

    def __init__(self, study: Study, origin: str, storage: Storage) -> None:
        self.study, self.origin, self.storage = study, origin, storage
        self.base = study.base(origin)
        self.shares = study.share == "round_0"
        """Whether the arms go on from one student."""
        arms = [study.recipe_of(self.base, arm, study.seeds[0], origin) for arm in study.arms]
        # Nothing else of `refine` touches what is shared, and this stays, so arms may change or be added afterwards.
        begun = begun_recipe(self.at(SHARED))
        like = [begun] if begun else [one for one in arms if one.refine.fresh] or [self.base]
        [(values, _)] = Counter(map(sampling_of, like)).most_common(1)
        refine = dict(zip(SAMPLING, values, strict=True))
        self.shared = with_keys(self.base, {"name": f"{study.name}-shared", "refine": refine}, origin)
        self.sharing = [
            one
            for one, recipe in zip(study.arms, arms, strict=True)
            if self.shares and shares_sampling(self.shared, recipe)
        ]
        """The arms that the programs of the shared student are for."""

    def tasks(self) -> list[Task]:
        """Every arm with every seed, those that others follow first."""
        arms = sorted(self.study.arms, key=lambda arm: self.study.arms[arm].same_steps_as is not None)
        return [Task(arm, seed) for seed in self.study.seeds for arm in arms]

    def at(self, folder: str) -> Storage:
        """One of its run folders."""
        return Storage(self.storage.uri(folder))

    def finished(self, task: Task) -> bool:
        """Whether an arm is done, by the recipe that it has now."""
        followed = self.study.arms[task.arm].same_steps_as
        if followed and (not self.finished(Task(followed, task.seed)) or self.impossible(task)):
            return False
        manifest = load_manifest(self.at(task.folder))
        if manifest is None or manifest.state != "done":
            return False
        return manifest.recipe_hash == self.recipe(task).hash()

    def impossible(self, task: Task) -> str:
        """Why an arm cannot be made; empty where it can, or where that is not known yet."""
        return impossible(self.study, self.storage, task.arm, task.seed)

    def settled(self, task: Task) -> bool:
        """Whether nothing is left to do for an arm: it is finished, or cannot be made."""
        return self.finished(task) or bool(self.impossible(task))

    def recipe(self, task: Task) -> Recipe:
        """The recipe of an arm; the one that it follows must be finished, with a step or more. Raises RecipeError."""
        followed = self.study.arms[task.arm].same_steps_as
        steps = self._steps(Task(followed, task.seed)) if followed else None
        return self.study.recipe_of(self.base, task.arm, task.seed, self.origin, steps)

    def _steps(self, followed: Task) -> int:
        round_ = 1  # the only one of an arm that is followed
        return int(json.loads(self.at(followed.folder).read(f"round-{round_}/checkpoint/summary.json"))["steps"])


def run_study(bound: StudyRun, reporter: Reporter) -> None:
    """Do whatever is not finished; Ray must be initialised. The pages are written after every arm."""
    tasks = bound.tasks()
    if all(bound.settled(task) for task in tasks):
        return
    bound.storage.write(STUDY_FILE, bound.study.to_yaml().encode())
    if bound.shares:
        reporter.say(f"shared by {_what(bound)}")
        _make_shared(bound, reporter)
    for number, task in enumerate(tasks, start=1):
        where = f"arm {number} of {len(tasks)}: {task.arm}, seed {task.seed}"
        if bound.finished(task):
            reporter.say(f"{where} is finished")
            continue
        if why := bound.impossible(task):
            reporter.say(f"{where} cannot be made: {why}")
            continue
        reporter.say(where)
        _make_arm(bound, task, reporter)
        write_pages(bound.study, bound.storage)


def forget_states(bound: StudyRun) -> None:
    """Delete the states of finished trainings that are still there, as where `pad-ray distill` finished an arm."""
    for folder in (SHARED, *(task.folder for task in bound.tasks())):
        _forget_states(bound.at(folder))


def _what(bound: StudyRun) -> str:
    arms, sharing = len(bound.study.arms), len(bound.sharing)
    programs = f"; by {sharing} of them: the programs of its student" if sharing else ""
    return f"all {arms} arms: round 0{programs}"


def _make_shared(bound: StudyRun, reporter: Reporter) -> None:
    with open_run(bound.shared, bound.storage.uri(SHARED)) as run:
        if not run.done(0, "train"):
            bring_base_student(run, lambda sentence: reporter.say(f"  {sentence}"))
        gather(run, 0, reporter)
        learn(run, 0, reporter)
        if bound.sharing:
            gather(run, 1, reporter)
        _forget_states(run.storage)
    _describe(bound.storage.uri(SHARED))


def _make_arm(bound: StudyRun, task: Task, reporter: Reporter) -> None:
    with open_run(bound.recipe(task), bound.storage.uri(task.folder)) as run:
        if not bound.shares:
            bring_base_student(run, lambda sentence: reporter.say(f"  {sentence}"))
        elif not run.done(0, "evaluate"):
            adopt(run, bound.at(SHARED), sampling=task.arm in bound.sharing)
        distill(run, reporter)
        _forget_states(run.storage)
    _describe(bound.storage.uri(task.folder))


def _forget_states(storage: Storage) -> None:
    """Optimizer states of finished trainings are several times as large as the students; nobody resumes them."""
    manifest = load_manifest(storage)
    for stage in manifest.stages if manifest else ():
        if stage.stage == "train" and stage.state == "done":
            for name in (f"round-{stage.round}/{part}" for part in _STATES):
                # Where a round learned from pairs alone, what came of them is its student.
                if name != stage.counts["checkpoint"]["student"]:
                    storage.delete(name)


def _describe(root: str) -> None:
    write_cards(root)
    write_report(root)
