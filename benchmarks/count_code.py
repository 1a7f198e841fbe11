"""Counts of what the project holds itself to: ``python benchmarks/count_code.py [--root CHECKOUT] [--list NAME]``.

Belongs here: counting what can be read off the source text. Does not belong here: what a linter, the type checker or a test
says already. A count's limit, where it has one, stands beside it; ``--list NAME`` shows where each one stands.
"""

from __future__ import annotations

import argparse
import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE, TESTS = "correctly_assets", "correctly_tests"
LONG_FUNCTION = 60
LONG_TEST_NAME = 70
FACES = ("commands", "cli.py", "defs", "definitions.py", "settings", "gateway")
"""Who may read the environment: the faces, and the settings themselves."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One source file: its path below the checkout, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    def functions(self) -> Iterator[Function]:
        """Every function and method, inner ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


def read_modules(root: Path, package: str) -> list[Module]:
    """The Python files of a package, in the order of their paths."""
    modules: list[Module] = []
    for path in sorted((root / package).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        modules.append(Module(str(path.relative_to(root)), text, ast.parse(text)))
    return modules


def untyped_mappings(modules: list[Module]) -> list[str]:
    """Annotations ``dict[str, Any]`` and ``Mapping[str, Any]``, and uses of names that stand for one."""
    aliases = {
        target.id
        for module in modules
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _is_untyped(node.value)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    found: list[str] = []
    for module in modules:
        for annotation in _annotations(module.tree):
            found += [
                f"{module.path}:{annotation.lineno}"
                for node in ast.walk(annotation)
                if _is_untyped(node) or (isinstance(node, ast.Name) and node.id in aliases)
            ]
    return found


def _annotations(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, Function):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            yield from (one.annotation for one in every if one is not None and one.annotation is not None)
            if node.returns is not None:
                yield node.returns
        elif isinstance(node, ast.AnnAssign):
            yield node.annotation
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
            yield node.value  # a name for a type


def _is_untyped(node: ast.AST) -> bool:
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple) or len(node.slice.elts) != 2:
        return False
    key, value = node.slice.elts
    return (
        isinstance(node.value, ast.Name)
        and node.value.id in ("dict", "Mapping", "MutableMapping")
        and isinstance(key, ast.Name)
        and key.id == "str"
        and isinstance(value, ast.Name)
        and value.id in ("Any", "object")
    )


def manifest_parsers(modules: list[Module]) -> list[str]:
    """Modules that name ``manifest.json`` and parse JSON; the base models' own file (``correctly.json``) is another."""
    return [
        module.path
        for module in modules
        if '"manifest.json"' in module.text and re.search(r"json\.loads|model_validate_json", module.text)
    ]


def long_functions(modules: list[Module]) -> list[str]:
    """Functions of more than ``LONG_FUNCTION`` lines, docstring included."""
    return [
        f"{module.path}:{node.lineno} {node.name} {_length(node)}"
        for module in modules
        for node in module.functions()
        if _length(node) > LONG_FUNCTION
    ]


def _length(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def public_without_docstring(modules: list[Module]) -> list[str]:
    """Public functions and methods without a docstring (`public_functions` is what they are a share of)."""
    return [
        f"{path}:{node.lineno} {node.name}" for path, node in public_functions(modules) if not ast.get_docstring(node)
    ]


def public_functions(modules: list[Module]) -> list[tuple[str, Function]]:
    """Functions at the top of a module and methods of its public classes whose names begin with no underscore."""
    found: list[tuple[str, Function]] = []
    for module in modules:
        for node in module.tree.body:
            inside = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else [node]
            found += [
                (module.path, item) for item in inside if isinstance(item, Function) and not item.name.startswith("_")
            ]
    return found


def inner_imports(modules: list[Module]) -> list[str]:
    """Imports inside functions."""
    found: list[str] = []
    for module in modules:
        lines = {
            inner.lineno
            for node in module.functions()
            for inner in ast.walk(node)
            if isinstance(inner, ast.Import | ast.ImportFrom)
        }
        found += [f"{module.path}:{line}" for line in sorted(lines)]
    return found


def protocols(modules: list[Module]) -> list[str]:
    """Classes that are a ``Protocol``."""
    return [
        f"{module.path}:{node.lineno} {node.name}"
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and any(isinstance(b, ast.Name) and b.id == "Protocol" for b in node.bases)
    ]


def settings_below_the_faces(modules: list[Module]) -> list[str]:
    """Calls of ``get_settings()`` in rooms that are handed what they need."""
    return [
        f"{module.path}:{node.lineno}"
        for module in modules
        if module.path.split("/")[1] not in FACES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_settings"
    ]


def repeated_module_names(modules: list[Module]) -> list[str]:
    """Module names that stand in more than one room."""
    names = Counter(Path(module.path).name for module in modules)
    return sorted(
        module.path
        for module in modules
        if names[Path(module.path).name] > 1 and Path(module.path).name not in ("__init__.py", "__main__.py")
    )


def without_head(modules: list[Module]) -> list[str]:
    """Modules whose docstring does not say what belongs here and what does not."""
    return [
        module.path
        for module in modules
        if not Path(module.path).name.startswith("__")
        and not re.search(r"Belongs here.*Does\s+not\s+belong\s+here", ast.get_docstring(module.tree) or "", re.S)
    ]


def long_test_names(modules: list[Module]) -> list[str]:
    """Tests whose names are longer than ``LONG_TEST_NAME`` characters."""
    return [
        f"{module.path}:{node.lineno} {node.name}"
        for module in modules
        for node in module.functions()
        if node.name.startswith("test_") and len(node.name) > LONG_TEST_NAME
    ]


def cache_clears(modules: list[Module]) -> list[str]:
    """Calls of ``cache_clear()``: tests that would read the settings of another."""
    return [
        f"{module.path}:{number}"
        for module in modules
        for number, line in enumerate(module.text.splitlines(), 1)
        if "cache_clear()" in line
    ]


def layer_exceptions(root: Path) -> list[str]:
    """``ignore_imports`` of the layers' contract."""
    linter = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"].get("importlinter", {})
    return [line for contract in linter.get("contracts", ()) for line in contract.get("ignore_imports", ())]


def count(root: Path) -> dict[str, tuple[list[str], int | None]]:
    """Every count of a checkout: by its name, where it stands and how many there may be (None: no limit)."""
    product, tests = read_modules(root, PACKAGE), read_modules(root, TESTS)
    return {
        "untyped-mappings": (untyped_mappings(product), 110),
        "manifest-parsers": (manifest_parsers(product), 1),
        "long-functions": (long_functions(product), 8),
        "public-without-docstring": (
            public_without_docstring(product),
            int(0.08 * len(public_functions(product))),
        ),
        "inner-imports": (inner_imports(product), 150),
        "protocols": (protocols(product), 20),
        "settings-below-the-faces": (settings_below_the_faces(product), 0),
        "layer-exceptions": (layer_exceptions(root), 0),
        "repeated-module-names": (repeated_module_names(product), None),
        "modules-without-head": (without_head(product), 0),
        "long-test-names": (long_test_names(tests), 0),
        "cache-clears": (cache_clears(tests), 0),
    }


def main() -> None:
    """Print each count with its limit, or where the places of one are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="the checkout to count")
    parser.add_argument("--list", metavar="NAME", help="show the places of one count")
    asked = parser.parse_args()
    counts = count(asked.root)
    if asked.list:
        print("\n".join(counts[asked.list][0]))
        return
    for name, (places, most) in counts.items():
        print(f"{name:26} {len(places):6}" + ("" if most is None else f"  of at most {most}"))
    lines = sum(len(module.text.splitlines()) for module in read_modules(asked.root, PACKAGE))
    print(f"{'product-lines':26} {lines:6}  of at most 36500")


if __name__ == "__main__":
    main()
