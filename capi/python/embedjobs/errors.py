"""Errors by what is to be done about them. A callback raises them to say the same to the engine."""
from typing import Dict, Type


class Error(Exception):
    """What the library answered, or what a callback wants it to know. `code` is a number of embedjobs_code in embedjobs.h."""

    code = 1

    def __init__(self, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        #: Seconds that a provider asked to wait; 0 when it did not say. Only `Paused` has one.
        self.retry_after = retry_after


class Retry(Error):
    """A passing fault: tried again later."""

    code = 1


class Paused(Error):
    """The provider limits, loads or can't be reached: waits, and costs no attempt."""

    code = 2


class Timeout(Error):
    """It took too long. A provider call is repeated with half the batch."""

    code = 3


class BatchTooLarge(Error):
    """The batch as a whole is too large: it is split."""

    code = 4


class InputTooLarge(Error):
    """One text is too long for the model: it is found and cut."""

    code = 5


class InputRejected(Error):
    """One text can't be embedded: it is found and set aside."""

    code = 6


class Failed(Error):
    """Trying again will not help."""

    code = 7


class LeaseLost(Error):
    """The caller holds the lease no more, and nothing was changed."""

    code = 8


class Gone(Error):
    """The document does not exist any more."""

    code = 9


class Cancelled(Error):
    """Ended because somebody asked for it."""

    code = 10


class InvalidArgument(Error, ValueError):
    """The call itself is wrong."""

    code = 11


class InvalidDocument(Error, ValueError):
    """The document can't be read; the message names the place."""

    code = 12


class NotFound(Error, LookupError):
    """What was asked for does not exist."""

    code = 13


class Refused(Error):
    """Not allowed in this state."""

    code = 14


class Incomplete(Error):
    """A manifest names texts whose vectors are not stored."""

    code = 15


class Unusable(Error):
    """The database can't be used as it is."""

    code = 16


class Internal(Error):
    """A defect, in the library or in a callback."""

    code = 17


BY_CODE: Dict[int, Type[Error]] = {error.code: error for error in Error.__subclasses__()}
