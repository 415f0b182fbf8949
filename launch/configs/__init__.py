"""Experiments, one a file; its docstring is its command, cost and outcome."""
