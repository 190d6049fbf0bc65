"""Rows of the op cases: products of matrices and einsum."""

from __future__ import annotations

from typing import Any

import numpy as np

from cases.case import Bad, Case, Operands
from chainrule.errors import DTypeError, SettingError, ShapeError
from chainrule.graph import Node
from chainrule.ops.build import constant
from chainrule.ops.contract import matmul
from chainrule.ops.einsum import einsum


def zeros(*shape: int) -> Node:
    return constant(np.zeros(shape, "float32"))


def summed(equation: str, *shapes: Operands, batch: tuple[int, ...] = ()) -> Case:
    """A row for an equation; NumPy's own einsum, unoptimised, is the reference."""
    return Case(
        f"einsum {equation}",
        lambda *operands: einsum(equation, *operands),
        lambda *operands: np.einsum(equation, *operands, optimize=False),
        shapes,
        batch=batch,
    )


def misused(equation: str, *operands: Any, match: str, error: Any = SettingError) -> Bad:
    return Bad(lambda: einsum(equation, *operands), error, match)


CASES = (
    Case(
        "matmul", matmul, np.matmul,
        (
            ((1, 1), (1, 1)), ((2, 3), (3, 4)), ((7, 8), (8, 9)), ((1, 33), (33, 1)),
            ((17, 1), (1, 5)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((4, 3), (3, 0)),
        ),
        ops=("matmul",), batch=(0,),
        bad=(
            Bad(lambda: matmul(zeros(2, 3), zeros(2, 3)), ShapeError, r"\(2, 3\) and \(2, 3\)"),
            Bad(lambda: matmul(zeros(3), zeros(2, 3)), ShapeError, "inner sizes"),
            Bad(lambda: matmul(zeros(4, 2, 3), zeros(4, 2, 3)), ShapeError, "inner sizes"),
            Bad(lambda: matmul(zeros(4, 2, 3), zeros(5, 3, 2)), ShapeError, "do not broadcast"),
            Bad(lambda: matmul(2.0, zeros(2)), ShapeError, "multiply by it"),
            Bad(lambda: matmul(zeros(2, 2), constant([[1, 2]])), DTypeError, "one dtype"),
        ),
    ),
    Case("matmul of vectors", matmul, np.matmul, (((1,), (1,)), ((7,), (7,)), ((0,), (0,)))),
    Case(
        "matmul, vector right", matmul, np.matmul, (((2, 3), (3,)), ((5, 2, 3), (3,))), batch=(0,)
    ),
    Case("matmul, vector left", matmul, np.matmul, (((3,), (3, 2)), ((3,), (4, 3, 2))), batch=()),
    Case(
        "matmul, rows contracted", matmul, np.matmul, (((4,), (4, 2)), ((4,), (4,))), batch=(0, 1)
    ),
    Case(
        "matmul, batch by matrix", matmul, np.matmul, (((5, 2, 3), (3, 4)), ((2, 3, 1, 4), (4, 2))),
        ops=("einsum",), batch=(0,),
    ),
    Case(
        "matmul, batches", matmul, np.matmul,
        (((5, 2, 3), (5, 3, 4)), ((3, 2, 2, 1), (3, 2, 1, 2))), ops=("einsum",), batch=(0, 1),
    ),
    Case(
        "matmul, batches that broadcast", matmul, np.matmul,
        (
            ((2, 3), (4, 3, 2)), ((1, 2, 3), (4, 3, 2)), ((2, 1, 2, 3), (5, 3, 2)),
            ((5, 1, 2, 3), (1, 4, 3, 2)), ((1, 2, 3), (1, 3, 2)), ((1, 2, 3), (0, 3, 2)),
        ),
        batch=(),
    ),
    Case(
        "matmul of integers", matmul, np.matmul, (((2, 3), (3, 4)),), kinds=("int", "int"),
        batch=(0,),
    ),
    Case(
        "einsum", lambda x, w: einsum("ij,jk->ik", x, w), np.matmul, (((2, 3), (3, 4)),),
        ops=("einsum",), batch=(0,),
        bad=(
            misused("ij,jk->ik", zeros(2, 3), match="2 terms for 1 operands"),
            misused("ij->i", zeros(2, 3), zeros(2), match="1 terms for 2 operands"),
            misused("i1->i", zeros(2, 3), match="'1' is not a label"),
            misused("i.j->i", zeros(2, 3), match=r"'\.' is not a label"),
            misused("ij->ik", zeros(2, 3), match="'k' of the result is in no operand"),
            misused("ij->ii", zeros(2, 3), match="occurs twice in the result"),
            misused("ij->i->j", zeros(2, 3), match="not a label"),
            misused("ij->...i", zeros(2, 3), match="of the result is in no operand"),
            misused("ijk->i", zeros(2, 3), match="3 axes", error=ShapeError),
            misused("...ijk->i", zeros(2, 3), match="3 axes or more", error=ShapeError),
            misused("ij,jk->ik", zeros(2, 3), zeros(4, 2), match="3 and 4", error=ShapeError),
            misused("ii->i", zeros(2, 3), match="2 and 3", error=ShapeError),
            misused("i,i->", zeros(2), constant([1, 2]), match="one dtype", error=DTypeError),
            misused("", match="1 terms for 0 operands"),
        ),
    ),
    summed("ij->ji", ((2, 3),), ((1, 0),), batch=(0,)),
    summed("ij->", ((2, 3),), batch=(0,)),
    summed("ba", ((2, 3),), batch=(0,)),
    summed("i->", ((0,),), ((9,),)),
    summed("ii", ((3, 3),)),
    summed("ii->i", ((3, 3),), ((1, 1),)),
    summed("iji->j", ((3, 2, 3),)),
    summed("iii->i", ((3, 3, 3),)),
    summed("jii,i->ji", ((2, 3, 3), (3,)), batch=(0,)),
    summed("i,i", ((7,), (7,)), batch=(0, 1)),
    summed("i,j->ij", ((3,), (4,)), batch=(0,)),
    summed("i,j", ((3,), (4,))),
    summed("bi,bj->bij", ((4, 2), (4, 3)), batch=(0, 1)),
    summed("bi,bj->ij", ((4, 2), (4, 3)), batch=(0, 1)),
    summed("bth,bsh->bts", ((4, 2, 3), (4, 5, 3)), batch=(0, 1)),
    summed("bi,ij->b", ((4, 2), (2, 3)), batch=(0,)),
    summed("ij,ij->ij", ((2, 3), (2, 3)), batch=(0, 1)),
    summed("ij,ij->", ((2, 3), (2, 3)), batch=(0, 1)),
    summed("bi,ijk,bk->bj", ((4, 2), (2, 3, 2), (4, 2)), batch=(0, 2)),
    summed("i,j,k->kij", ((2,), (3,), (4,))),
    summed("i,i,i->", ((3,), (3,), (3,)), batch=(0, 1, 2)),
    summed("...i,i->...", ((2, 3), (3,)), ((3,), (3,)), ((2, 1, 3), (3,))),
    summed("...ij,...jk->...ik", ((4, 2, 3), (1, 3, 2)), ((2, 3), (4, 3, 2))),
    summed("i...,i...", ((3, 1, 2), (3, 4, 2))),
    summed("a...b->b...", ((2, 4, 3),), ((2, 3),)),
    summed("...,...", ((2, 3), (3,)), ((1,), (1,))),
    summed(" i j , j k -> i k ", ((2, 3), (3, 4)), batch=(0,)),
)  # fmt: skip
