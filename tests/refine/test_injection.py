"""Injected errors: a broken program is another one, always the same, and says what it is said to say."""

from __future__ import annotations

import ast
import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pad_ray.outcomes import Outcome
from pad_ray.recipe_refine import Refine
from pad_ray.records import Example, Problem
from pad_ray.refine.injection import RAISED, Mutant, broken, by_operator, injected, mutants
from pad_ray.refine.token_edits import with_losses
from pad_ray.refine.tree_edits import with_edits
from pad_ray.sandbox import Sandbox
from pad_ray.sandbox.execution import Execution
from pad_ray.syntax import fingerprint
from tests.refine.programs import EXEMPLARS, OPERATORS, WEIGHED, example, programs

ANY_PROGRAM = st.one_of(st.sampled_from(EXEMPLARS), programs())
ONE = "def solution():\n    boxes = 6\n    cards = boxes / 3\n    return cards\n"


def every_result(operator: str, edits: int = 1) -> set[str]:
    """All that one operator makes of the program ONE."""
    made = [random.Random(seed) for seed in range(200)]
    found = [
        with_losses(ONE, one, edits) if operator == "syntax_error" else with_edits(ONE, operator, one, edits)
        for one in made
    ]
    return {program or "" for program in found}


def drawn(per_program: float, *, round_: int = 1, count: int = 200, **operators: float) -> list[Mutant]:
    """Mutants of so many examples."""
    refine = Refine.model_validate({"injected": per_program, "operators": operators})
    examples = [example(EXEMPLARS[number % len(EXEMPLARS)], number) for number in range(count)]
    return mutants(examples, refine, round_=round_, seed=3, dropped=Counter())


@settings(max_examples=150)
@given(ANY_PROGRAM, st.sampled_from(OPERATORS), st.integers())
def test_a_mutant_is_another_program_and_only_a_syntax_error_does_not_parse(
    program: str, operator: str, seed: int
) -> None:
    mutant = broken(program, operator, random.Random(seed))
    assert mutant == broken(program, operator, random.Random(seed))
    if mutant is None:
        return
    assert mutant != program
    if operator == "syntax_error":
        with pytest.raises(SyntaxError):
            ast.parse(mutant)
    else:
        assert fingerprint(mutant) != fingerprint(program)


@settings(max_examples=40)
@given(programs(), st.integers())
def test_a_program_with_variables_can_be_broken_in_the_ways_that_are_drawn_by_default(program: str, seed: int) -> None:
    assert all(broken(program, operator, random.Random(seed)) for operator in WEIGHED)


def test_each_operator_makes_the_errors_it_is_named_after() -> None:
    define, compute, give = ("    boxes = 6\n", "    cards = boxes / 3\n", "    return cards\n")
    misspelt = {ONE.replace("boxes /", f"{name} /") for name in ("boxe", "total_boxes")}
    misspelt |= {ONE.replace("return cards", f"return {name}") for name in ("card", "total_cards")}
    assert every_result("name_error") == misspelt | {ONE.replace(define, ""), ONE.replace(compute, "")}
    assert every_result("unbound_local") == {
        ONE.replace(define + compute, compute + define),
        ONE.replace(compute + give, give + compute),
    }
    assert every_result("type_error") == {ONE.replace("6", "'6'"), ONE.replace("3", "'3'")}
    assert every_result("zero_division") == {ONE.replace("3", "0")}
    numbers = {
        ONE.replace(old, new)
        for old, several in {"6": ["5", "7", "60"], "3": ["2", "4", "30"]}.items()
        for new in several
    }
    assert every_result("wrong_value") == numbers | {ONE.replace("/", "*"), ONE.replace("boxes / 3", "3 / boxes")}
    lost = every_result("syntax_error")
    assert {ONE.replace(":", ""), ONE.replace("(", ""), ONE.replace("/ ", ""), ONE.replace("/ 3", "/")} <= lost
    assert not any("  " in line.removeprefix("    ") for program in lost for line in program.split("\n"))


def test_a_divisor_in_a_variable_becomes_zero_where_it_got_its_value() -> None:
    program = ONE.replace("boxes / 3", "12 / boxes")
    assert with_edits(program, "zero_division", random.Random(0), 1) == program.replace("6", "0")


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_second_edit_goes_on_from_the_first_and_never_back(operator: str) -> None:
    for program in EXEMPLARS:
        for seed in range(10):
            twice = (
                with_losses(program, random.Random(seed), 2)
                if operator == "syntax_error"
                else with_edits(program, operator, random.Random(seed), 2)
            )
            assert twice != program


def test_a_program_without_a_place_for_an_error_is_counted() -> None:
    dropped = Counter[str]()
    refine = Refine.model_validate({"injected": 2, "operators": {**dict.fromkeys(WEIGHED, 0), "zero_division": 1}})
    assert not mutants([example("def solution():\n    return 7\n")], refine, round_=1, seed=0, dropped=dropped)
    assert dropped == {"mutant_without_place": 2}


