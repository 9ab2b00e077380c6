"""Tile programs: loops written as a typed Python function, run by the C++ scheduler. The idea is numpywren's LAmbdaPACK.

The function is read, never called: its text becomes loops and kernel calls. ``Tiles`` are matrices by their tiles, ``int`` are
numbers known when it runs, ``Pairs`` are pairs of numbers whose loop is unrolled.

>>> from daybreak.linalg import lambdapack
>>> from daybreak.linalg.kernels import gemm
>>> @lambdapack.program
... def squares(C: lambdapack.Tiles, A: lambdapack.Tiles, n: int) -> None:
...     for i in range(n):
...         for j in range(i + 1):
...             C[i, j] = gemm(A[i, 0], A[j, 0], trans_b=True)
>>> squares.bind(n=2).nodes()
[Node('gemm', (0, 0)), Node('gemm', (1, 0)), Node('gemm', (1, 1))]

What may stand in one: ``for`` over ``range`` with integer expressions (+ - * // % min max, 2**x, ceil_log2, floor_log2),
``if`` and ``else``, names for expressions, and assignments ``X[i, j] = kernel(...)`` of the kernels of ``kernels.py``. An index
may be a range ``X[k:n, j]`` where a kernel takes several tiles. A tile is assigned once; after that only by a kernel that takes
its old value as an argument (an update). Anything else is refused with its line.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from daybreak._core import linalg as _core
from daybreak.base import numbers
from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError

__all__ = ["Bound", "Node", "Pairs", "Program", "Tiles", "program"]


class Tiles:
    """The annotation of a matrix in a tile program."""

    def __getitem__(self, index: Any) -> Any:
        raise FailedPreconditionError("a tile program is read and not called")

    def __setitem__(self, index: Any, value: Any) -> None:
        raise FailedPreconditionError("a tile program is read and not called")


class Pairs(list[tuple[int, int]]):
    """The annotation of a sequence of pairs of whole numbers in a tile program; a loop over it is unrolled."""


# As in program.h: what an expression is made of, and how tiles are used.
_CONSTANT, _VARIABLE = 0, 1
_BINARY = {ast.Add: 2, ast.Sub: 3, ast.Mult: 4, ast.FloorDiv: 5, ast.Mod: 6}
_FUNCTIONS = {"min": 7, "max": 8, "ceil_log2": 17, "floor_log2": 18}
_NEGATE, _LESS, _LESS_EQUAL, _EQUAL, _NOT_EQUAL, _AND, _OR, _NOT, _POWER2 = 9, 10, 11, 12, 13, 14, 15, 16, 19
_COMPARE = {ast.Lt: (_LESS, False), ast.LtE: (_LESS_EQUAL, False), ast.Gt: (_LESS, True), ast.GtE: (_LESS_EQUAL, True)}
_READ, _WRITE, _UPDATE = 1, 2, 3
_FROM_SOURCE = 1 << 16
# By the letters of a kernel's options (kernels.h).
_FLAGS = {
    "trans_a": ("a", 1),
    "trans_b": ("b", 2),
    "conj": ("c", 4),
    "right": ("r", 8),
    "upper": ("u", 16),
    "unit": ("1", 32),
    "lower": ("l", 64),
    "backward": ("k", 128),
}
_KERNELS: dict[str, tuple[int, str, int, str]] = {
    name: (number, targets, reads, options) for number, (name, targets, reads, options) in enumerate(_core.kernels())
}

Code = list[int]
Reference = tuple[int, int, list[tuple[Code, Code | None]]]


@dataclass(frozen=True)
class Node:
    """One call of a kernel: its name and the values of the loop variables around it. `call` numbers the calls of the text."""

    kernel: str
    at: tuple[int, ...]
    call: int = 0

    def __repr__(self) -> str:
        return f"Node({self.kernel!r}, {self.at})"


class Program:
    """A tile program as it was written. ``bind`` gives it its numbers."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.name = function.__name__
        self.__doc__ = function.__doc__
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
        self._line = first
        self._file = inspect.getsourcefile(function) or "?"
        definition = tree.body[0]
        if not isinstance(definition, ast.FunctionDef):
            raise InvalidArgumentError(f"{self.name} is no function with a name: a tile program is one")
        self._body = definition.body
        self.matrices: list[str] = []
        self.integers: list[str] = []
        self.pairs: list[str] = []
        for argument in definition.args.args:
            kind = ast.unparse(argument.annotation).split(".")[-1].strip("'\"") if argument.annotation else "nothing"
            places = {"Tiles": self.matrices, "BigMatrix": self.matrices, "int": self.integers, "Pairs": self.pairs}
            if kind not in places:
                self.refuse(argument, f"{argument.arg} is of {kind}: Tiles, int or Pairs")
            places[kind].append(argument.arg)

    def refuse(self, node: ast.AST, why: str) -> NoReturn:
        line = self._line + getattr(node, "lineno", 1) - 1
        raise InvalidArgumentError(f"tile program {self.name}, {self._file}:{line}: {why}")

    def bind(self, **values: Any) -> Bound:
        """The program with its numbers. InvalidArgumentError names what is missing, unknown or no whole number."""
        known = {**dict.fromkeys(self.integers), **dict.fromkeys(self.pairs)}
        if values.keys() != known.keys():
            different = sorted(values.keys() ^ known.keys())
            raise InvalidArgumentError(
                f"{self.name} takes the numbers {list(known)}: {different} are missing or unknown"
            )
        constants: dict[str, Any] = {name: numbers.integer(values[name], name) for name in self.integers}
        for name in self.pairs:
            constants[name] = [tuple(numbers.integer(x, name) for x in pair) for pair in values[name]]
        return Bound(self, _Compiler(self, constants).program(self._body))

    def __repr__(self) -> str:
        return f"<tile program {self.name}({', '.join([*self.matrices, *self.integers, *self.pairs])})>"


