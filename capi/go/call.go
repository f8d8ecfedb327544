package embedjobs

// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"
	"unsafe"
)

// How often a context whose Done is asked for looks whether the call was cancelled.
const cancelPoll = 20 * time.Millisecond

// callContext is the context of a callback. It costs nothing until its Done is asked for, and ends with the callback.
type callContext struct {
	mutex sync.Mutex
	call  *C.embedjobs_call // Nil: the callback has returned.
	done  chan struct{}
	err   error
	quit  chan struct{}
}

// Deadline is when the call should end with ErrTimeout.
func (c *callContext) Deadline() (time.Time, bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.call == nil {
		return time.Time{}, false
	}
	left := C.embedjobs_call_remaining_ms(c.call)
	if left < 0 {
		return time.Time{}, false
	}
	return time.Now().Add(time.Duration(left) * time.Millisecond), true
}

// Value is nil: a callback comes from the library.
func (c *callContext) Value(any) any { return nil }

// Err is nil, context.Canceled or context.DeadlineExceeded.
func (c *callContext) Err() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.look()
}

// look finds out whether the call has ended; the mutex is held.
func (c *callContext) look() error {
	if c.err != nil || c.call == nil {
		return c.err
	}
	if C.embedjobs_call_is_cancelled(c.call) != 0 {
		c.err = context.Canceled
	} else if C.embedjobs_call_remaining_ms(c.call) == 0 {
		c.err = context.DeadlineExceeded
	}
	if c.err != nil && c.done != nil {
		close(c.done)
	}
	return c.err
}

// Done is closed when the result is not wanted any more.
func (c *callContext) Done() <-chan struct{} {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.done == nil {
		c.done, c.quit = make(chan struct{}), make(chan struct{})
		if c.err != nil {
			close(c.done)
		} else if c.call != nil {
			go c.watch(c.quit)
		}
	}
	return c.done
}

func (c *callContext) watch(quit <-chan struct{}) {
	ticker := time.NewTicker(cancelPoll)
	defer ticker.Stop()
	for {
		select {
		case <-quit:
			return
		case <-ticker.C:
			if c.Err() != nil {
				return
			}
		}
	}
}

// end cuts the context off from the call, which is over; whoever still waits for it is let go.
func (c *callContext) end() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.call = nil
	if c.quit != nil {
		close(c.quit)
	}
	if c.err == nil {
		c.err = context.Canceled
		if c.done != nil {
			close(c.done)
		}
	}
}

// answer runs a callback: it returns how many things it has dealt with, or an error. A panic is an error of the host,
// with its stack in the log; *done stays what it was then, which is the proof that the callback did not finish.
func (h *host) answer(call *C.embedjobs_call, done *C.size_t, what string,
	body func(ctx context.Context) (int, error)) (code C.int32_t) {
	ctx := &callContext{call: call}
	defer ctx.end()
	returned := false
	defer func() {
		if panicked := h.ended(what, returned, recover()); panicked != "" {
			code = failed(call, &Error{Code: ErrInternal.Code, Message: panicked})
		}
	}()
	count, err := body(ctx)
	if err != nil {
		code = failed(call, err)
	} else {
		*done = C.size_t(count)
		code = C.EMBEDJOBS_OK
	}
	returned = true
	return code
}

// ended says how a callback that did not return has ended, and puts its stack in the log; "" when it returned.
func (h *host) ended(what string, returned bool, panicked any) string {
	if returned {
		return ""
	}
	if panicked == nil {
		// The frames of C below can't be unwound, and Go ends a thread of the library with the process: say which callback it
		// was.
		message := what + " called runtime.Goexit (t.FailNow, t.Fatal?) in a callback, which must return"
		h.logError(message)
		fmt.Fprintf(os.Stderr, "embedjobs: fatal error: %s\n%s\n", message, debug.Stack())
		os.Exit(2)
	}
	message := fmt.Sprintf("%s panicked: %v", what, panicked)
	h.logError(message + "\n" + string(debug.Stack()))
	return message
}

// logError survives a logger that panics: nobody is left to tell.
func (h *host) logError(message string) {
	defer func() { _ = recover() }()
	h.log.Error(message)
}

// failed tells the library why, and gives the code to return.
func failed(call *C.embedjobs_call, err error) C.int32_t {
	code, retryAfter := codeOf(err)
	if retryAfter > 0 {
		C.embedjobs_call_set_retry_after_ms(call, C.int64_t(retryAfter.Milliseconds()))
	}
	message := err.Error()
	if message != "" {
		C.embedjobs_call_set_error(call, (*C.char)(unsafe.Pointer(unsafe.StringData(message))), C.size_t(len(message)))
	}
	return C.int32_t(code)
}