def test_operators_are_drawn_by_their_weights_and_a_fifth_has_two_errors() -> None:
    found = Counter(mutant.operator for mutant in drawn(4))
    assert found.total() == 800
    assert {name: pytest.approx(found[name] / 800, abs=0.05) for name in found} == WEIGHED
    assert {mutant.operator for mutant in drawn(1, **dict.fromkeys(WEIGHED, 0.0), wrong_value=1)} == {"wrong_value"}
    quoted = [mutant.program.count("'") // 2 for mutant in drawn(2, **dict.fromkeys(WEIGHED, 0.0), type_error=1)]
    assert set(quoted) == {1, 2} and 0.14 < quoted.count(2) / len(quoted) < 0.26


def test_a_share_of_an_error_per_program_is_drawn_and_every_round_has_others() -> None:
    first, second = drawn(0.25), drawn(0.25, round_=2)
    assert 30 < len(first) < 70 and 30 < len(second) < 70
    assert first == drawn(0.25)
    assert {mutant.of.example_id for mutant in first} != {mutant.of.example_id for mutant in second}
    ids = [mutant.example_id for round_ in (1, 2, 3) for mutant in drawn(1.5, round_=round_, count=50)]
    assert len(ids) == len(set(ids))
    [only] = drawn(1, count=1)
    assert only.example_id == f"p0#program.r0.k0!{only.operator}0"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        yield box


def check_what_is_kept(verified: Sequence[str], per_program: float, box: Sandbox) -> tuple[list[Example], int]:
    """Break programs in all ways, execute and sort; returns what was kept, and of how many."""
    answers = [one.value for one in box.run(verified)]
    problems = {f"p{n}": Problem(f"p{n}", "How many?", answer) for n, answer in enumerate(answers)}
    refine = Refine.model_validate({"injected": per_program, "operators": dict.fromkeys(OPERATORS, 1)})
    dropped = Counter[str]()
    taught = [example(program, n) for n, program in enumerate(verified) if answers[n]]
    made = mutants(taught, refine, round_=1, seed=0, dropped=dropped)
    executed = {
        mutant.example_id: (mutant, execution)
        for mutant, execution in zip(made, box.run([mutant.program for mutant in made]), strict=True)
    }
    found = injected(executed.values(), problems, round_=1, taught=[], dropped=dropped)
    drawn = len(made) + dropped["mutant_without_place"]
    assert len(found) + dropped.total() == drawn
    for one in found:
        mutant, execution = executed[one.example_id]
        assert (one.origin, one.task, one.round, one.completion) == ("injected", "repair", 1, mutant.of.completion)
        assert f"Program:\n{mutant.program.rstrip()}\n" in one.prompt
        if mutant.operator == "wrong_value":
            assert execution.outcome is Outcome.OK
            assert "\nError: AssertionError: the returned value is not the answer\n" in one.prompt
        else:
            assert execution.detail.startswith(f"{RAISED[mutant.operator]}: ")
            assert f"\nError: {execution.detail}\n" in one.prompt
    return found, drawn


def test_what_is_kept_of_the_packaged_programs_raises_in_the_sandbox_what_it_claims(box: Sandbox) -> None:
    found, drawn = check_what_is_kept(EXEMPLARS, 20, box)
    assert drawn == 20 * len(EXEMPLARS)
    assert len(found) > 0.7 * drawn  # many repeat each other, some have no divisor
    assert set(by_operator(found)) == set(OPERATORS)


@settings(max_examples=15)
@given(st.lists(programs(), min_size=4, max_size=8))
def test_what_is_kept_of_any_programs_raises_in_the_sandbox_what_it_claims(box: Sandbox, some: list[str]) -> None:
    check_what_is_kept(some, 3, box)


def test_what_did_not_fail_as_it_was_meant_to_is_counted_by_reason() -> None:
    """Unlike what they were drawn for: one is right all the same, one runs on, one raises something else."""
    of = example(ONE)
    rows = [
        (Mutant(of, "name_error", 0, "a"), Execution(Outcome.OK, "2.0")),
        (Mutant(of, "name_error", 1, "b"), Execution(Outcome.TIMEOUT)),
        (Mutant(of, "name_error", 2, "c"), Execution(Outcome.RUNTIME_ERROR, detail="TypeError: no")),
        (Mutant(of, "wrong_value", 3, "d"), Execution(Outcome.RUNTIME_ERROR, detail="ZeroDivisionError: no")),
        (Mutant(of, "name_error", 4, "e"), Execution(Outcome.RUNTIME_ERROR, detail="NameError: e")),
        (Mutant(of, "name_error", 5, "e"), Execution(Outcome.RUNTIME_ERROR, detail="NameError: e")),
        (Mutant(of, "wrong_value", 6, "f"), Execution(Outcome.OK, "3")),
    ]
    problems, dropped = {"p0": Problem("p0", "How many?", "2")}, Counter[str]()
    found = injected(rows, problems, round_=1, taught=[], dropped=dropped)
    assert [one.example_id.rpartition("!")[2] for one in found] == ["name_error4", "wrong_value6"]
    assert dropped == {"mutant_still_correct": 1, "mutant_failed_otherwise": 3, "duplicate_mutant": 1}
    # What an earlier round taught is not taught again.
    again = injected(rows, problems, round_=2, taught=[one.prompt for one in found], dropped=Counter())
    assert not again
