"""The one exception that a user is meant to read."""


class UserError(Exception):
  """A user's mistake or a machine's fault, told in one line.

  The message says what is wrong, where, and what to do. The launch scripts
  print it without a traceback and exit with a status that is not 0.
  """


class MissingError(UserError):
  """A file or folder that a user named is not there."""
