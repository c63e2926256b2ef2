"""The one exception for mistakes that a user can fix: it becomes a message, not a traceback."""

# What a function returns that writes messages, or parts of them. No result may depend on it: an
# edit of its words reruns nothing (code.py).
Message = str


class UserError(Exception):
    """Bad input or a bad environment. The message says what was found and what is expected."""
