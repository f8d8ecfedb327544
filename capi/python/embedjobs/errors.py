"""Errors by what is to be done about them. A callback raises them to say the same to the engine."""
from typing import Dict, Type

from ._abi import Code


class Error(Exception):
    """What the library answered, or what a callback wants it to know. `code` is a number of embedjobs_code in
    embedjobs.h."""

    code: int = Code.RETRY.value

    def __init__(self, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        #: Seconds that a provider asked to wait; 0 when it did not say. Only `Paused` has one.
        self.retry_after = retry_after


class Retry(Error):
    """A passing fault: tried again later."""

    code = Code.RETRY.value


class Paused(Error):
    """The provider limits, loads or can't be reached: waits, and costs no attempt."""

    code = Code.PAUSED.value


class Timeout(Error):
    """It took too long. A provider call is repeated with half the batch."""

    code = Code.TIMEOUT.value


class BatchTooLarge(Error):
    """The batch as a whole is too large: it is split."""

    code = Code.BATCH_TOO_LARGE.value


class InputTooLarge(Error):
    """One text is too long for the model: it is found and cut."""

    code = Code.INPUT_TOO_LARGE.value


class InputRejected(Error):
    """One text can't be embedded: it is found and set aside."""

    code = Code.INPUT_REJECTED.value


class Failed(Error):
    """Trying again will not help."""

    code = Code.FAILED.value


class LeaseLost(Error):
    """The caller holds the lease no more, and nothing was changed."""

    code = Code.LEASE_LOST.value


class Gone(Error):
    """The document does not exist any more."""

    code = Code.GONE.value


class Cancelled(Error):
    """Ended because somebody asked for it."""

    code = Code.CANCELLED.value


class InvalidArgument(Error, ValueError):
    """The call itself is wrong."""

    code = Code.INVALID_ARGUMENT.value


class InvalidDocument(Error, ValueError):
    """The document can't be read; the message names the place."""

    code = Code.INVALID_DOCUMENT.value


class NotFound(Error, LookupError):
    """What was asked for does not exist."""

    code = Code.NOT_FOUND.value


class Refused(Error):
    """Not allowed in this state."""

    code = Code.REFUSED.value


class Incomplete(Error):
    """A manifest names texts whose vectors are not stored."""

    code = Code.INCOMPLETE.value


class Unusable(Error):
    """The database can't be used as it is."""

    code = Code.UNUSABLE.value


class Internal(Error):
    """A defect, in the library or in a callback."""

    code = Code.INTERNAL.value


BY_CODE: Dict[int, Type[Error]] = {error.code: error for error in Error.__subclasses__()}
