"""Scripts: `python -m launch.run --config=NAME --workdir=DIR`."""
