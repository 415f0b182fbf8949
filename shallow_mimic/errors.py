"""What a user is meant to read, as exceptions."""


class UserError(Exception):
  """A user's mistake or a machine's fault, told in one line.

  The message says what is wrong, where, and what to do. The launch scripts
  print it without a traceback and exit with a status that is not 0.
  """


class MissingError(UserError):
  """A file or folder that a user named is not there."""


class Stopped(KeyboardInterrupt):
  """A signal has ended the work, and everything done so far is saved.

  No `except Exception` takes it for a fault. The launch scripts print its
  message and exit with `status`: 130 for Ctrl-C, 75 for other signals.
  """

  def __init__(self, message: str, status: int):
    super().__init__(message)
    self.status = status
