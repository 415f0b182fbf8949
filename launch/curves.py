"""Runs the stage `curves` alone; the stages before it must be finished.

python -m launch.curves --config=launch/configs/mnist1d.py --workdir=DIR
"""

from launch import app, stage

if __name__ == '__main__':
  app.start(lambda: stage.run('curves'))
