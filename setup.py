"""Which packages are installed; all else is in setup.cfg.

`launch` lies beside the package in a clone and is installed inside it: its own
name is ROS 2's, and any launch.py in the current folder would hide it.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=['shallow_mimic', 'shallow_mimic.*']),
        *(f'shallow_mimic.{name}'
          for name in find_packages(include=['launch', 'launch.*'])),
    ],
    package_dir={'shallow_mimic.launch': 'launch'},
)
