"""Tile programs: what is read, what is refused, dependencies both ways, the order of results."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daybreak.base import errors
from daybreak.linalg import Matrix, lambdapack, programs
from daybreak.linalg.kernels import copy, fill, gemm, potrf
from daybreak.linalg.lambdapack import Bound, Node, Pairs, Tiles, program
from daybreak.linalg.running import Scratch, execute, settings_of


def brute(bound: Bound) -> dict[Node, tuple[set[Node], set[Node]]]:
    """Parents and children by looking at every call in order: the tiles that each reads and writes."""
    calls = _references(bound)
    writer: dict[Any, Node] = {}
    found: dict[Node, tuple[set[Node], set[Node]]] = {node: (set(), set()) for node in bound.nodes()}
    for node in bound.nodes():
        reads, writes = calls(node)
        for tile in reads:
            if tile in writer:
                found[node][0].add(writer[tile])
                found[writer[tile]][1].add(node)
        for tile in writes:
            writer[tile] = node
    return found


def _references(bound: Bound) -> Any:
    """By a plain reading of the program's text: exec of each call with its kernels replaced by a recorder."""
    import ast
    import copy

    body = bound.program._body
    recorded: list[tuple[set[Any], set[Any]]] = []

    class Rewrite(ast.NodeTransformer):
        def visit_Assign(self, node: ast.Assign) -> Any:
            if isinstance(node.targets[0], ast.Name):
                return node
            targets = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else [node.targets[0]]
            assert isinstance(node.value, ast.Call)
            text = (
                f"_record([{', '.join(_tile(x) for x in node.value.args)}], [{', '.join(_tile(x) for x in targets)}])"
            )
            return ast.parse(text).body[0]

    def _tile(node: Any) -> str:
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        texts = [
            f"range({ast.unparse(p.lower)}, {ast.unparse(p.upper)})" if isinstance(p, ast.Slice) else ast.unparse(p)
            for p in parts
        ]
        return f"({node.value.id!r}, {', '.join(texts)})"

    def record(arguments: list[Any], targets: list[Any]) -> None:
        recorded.append(({y for x in arguments for y in _names(x)}, {y for x in targets for y in _names(x)}))

    def _names(tile: tuple[Any, ...]) -> list[Any]:
        names = [(tile[0],)]
        for index in tile[1:]:
            names = [(*n, i) for n in names for i in (index if isinstance(index, range) else [index])]
        return names

    module = ast.Module([Rewrite().visit(copy.deepcopy(s)) for s in body], [])
    ast.fix_missing_locations(module)
    scope = {"_record": record, "ceil_log2": lambda n: (n - 1).bit_length(), **bound.values}  # type: ignore[attr-defined]
    exec(compile(module, "program", "exec"), scope)
    order = {node: n for n, node in enumerate(bound.nodes())}
    assert len(order) == len(recorded)
    return lambda node: recorded[order[node]]


def bind(made: lambdapack.Program, **values: Any) -> Bound:
    bound = made.bind(**values)
    bound.values = values  # type: ignore[attr-defined]
    return bound


PANELS = [(0, 2), (2, 3), (3, 5)]
BOUND = [
    (programs.cholesky, {"n": 5, "panels": PANELS}),
    (programs.cholesky, {"n": 6, "panels": [(0, 6)]}),
    (programs.matmul, {"m": 4, "n": 3, "k": 5, "down": 2, "across": 2}),
    (programs.lu, {"m": 6, "n": 5, "r": 5, "panels": PANELS}),
    (programs.lu_solve, {"n": 5, "rhs": 2}),
    (programs.lu_factors, {"m": 6, "n": 5, "r": 5}),
    (programs.qr, {"m": 5, "n": 5, "r": 5, "panels": PANELS}),
    (programs.apply_q, {"m": 5, "r": 4, "adjoint": 0, "eye": 1, "panels": [(0, 2), (2, 4)]}),
    (programs.tsqr, {"m": 7, "levels": 3}),
    (programs.cholesky_solve, {"n": 5, "rhs": 2}),
    (programs.triangular_solve, {"n": 4, "rhs": 2, "is_upper": 1, "is_unit": 0}),
]


@pytest.mark.parametrize(("made", "values"), BOUND, ids=lambda x: getattr(x, "name", None))
def test_parents_and_children_are_solved_as_a_look_at_all_calls_finds_them(
    made: lambdapack.Program, values: dict[str, Any]
) -> None:
    bound = bind(made, **values)
    known = brute(bound)
    nodes = bound.nodes()
    assert len(nodes) > 10
    for node in nodes:
        assert set(bound.parents(node)) == known[node][0], node
        assert set(bound.children(node)) == known[node][1], node
    order = {node: n for n, node in enumerate(nodes)}
    assert all(order[p] < order[node] for node in nodes for p in bound.parents(node))


def test_a_large_program_is_solved_without_its_graph() -> None:
    bound = programs.cholesky.bind(n=200, panels=[(0, 200)])
    last = Node("potrf", (199,), next(n for n, k in enumerate(bound._kernels) if k == "potrf"))
    [parent] = bound.parents(last)
    assert parent.kernel == "herk"
    assert last in bound.children(parent)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 6), st.integers(1, 3), st.integers(-2, 3), st.integers(1, 3), st.booleans(), st.integers(0, 4))
