"""Scripts: `python -m launch.run --config=NAME --workdir=DIR`.

In an installed copy this package is `shallow_mimic.launch`, and the scripts are
subcommands of `shallow-mimic`: modules here import each other relatively.
"""
