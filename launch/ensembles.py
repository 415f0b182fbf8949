"""Runs the stage `ensembles` alone; the stages before it must be finished.

python -m launch.ensembles --config=launch/configs/mnist1d.py --workdir=DIR
"""

from launch import app, stage

if __name__ == '__main__':
  app.start(lambda: stage.run('ensembles'))
