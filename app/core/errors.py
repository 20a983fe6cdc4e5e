"""The one error that people see."""


class UnmaskError(Exception):
    """Something the user can mend. The message is one sentence that names the file and the remedy."""
