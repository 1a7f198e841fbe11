"""No two rooms and no two modules import each other in a circle, however long.

The floors are import-linter's (pyproject.toml); it does not look inside a room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import grimp
import pytest


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("correctly_assets", exclude_type_checking_imports=True, cache_dir=None)


def circles(nodes: Iterable[str], imports: Callable[[str], Iterable[str]]) -> list[list[str]]:
    """The groups of nodes that reach one another (Tarjan's strongly connected components of more than one)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    open_nodes: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        open_nodes.append(node)
        for other in sorted(imports(node)):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in open_nodes:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            start = open_nodes.index(node)
            if len(open_nodes) - start > 1:
                found.append(sorted(open_nodes[start:]))
            del open_nodes[start:]

    for node in sorted(nodes):
        if node not in order:
            visit(node)
    return found


def test_a_circle_is_found_and_a_fork_is_none() -> None:
    arrows = {"a": "b", "b": "cd", "c": "a", "d": "e", "e": ""}
    assert circles(arrows, arrows.__getitem__) == [["a", "b", "c"]]


def test_no_modules_import_each_other_in_a_circle(graph: grimp.ImportGraph) -> None:
    assert circles(graph.modules, graph.find_modules_directly_imported_by) == []


def test_no_packages_side_by_side_import_each_other_in_a_circle(graph: grimp.ImportGraph) -> None:
    for parent in sorted(module for module in graph.modules if graph.find_children(module)):
        children = graph.find_children(parent)
        owner = {module: child for child in children for module in {child, *graph.find_descendants(child)}}
        arrows: dict[str, set[str]] = {child: set() for child in children}
        for module, child in owner.items():
            used = {owner.get(other) for other in graph.find_modules_directly_imported_by(module)}
            arrows[child] |= {other for other in used if other is not None and other != child}
        assert circles(children, arrows.__getitem__) == [], parent