def test_strides_offsets_and_conditions_are_solved(n: int, a: int, b: int, step: int, down: bool, cut: int) -> None:
    @program
    def scattered(X: Tiles, A: Tiles, n: int, a: int, b: int, step: int, down: int, cut: int) -> None:
        for i in range(0, n * step, step):
            X[a * i + b + 10, 0] = copy(A[i, 0])
        if down == 1:
            for i in range(n * step - 1, -1, -1):
                if i % step == 0 and not i > cut:
                    X[b + i * a + 10, 0] = gemm(X[a * i + b + 10, 0], A[i, 0], A[0, i])
                else:
                    X[100 + i, i // 2] = copy(A[min(i, 3), max(i, 2)])
        else:
            for i in range(n):
                for j in range(i + 1):
                    X[200 + i, j] = copy(X[a * (i - j) * step + b + 10, 0])

    bound = bind(scattered, n=n, a=a, b=b, step=step, down=int(down), cut=cut)
    known = brute(bound)
    for node in bound.nodes():
        assert set(bound.parents(node)) == known[node][0]
        assert set(bound.children(node)) == known[node][1]


def test_each_call_run_twice_leaves_the_same_bits() -> None:
    """A task whose inputs are all of other tiles may run again; so may one that starts from its source."""

    @program
    def twice(C: Tiles, D: Tiles, A: Tiles, n: int) -> None:
        for i in range(n):
            C[i, 0] = gemm(A[i, 0], A[0, 0])
            D[i, 0] = gemm(C[i, 0], A[i, 0], A[0, 0], alpha=0.5)

    a = np.random.default_rng(0).standard_normal((12, 4))
    A = Matrix.from_array(a, tile=4)
    results = []
    for _ in range(2):
        C, D = Matrix.create((12, 4), tile=4), Matrix.create((12, 4), tile=4)
        execute(twice, settings_of([A], None, 2), {"C": C, "D": D, "A": A}, ("C", "D"), n=3)
        results.append((np.asarray(C), np.asarray(D)))
    assert all(np.array_equal(x, y) for x, y in zip(*results, strict=True))
    np.testing.assert_allclose(results[0][1], 1.5 * (a @ a[:4]))


def test_single_assignment_is_checked_and_what_was_not_written_is_not_read() -> None:
    @program
    def again(C: Tiles, A: Tiles, n: int) -> None:
        for _i in range(n):
            C[0, 0] = copy(A[0, 0])

    @program
    def unwritten(C: Tiles, A: Tiles, S: Tiles) -> None:
        C[0, 0] = copy(S[0, 0])

    @program
    def writes_an_input(C: Tiles, A: Tiles) -> None:
        C[0, 0] = copy(A[0, 0])
        A[0, 0] = potrf(A[0, 0])

    @program
    def outside(C: Tiles, A: Tiles) -> None:
        C[0, 0] = copy(A[0, 7])

    A = Matrix.from_array(np.eye(4), tile=4)

    def run(made: Any, **values: Any) -> None:
        tiles = {"C": Matrix.create((4, 4), tile=4), "A": A, "S": Scratch((1, 1), (4, 4), (4, 4))}
        execute(made, settings_of([A], None, 1), {name: tiles[name] for name in made.matrices}, ("C",), **values)

    run(again, n=1)
    with pytest.raises(errors.InvalidArgumentError, match="a second time"):
        run(again, n=2)
    with pytest.raises(errors.InvalidArgumentError, match="before anything has written"):
        run(unwritten)
    with pytest.raises(errors.InvalidArgumentError, match="an input"):
        run(writes_an_input)
    with pytest.raises(errors.OutOfRangeError, match="outside of its tiles"):
        run(outside)


def test_text_that_is_no_tile_program_is_refused_with_its_line() -> None:
    def untyped(C: Tiles, n) -> None:  # type: ignore[no-untyped-def]
        C[0, 0] = fill()

    def loop_else(C: Tiles) -> None:
        for _i in range(3):
            pass
        else:
            C[0, 0] = fill()

    def calls_print(C: Tiles) -> None:
        print(C)

    def no_kernel(C: Tiles) -> None:
        C[0, 0] = np.exp(C[0, 0])

    def no_option(C: Tiles, A: Tiles) -> None:
        C[0, 0] = gemm(A[0, 0], A[0, 0], fast=True)

    def division(C: Tiles) -> None:
        C[1 / 2, 0] = fill()

    def unknown_name(C: Tiles) -> None:
        C[np, 0] = fill()

    def too_many(C: Tiles, A: Tiles) -> None:
        C[0, 0] = copy(A[0, 0], A[0, 1])

    def while_loop(C: Tiles) -> None:
        while True:
            C[0, 0] = fill()

    def imported(C: Tiles) -> None:
        __import__("os").system("false")

    with pytest.raises(errors.InvalidArgumentError, match="n is of nothing"):
        program(untyped)
    for made in (loop_else, calls_print, no_kernel, no_option, division, unknown_name, too_many, while_loop, imported):
        with pytest.raises(errors.InvalidArgumentError, match=r"test_programs\.py:\d+"):
            program(made).bind()

    @program
    def bad_pairs(C: Tiles, panels: Pairs) -> None:
        for a, b, c in panels:
            C[a, b + c] = fill()

    with pytest.raises(errors.InvalidArgumentError, match="has not 3 numbers"):
        bad_pairs.bind(panels=[(0, 1)])
    with pytest.raises(errors.InvalidArgumentError, match="missing or unknown"):
        bad_pairs.bind()

    @program
    def divides(C: Tiles, n: int) -> None:
        for i in range(4):
            for j in range(4 // (i - n)):
                C[i, j] = fill()

    with pytest.raises(errors.InvalidArgumentError, match="no value"):
        divides.bind(n=2).nodes()
