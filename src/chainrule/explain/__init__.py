"""Inspection: traces, formulas, gradients checked against finite differences."""
