"""Loading numpy and sympy before the lock-down, with what they import late: nothing can be read afterwards."""

from __future__ import annotations

import importlib
from typing import Any

_LATE = (
    "numpy.linalg", "numpy.random", "numpy.fft", "numpy.polynomial", "numpy.ma", "sympy.solvers", "sympy.abc",
    "sympy.ntheory", "sympy.stats", "sympy.geometry", "sympy.solvers.diophantine.diophantine", "sympy.plotting",
)  # fmt: skip


def load(names: tuple[str, ...]) -> list[str]:
    """Import what is installed of `names` and use it once. Returns the names that are there."""
    loaded: list[str] = []
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        loaded.append(name)
    for name in _LATE:
        if name.partition(".")[0] in loaded:
            importlib.import_module(name)
    if "numpy" in loaded:
        _use_numpy(importlib.import_module("numpy"))
    if "sympy" in loaded:
        _use_sympy(importlib.import_module("sympy"))
    return loaded


def _use_numpy(np: Any) -> None:
    array = np.array([[2.0, 1.0], [1.0, 3.0]])
    np.linalg.solve(array, np.array([1.0, 2.0]))
    np.random.seed(0)
    str((np.mean(array), np.roots([1, -3, 2]), np.random.default_rng(0).random()))


def _use_sympy(sp: Any) -> None:
    x, y = sp.symbols("x y")
    sp.solve([sp.Eq(x + y, 10), sp.Eq(x - y, 2)], [x, y])
    sp.solve(x**2 - 5 * x + 6, x)
    sp.solve(x / 3 + sp.Rational(1, 2) > 4, x)
    sp.solveset(x**3 - x, x, sp.S.Reals)
    sp.linsolve([x + y - 3, x - y - 1], x, y)
    sp.nsolve(sp.cos(x) - x, x, 1)
    sp.integrate(sp.sin(x) * x, (x, 0, 1))
    sp.diff(sp.exp(x) * x, x)
    sp.limit(sp.sin(x) / x, x, 0)
    sp.summation(x, (x, 1, 10))
    sp.simplify((x**2 - 1) / (x - 1))
    str((sp.factorint(360), sp.isprime(97), sp.divisors(12), sp.nextprime(10)))
    sp.sympify("2*x + 1").subs(x, 3).evalf()
    str((float(sp.sqrt(2)), sp.Matrix([[1, 2], [3, 4]]).inv()))
