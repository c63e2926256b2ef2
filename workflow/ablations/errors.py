"""The one exception for mistakes that a user can mend: it becomes a message, never a traceback."""


class UserError(Exception):
    """Bad input or a bad environment. The message says what was found and what is expected."""
