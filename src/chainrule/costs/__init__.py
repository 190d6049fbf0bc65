"""The cost of a plan: work, time and memory, predicted and measured."""
