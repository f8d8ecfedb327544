package embedjobs

// #include <embedjobs.h>
import "C"

import (
	"context"
	"errors"
	"time"
)

// Code says what to do about an error; the numbers are those of embedjobs_code in embedjobs.h.
type Code int32

// Error is what the library answered, or what a callback wants it to know. Errors with the same code are the same to
// errors.Is.
type Error struct {
	Code    Code
	Message string
	// RetryAfter is how long a provider asked to wait; zero when it did not say. Only ErrPaused has one.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Message
}

// Is compares codes, so that errors.Is(err, embedjobs.ErrNotFound) holds for every error of that code.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code
}

// String gives the code's lower-case name, "lease_lost" for example.
func (c Code) String() string { return C.GoString(C.embedjobs_code_name(C.int32_t(c))) }

// What a call may answer, and what a callback may return, wrapped if it likes (fmt.Errorf("...: %w",
// embedjobs.ErrFailed)).
var (
	ErrRetry           = &Error{Code: 1}  // A passing fault: tried again later.
	ErrPaused          = &Error{Code: 2}  // The provider limits, loads or can't be reached: waits, and costs no attempt.
	ErrTimeout         = &Error{Code: 3}  // It took too long; a provider call is repeated with half the batch.
	ErrBatchTooLarge   = &Error{Code: 4}  // The batch as a whole is too large: it is split.
	ErrInputTooLarge   = &Error{Code: 5}  // One text is too long for the model: it is found and cut.
	ErrInputRejected   = &Error{Code: 6}  // One text can't be embedded: it is found and set aside.
	ErrFailed          = &Error{Code: 7}  // Trying again will not help.
	ErrLeaseLost       = &Error{Code: 8}  // The caller holds the lease no more, and nothing was changed.
	ErrGone            = &Error{Code: 9}  // The document does not exist any more.
	ErrCancelled       = &Error{Code: 10} // Ended because somebody asked for it.
	ErrInvalidArgument = &Error{Code: 11} // The call itself is wrong.
	ErrInvalidDocument = &Error{Code: 12} // The document can't be read; the message names the place.
	ErrNotFound        = &Error{Code: 13} // What was asked for does not exist.
	ErrRefused         = &Error{Code: 14} // Not allowed in this state.
	ErrIncomplete      = &Error{Code: 15} // A manifest names texts whose vectors are not stored.
	ErrUnusable        = &Error{Code: 16} // The database can't be used as it is.
	ErrInternal        = &Error{Code: 17} // A defect, in the library or in a callback.
)

// check turns the answer of a call into an error, and frees what the library made. failure is where the call put it: an
// argument that is a variable may be read before the call that stands beside it.
func check(code C.int32_t, failure **C.embedjobs_error) error {
	if code == C.EMBEDJOBS_OK {
		return nil
	}
	defer C.embedjobs_error_destroy(*failure)
	return &Error{
		Code:       Code(code),
		Message:    C.GoString(C.embedjobs_error_message(*failure)),
		RetryAfter: time.Duration(C.embedjobs_error_retry_after_ms(*failure)) * time.Millisecond,
	}
}

// codeOf is what a callback's error means to the library.
func codeOf(err error) (Code, time.Duration) {
	var known *Error
	switch {
	case errors.As(err, &known) && known.Code > 0 && known.Code <= ErrInternal.Code:
		return known.Code, known.RetryAfter
	case errors.Is(err, context.Canceled):
		return ErrCancelled.Code, 0
	case errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout.Code, 0
	}
	return ErrRetry.Code, 0
}
