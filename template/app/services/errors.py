"""What can go wrong, in the words of the business; `app/api/errors.py` says what each means over HTTP."""


class NotFoundError(Exception):
    """What was asked for is not there."""


class ConflictError(Exception):
    """It contradicts what is there already."""
