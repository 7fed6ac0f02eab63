"""Collects from our source what it uses of faiss and cupy, to be compared with the libraries themselves."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cached_property, reduce
from typing import Any

LIBRARIES = ("faiss", "cupy", "cupyx")

GIVEN = {
    "index_gpu_to_cpu": "faiss.IndexIVFPQ", "downcast_index": "faiss.IndexIVFPQ", "zeros": "cupy.ndarray",
    "downcast_VectorTransform": "faiss.LinearTransform", "asarray": "cupy.ndarray", "rint": "cupy.ndarray",
    "astype": "cupy.ndarray", "view": "cupy.ndarray", "get_default_memory_pool": "cupy.cuda.MemoryPool",
}  # fmt: skip
"""What functions of theirs give back; what ours do, their annotations say."""

FIELDS = {
    "pq": "faiss.ProductQuantizer", "cp": "faiss.ClusteringParameters", "sq": "faiss.ScalarQuantizer",
    "invlists": "faiss.InvertedLists", "quantizer": "faiss.IndexFlat", "chain": "faiss.std_vector_VectorTransform",
}  # fmt: skip
"""What fields of their objects hold; what fields of ours do, their annotations say."""


def chain(node: ast.AST | None) -> tuple[str, ...]:
    """('faiss', 'IndexFlat') for `faiss.IndexFlat`; empty for what does not begin with a name."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and (before := chain(node.value)):
        return (*before, node.attr)
    return ()


def of_library(node: ast.AST | None) -> str:
    """'faiss.IndexFlat' for that; "" for what does not begin at a library."""
    names = chain(node)
    return ".".join(names) if len(names) > 1 and names[0] in LIBRARIES else ""


def resolve(name: str) -> Any:
    first, *rest = name.split(".")
    return reduce(getattr, rest, __import__(first))


def is_there(name: str) -> bool:
    try:
        resolve(name)
    except AttributeError:
        return False
    return True


def is_class(name: str) -> bool:
    return bool(name) and is_there(name) and inspect.isclass(resolve(name))


def has(kind: str, name: str) -> bool:
    """Whether a class has an attribute; what is only known to be an index may be of any class of index."""
    kinds = [resolve(kind)]
    for one in kinds:
        kinds += one.__subclasses__() if kind == "faiss.Index" else []
    return any(hasattr(one, name) for one in kinds)


def annotated(node: ast.AST | None) -> list[str]:
    """The classes that an annotation names: one, or those of a tuple."""
    if isinstance(node, ast.Subscript) and chain(node.value) == ("tuple",) and isinstance(node.slice, ast.Tuple):
        return [of_library(one) for one in node.slice.elts]
    return [of_library(node)]


def misfit(function: Any, call: ast.Call, *before: object) -> str | None:
    """Why a call does not fit a function; "" where it does, None where the function has no signature."""
    try:
        inspect.signature(function).bind(*before, *call.args, **{one.arg or "": one.value for one in call.keywords})
    except ValueError:  # built-in functions have none
        return None
    except TypeError as error:
        return str(error)
    return ""


class Uses:
    """What the modules of the given names and texts use."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._trees = {name: ast.parse(text) for name, text in texts.items()}

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[tuple[str, Any]]:
        for name, tree in self._trees.items():
            for node in ast.walk(tree):
                if isinstance(node, kinds):
                    yield f"{name}:{getattr(node, 'lineno', 0)}", node

    @cached_property
    def names(self) -> dict[str, str]:
        """Every chain that begins at a library, with one place."""
        return {of_library(node): where for where, node in self.nodes(ast.Attribute) if of_library(node)}

    @cached_property
    def attributes(self) -> list[tuple[str, str, ast.Attribute]]:
        """(place, class, node) of every attribute of an object of theirs, read or set."""
        found = []
        for where, scope in self.nodes(ast.ClassDef, ast.FunctionDef):
            here = self._known(scope)
            inside = [node for node in ast.walk(scope) if isinstance(node, ast.Attribute)]
            of_cupy = any(chain(node)[:1] == ("cupy",) for node in inside)  # elsewhere arrays are NumPy's
            for node in inside:
                kind = here.get(chain(node.value)) or self._kinds(node.value)[0]
                if is_class(kind) and (of_cupy or not kind.startswith("cupy")):
                    found.append((where, kind, node))
        return found

    def calls(self) -> Iterator[tuple[str, str, str | None]]:
        """(place, function or method, why it does not fit) of every call of theirs, as `misfit` says it."""
        for where, node in self.nodes(ast.Call):
            name = of_library(node.func)
            if name and is_there(name) and not is_class(name):
                yield where, name, misfit(resolve(name), node)
        methods = {id(node): (where, kind) for where, kind, node in self.attributes}
        for _, node in self.nodes(ast.Call):
            where, kind = methods.get(id(node.func), ("", "faiss.Index"))
            if kind != "faiss.Index" and has(kind, node.func.attr):
                yield where, f"{kind}.{node.func.attr}", misfit(getattr(resolve(kind), node.func.attr), node, object())

    @cached_property
    def _given(self) -> dict[str, list[str]]:
        ours = [(node.name, annotated(node.returns)) for _, node in self.nodes(ast.FunctionDef)]
        return {name: [kind] for name, kind in GIVEN.items()} | {name: found for name, found in ours if any(found)}

    @cached_property
    def _fields(self) -> dict[str, str]:
        ours = {chain(node.target)[-1]: of_library(node.annotation) for _, node in self.nodes(ast.AnnAssign)}
        return FIELDS | {name: kind for name, kind in ours.items() if kind}

    def _kinds(self, node: ast.AST) -> list[str]:
        """The classes of an expression's value, or of a tuple's; "" for what is not theirs."""
        if isinstance(node, ast.Tuple):
            return [self._kinds(one)[0] for one in node.elts]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            made = of_library(node.func)
            return [made] if is_class(made) else self._given.get(name, [""])
        if isinstance(node, ast.Attribute):
            return [self._fields.get(node.attr, "")]
        return [""]

    def _known(self, scope: ast.AST) -> dict[tuple[str, ...], str]:
        """Variables and parameters of a function, or what a class keeps in self, whose class is one of theirs."""
        found: dict[tuple[str, ...], str] = {}
        for node in ast.walk(scope):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    targets = target.elts if isinstance(target, ast.Tuple) else [target]
                    values = self._kinds(node.value)
                    found |= dict(zip(map(chain, targets), values, strict=False))
            elif isinstance(node, ast.arg):
                found[(node.arg,)] = of_library(node.annotation)
        if isinstance(scope, ast.ClassDef):  # its methods' variables are not shared
            found = {names: kind for names, kind in found.items() if names[:1] == ("self",)}
        return {names: kind for names, kind in found.items() if names and is_class(kind)}
