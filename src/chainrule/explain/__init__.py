"""Looking inside: traces, formulas, gradients held against differences."""
