"""Choose, of possible pairs, those that leave each object in one pair at most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

Numbers = NDArray[np.intp]  # (pairs,): which object of a side
Costs = NDArray[np.float64]  # (pairs,)

ROWS_AT_ONCE = 1000  # the solver's time grows with the square of its rows


def choose_pairs(first: Numbers, second: Numbers, costs: Costs, cost_alone: float) -> Numbers:
    """Positions of the pairs of least total cost, in their order.

    A first object without a pair costs `cost_alone`. Costs are not negative and each pair is given
    once. This is the assignment of Kuhn 1955 on the pairs that there are, not on a full matrix.
    """
    contested = ~(_is_single(first) & _is_single(second) & (costs < cost_alone))
    chosen = [np.flatnonzero(~contested)]
    for group in _groups(first, second, np.flatnonzero(contested)):
        taken = _solve(first[group], second[group], costs[group], cost_alone)
        chosen.append(group[taken])
    return np.sort(np.concatenate(chosen))


def _is_single(numbers: Numbers) -> NDArray[np.bool_]:
    return np.asarray(np.bincount(numbers)[numbers] == 1) if numbers.size else numbers == 0


def _groups(first: Numbers, second: Numbers, pairs: Numbers) -> list[Numbers]:
    """Return the pairs in lots that share no object with one another."""
    if not pairs.size:
        return []
    rows, row = np.unique(first[pairs], return_inverse=True)
    columns, column = np.unique(second[pairs], return_inverse=True)
    nodes = len(rows) + len(columns)
    links = csr_array((np.ones(len(pairs)), (row, len(rows) + column)), shape=(nodes, nodes))
    component_count, component = connected_components(links, directed=False)
    rows_before = np.cumsum(np.bincount(component[: len(rows)], minlength=component_count))
    lot = (rows_before // ROWS_AT_ONCE)[component[row]]
    order = np.argsort(lot, kind="stable")
    return np.split(pairs[order], np.flatnonzero(np.diff(lot[order])) + 1)


def _solve(first: Numbers, second: Numbers, costs: Costs, cost_alone: float) -> Numbers:
    """Positions of the chosen pairs; each first object has a column of its own to be alone in."""
    rows, row = np.unique(first, return_inverse=True)
    columns, column = np.unique(second, return_inverse=True)
    alone = np.arange(len(rows))
    # One more for all changes no choice, but a sparse matrix would drop a cost of 0.
    table = csr_array(
        (
            np.concatenate([costs, np.full(len(rows), cost_alone)]) + 1,
            (np.concatenate([row, alone]), np.concatenate([column, len(columns) + alone])),
        ),
        shape=(len(rows), len(columns) + len(rows)),
    )
    _, partner = min_weight_full_bipartite_matching(table)
    return np.flatnonzero(partner[row] == column)
