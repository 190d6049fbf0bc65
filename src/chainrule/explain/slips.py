"""The slips that are made when a network is computed by hand: their names and sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chainrule.explain import mistakes
from chainrule.explain.mistakes import Line, Wrong


@dataclass(frozen=True)
class Slip:
    """One slip.

    Attributes:
        name: in code, here and on the page.
        part: of the lines that it can happen in; empty for all.
        sentence: says what went wrong; {x} is the name of the line's node, {c} of its reader.
        wrong: the results that it would give.
        deep: whether it is searched in lines before the wrong one, too.
    """

    name: str
    part: str
    sentence: str
    wrong: Callable[[Line], Wrong]
    deep: bool = True


SLIPS: tuple[Slip, ...] = (
    Slip("bias_forgotten", "forward", "the bias is not added", mistakes.bias_forgotten),
    Slip("activation_forgotten", "forward", "the activation is not applied: this is the number "
         "before it", mistakes.activation_forgotten),
    Slip("exponent_sign", "forward", "the minus in the exponent is lost: sigmoid(z) is "
         "1 / (1 + exp(-z))", mistakes.exponent_sign),
    Slip("other_activation", "forward", "another activation is applied", mistakes.other_activation),
    Slip("square_forgotten", "forward", "the number is not squared", mistakes.square_forgotten),
    Slip("order_reversed", "forward", "the operands are in the other order, so that the sign is "
         "wrong or the fraction is upside down", mistakes.order_reversed),
    Slip("divisor_forgotten", "forward", "the division is left out or turned into a product",
         mistakes.divisor_forgotten),
    Slip("weights_of_neighbour", "forward", "the weights are those of another unit: a column "
         "belongs to a unit", mistakes.weights_of_neighbour),
    Slip("weights_transposed", "forward", "the weights are read by rows: a column belongs to a "
         "unit", mistakes.weights_transposed),
    Slip("product_forgotten", "forward", "one product is missing in the sum",
         mistakes.product_forgotten),
    Slip("term_forgotten", "forward", "one of the two operands is left out",
         mistakes.term_forgotten),
    Slip("sum_for_mean", "forward", "a sum and a mean are mixed up", mistakes.sum_for_mean),
    Slip("logarithm_base", "forward", "the logarithm is that to base 10: log is the natural one",
         mistakes.logarithm_base),
    Slip("slope_missing", "backward", "the slope of {c} is missing: what comes back is multiplied "
         "by the derivative of {c}", mistakes.slope_missing),
    Slip("one_reader", "backward", "{x} is read by several, and only a part of them is counted: "
         "what comes back from all is added", mistakes.one_reader),
    Slip("slope_alone", "backward", "this is the slope of {c} alone: it is multiplied by the "
         "gradient that comes back", mistakes.slope_alone),
    Slip("slope_of_input", "backward", "the slope is written with the input in place of the "
         "output of {c}", mistakes.slope_of_input),
    Slip("slope_at_output", "backward", "the derivative of {c} is taken at its output in place of "
         "its input", mistakes.slope_at_output),
    Slip("slope_incomplete", "backward", "a factor of the slope of {c} is missing",
         mistakes.slope_incomplete),
    Slip("unit_forgotten", "backward", "{x} feeds several units, and only a part of them is "
         "counted: what comes back from all is added", mistakes.unit_forgotten),
    Slip("gradient_of_neighbour", "backward", "a weight, an input or a gradient of a neighbour is "
         "taken", mistakes.gradient_of_neighbour),
    Slip("gradient_transposed", "backward", "rows and columns are mixed up: the way back takes "
         "the transpose", mistakes.gradient_transposed),
    Slip("weight_missing", "backward", "the weight on the way back is missing",
         mistakes.weight_missing),
    Slip("input_before_activation", "backward", "the number before the activation is taken: the "
         "input of a weight is the output of the unit before it", mistakes.input_before_activation),
    Slip("input_missing", "backward", "the input of the weight is missing: a weight's gradient is "
         "its input times the gradient of its unit", mistakes.input_missing),
    Slip("rows_averaged", "backward", "the mean over the rows is taken in place of their sum",
         mistakes.rows_averaged),
    Slip("not_updated", "update", "this is the old value", mistakes.not_updated),
    Slip("added", "update", "the step is added: it goes against the gradient, so it is "
         "subtracted", mistakes.added),
    Slip("rate_forgotten", "update", "the rate is left out", mistakes.rate_forgotten),
    Slip("step_alone", "update", "this is the step alone: it is subtracted from the old value",
         mistakes.step_alone),
    Slip("sign", "", "the sign is wrong", mistakes.sign),
    Slip("factor_two", "", "a factor of 2 or 1/2 is lost or too many", mistakes.factor_two),
    Slip("decimal_point", "", "the decimal point is at another place",
         mistakes.decimal_point, deep=False),
)  # fmt: skip
"""All slips; the first that explains a number is told."""
