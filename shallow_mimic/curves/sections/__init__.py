"""The report, a file a figure or table: find, draw, say and tabulate."""
