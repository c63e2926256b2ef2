"""The one exception for mistakes that a user can fix: it becomes a message, not a traceback."""


class UserError(Exception):
    """Bad input or a bad environment. The message says what was found and what is expected."""
