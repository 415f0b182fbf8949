"""Runs the stage `students` alone; the stages before it must be finished.

python -m launch.students --config=launch/configs/mnist1d.py --workdir=DIR
"""

from launch import app, stage

if __name__ == '__main__':
  app.start(lambda: stage.run('students'))