class Bound:
    """A program with its numbers: its calls in order, and what each depends on."""

    def __init__(self, program: Program, compiled: tuple[_core.Program, list[str]]) -> None:
        self.program = program
        self.core, self._kernels = compiled

    def nodes(self) -> list[Node]:
        """All calls, in the order of the loops."""
        return [self._node(found) for found in self.core.walk()]

    def parents(self, node: Node) -> list[Node]:
        """The calls whose result this one takes: found by solving the indices, not by looking at all calls."""
        return [self._node(found) for found in self.core.parents((node.call, list(node.at)))]

    def children(self, node: Node) -> list[Node]:
        """The calls that take this one's result."""
        return [self._node(found) for found in self.core.children((node.call, list(node.at)))]

    def _node(self, found: tuple[int, Sequence[int]]) -> Node:
        return Node(self._kernels[found[0]], tuple(found[1]), found[0])


def program(function: Callable[..., None]) -> Program:
    """Makes a tile program of a function: a decorator."""
    return Program(function)


class _Compiler:
    """One walk over the text with the numbers at hand."""

    def __init__(self, program: Program, constants: dict[str, Any]) -> None:
        self.of = program
        self.out = _core.Program()
        self.names: dict[str, Any] = dict(constants)  # numbers, pairs, and the code of expressions
        self.depth = 0
        self.kernels: list[str] = []
        self.matrices = {name: number for number, name in enumerate(program.matrices)}

    def program(self, body: list[ast.stmt]) -> tuple[_core.Program, list[str]]:
        self.block(body)
        return self.out, self.kernels

    def block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            if isinstance(statement, ast.For):
                self.loop(statement)
            elif isinstance(statement, ast.If):
                self.choice(statement)
            elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                self.assignment(statement, statement.targets[0])
            elif isinstance(statement, ast.Pass) or (
                isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            ):
                continue
            else:
                self.of.refuse(statement, f"{ast.unparse(statement)!r}: for, if and assignments may stand here")

    def loop(self, statement: ast.For) -> None:
        over, target = statement.iter, statement.target
        if statement.orelse:
            self.of.refuse(statement, "a loop has no else here")
        if isinstance(over, ast.Name) and over.id in self.of.pairs:
            self.unrolled(statement, over.id)
            return
        if not (isinstance(target, ast.Name) and isinstance(over, ast.Call) and ast.unparse(over.func) == "range"):
            self.of.refuse(statement, "a loop goes over range(...) with one variable, or over Pairs")
        if not 1 <= len(over.args) <= 3 or over.keywords:
            self.of.refuse(statement, "range takes one to three numbers")
        codes = [self.expression(x) for x in over.args]
        if len(codes) == 1:
            codes.insert(0, [_CONSTANT, 0])
        if len(codes) == 2:
            codes.append([_CONSTANT, 1])
        before = dict(self.names)
        self.names[target.id] = [_VARIABLE, self.depth]
        self.out.begin_loop(self.depth, *codes)
        self.depth += 1
        self.block(statement.body)
        self.depth -= 1
        self.out.end()
        self.names = before

    def unrolled(self, statement: ast.For, name: str) -> None:
        target = statement.target
        if not isinstance(target, ast.Tuple) or not all(isinstance(x, ast.Name) for x in target.elts):
            self.of.refuse(statement, f"a loop over {name} has two variables: for a, b in {name}")
        before = dict(self.names)
        for pair in before[name]:
            if len(pair) != len(target.elts):
                self.of.refuse(statement, f"{pair} of {name} has not {len(target.elts)} numbers")
            self.names = dict(before)
            self.names.update({ast.unparse(x): value for x, value in zip(target.elts, pair, strict=True)})
            self.block(statement.body)
        self.names = before

    def choice(self, statement: ast.If) -> None:
        self.out.begin_if(self.expression(statement.test))
        before = dict(self.names)
        self.block(statement.body)
        self.names = dict(before)
        if statement.orelse:
            self.out.otherwise()
            self.block(statement.orelse)
        self.names = before
        self.out.end()

    def assignment(self, statement: ast.Assign, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            if target.id in self.matrices:
                self.of.refuse(statement, f"{target.id} is a matrix: assign its tiles")
            self.names[target.id] = self.expression(statement.value)
            return
        targets = list(target.elts) if isinstance(target, ast.Tuple) else [target]
        call = statement.value
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            self.of.refuse(statement, "tiles are assigned by calls of kernels")
        if call.func.id not in _KERNELS:
            self.of.refuse(call, f"no kernel {call.func.id}: {', '.join(_KERNELS)}")
        self.call(call, call.func.id, targets)

    def call(self, call: ast.Call, name: str, targets: list[ast.expr]) -> None:
        number, kinds, reads, options = _KERNELS[name]
        if len(targets) != len(kinds):
            self.of.refuse(call, f"{name} gives {len(kinds)} tiles, {len(targets)} are assigned")
        arguments = [self.tile(x) for x in call.args]
        made = [self.tile(x) for x in targets]
        changed = [t for t, kind in enumerate(kinds) if kind != "w"]
        # gemm and herk start from zero without an old value; all others change one.
        fresh = len(arguments) == reads and name in ("gemm", "herk")
        if len(arguments) != reads + (0 if fresh else len(changed)):
            self.of.refuse(call, f"{name} takes {reads + len(changed)} tiles, not {len(arguments)}")
        flags, alpha = self.options(call, name, options)
        references: list[Reference] = [(matrix, _WRITE, indices) for matrix, indices in made]
        sources: list[Reference] = []
        if not fresh:
            for old, t in zip(arguments[: len(changed)], changed, strict=True):
                if old == made[t]:
                    references[t] = (*made[t][:1], _UPDATE, made[t][1])
                elif kinds[t] == "*":
                    self.of.refuse(call, f"{name} changes several tiles in place: assign them to themselves")
                else:
                    flags |= _FROM_SOURCE << t
                    sources.append((old[0], _READ, old[1]))
        rest = arguments if fresh else arguments[len(changed) :]
        references += [(matrix, _READ, indices) for matrix, indices in rest]
        self.out.call(number, flags, alpha, references + sources)
        self.kernels.append(name)

    def options(self, call: ast.Call, name: str, options: str) -> tuple[int, float]:
        flags, alpha = 0, 1.0
        for keyword in call.keywords:
            try:
                value = ast.literal_eval(keyword.value)
            except ValueError:
                value = self.names.get(ast.unparse(keyword.value))
            if keyword.arg == "alpha" and isinstance(value, (int, float)):
                alpha = float(value)
            elif keyword.arg in _FLAGS and _FLAGS[keyword.arg][0] in options and isinstance(value, (bool, int)):
                flags |= _FLAGS[keyword.arg][1] if value else 0
            else:
                have = [flag for flag, (letter, _) in _FLAGS.items() if letter in options]
                self.of.refuse(call, f"{name} has no option {keyword.arg}={ast.unparse(keyword.value)}: {have}, alpha")
        return flags, alpha

    def tile(self, node: ast.expr) -> tuple[int, list[tuple[Code, Code | None]]]:
        if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
            self.of.refuse(node, f"{ast.unparse(node)!r} is no tile: X[i, j]")
        if node.value.id not in self.matrices:
            self.of.refuse(node, f"{node.value.id} is no matrix of this program: {', '.join(self.matrices)}")
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        indices: list[tuple[Code, Code | None]] = []
        for part in parts:
            if not isinstance(part, ast.Slice):
                indices.append((self.expression(part), None))
            elif part.lower is None or part.upper is None or part.step is not None:
                self.of.refuse(node, "a range of tiles says its first and its end, and has no step")
            else:
                indices.append((self.expression(part.lower), self.expression(part.upper)))
        return self.matrices[node.value.id], indices

    def expression(self, node: ast.expr) -> Code:
        match node:
            case ast.Constant(value=int(number)):
                return [_CONSTANT, int(number)]
            case ast.Name(id=name):
                value = self.names.get(name)
                if value is None or (isinstance(value, list) and name in self.of.pairs):
                    self.of.refuse(node, f"{name} is no number here")
                return [_CONSTANT, value] if isinstance(value, int) else value
            case ast.BinOp(left=ast.Constant(value=2), op=ast.Pow(), right=right):
                return [*self.expression(right), _POWER2, 0]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return [*self.expression(left), *self.expression(right), _BINARY[type(op)], 0]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return [*self.expression(operand), _NEGATE, 0]
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return [*self.expression(operand), _NOT, 0]
            case ast.BoolOp(op=op, values=[first, *rest]):
                code = self.expression(first)
                for value in rest:
                    code = [*code, *self.expression(value), _AND if isinstance(op, ast.And) else _OR, 0]
                return code
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                a, b = self.expression(left), self.expression(right)
                if type(op) in _COMPARE:
                    number, swapped = _COMPARE[type(op)]
                    return [*(b if swapped else a), *(a if swapped else b), number, 0]
                if isinstance(op, (ast.Eq, ast.NotEq)):
                    return [*a, *b, _EQUAL if isinstance(op, ast.Eq) else _NOT_EQUAL, 0]
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS and args:
                codes = [self.expression(x) for x in args]
                if name.endswith("log2") and len(codes) == 1:
                    return [*codes[0], _FUNCTIONS[name], 0]
                if name in ("min", "max"):
                    code = codes[0]
                    for other in codes[1:]:
                        code = [*code, *other, _FUNCTIONS[name], 0]
                    return code
        self.of.refuse(node, f"{ast.unparse(node)!r} is no expression of whole numbers that may stand here")
