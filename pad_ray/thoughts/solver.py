# pyright: basic
"""The real value of one unknown of a system of equations, by SymPy.

Never imported here: `equation` hands this text to the sandbox, with the equations behind it.
"""

import sympy


def asked_value(differences, unknowns, asked):
    """The one real value that `asked` has wherever all differences vanish, or in words why there is no such value."""
    open_ones = []
    for difference in differences:
        difference = sympy.sympify(difference)
        if difference.has(sympy.zoo, sympy.nan, sympy.oo):
            return "no solution found"
        if difference.free_symbols:
            open_ones.append(difference)
        elif sympy.simplify(difference) != 0:
            return "no solution found"
    # The unknowns are declared real, so that SymPy leaves out what is not.
    solutions = sympy.solve(open_ones, unknowns, dict=True) if open_ones else [{}]
    values = {sympy.simplify(solution.get(asked, asked)) for solution in solutions}
    if not values:
        return "no solution found"
    if any(value.free_symbols for value in values):
        return "not determined"
    if len(values) > 1:
        return "several solutions"
    [value] = values
    return value if value.is_Rational else float(value)
