// Package embedjobs keeps vector embeddings in step with documents: durable jobs, over the C interface of the library.
// See docs/go.md.
package embedjobs

// #cgo pkg-config: embedjobs_c
// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"runtime/cgo"
	"sync"
	"time"
)

// Types of C that stand in many signatures.
type (
	cEngine     = C.embedjobs_engine
	cError      = C.embedjobs_error
	cEnqueued   = C.embedjobs_enqueued
	cCancel     = C.embedjobs_cancel
	cIdleReport = C.embedjobs_idle_report
)

// Engine takes documents and gives searchable vectors. Its methods may be called from any goroutine.
type Engine struct {
	handle  *cEngine
	mutex   sync.Mutex // Never held while the library is called: callbacks call it, too.
	left    *sync.Cond // A call has returned.
	calls   int        // Under way: Close waits for them.
	closing bool       // No call begins any more.
}

// Open opens an engine; it does not work yet. Close it when it is not needed any more.
func Open(options Options) (*Engine, error) {
	if err := options.check(); err != nil {
		return nil, err
	}
	h := &host{embedder: options.Embedder, computer: options.Computer, persister: options.Persister,
		resolver: options.Resolver, log: options.Logger, onEvent: options.OnEvent, onReload: options.OnReload,
		secret: options.Secret}
	if h.log == nil {
		h.log = slog.Default()
	}
	h.handle = cgo.NewHandle(h)
	h.tables.Store(1) // ours, until the library has taken its own
	defer h.release()
	var memory arena
	defer memory.free()
	given := options.fill(&memory, h)
	var handle *cEngine
	var failure *cError
	if err := check(C.embedjobs_engine_open(given, &handle, &failure), &failure); err != nil {
		return nil, err
	}
	engine := &Engine{handle: handle}
	engine.left = sync.NewCond(&engine.mutex)
	return engine, nil
}

// call runs one function of the library on the open engine.
func (e *Engine) call(f func(engine *cEngine, failure **cError) C.int32_t) error {
	if !e.enter() {
		return &Error{Code: ErrRefused.Code, Message: "the engine is closed"}
	}
	defer e.leave()
	var failure *cError
	return check(f(e.handle, &failure), &failure)
}

func (e *Engine) enter() bool {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.closing || e.handle == nil { // nil: nobody opened it
		return false
	}
	e.calls++
	return true
}

func (e *Engine) leave() {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.calls--
	e.left.Broadcast()
}

// Close stops, waits for callbacks and calls under way, and frees the engine. Waits of other goroutines end with
// ErrCancelled, and calls that begin now are refused. Twice is fine: the second one returns at once. From inside a
// callback it answers ErrRefused and does nothing: RequestStop is what a callback may call.
func (e *Engine) Close() error {
	err := e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return C.embedjobs_engine_stop(engine, 0, failure) // It knows whether this is a callback.
	})
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.closing || e.handle == nil {
		return nil
	}
	if errors.Is(err, ErrRefused) {
		return &Error{Code: ErrRefused.Code,
			Message: "recursive call: Close can't be called from inside a callback of its engine; RequestStop can"}
	}
	e.closing = true
	for e.calls > 0 {
		e.left.Wait()
	}
	e.mutex.Unlock()
	C.embedjobs_engine_destroy(e.handle)
	e.mutex.Lock()
	return nil
}

// Start starts to work on threads of the library. Acts once.
func (e *Engine) Start() error {
	return e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return C.embedjobs_engine_start(engine, failure)
	})
}

// RequestStop asks for an end and returns at once. Allowed in callbacks.
func (e *Engine) RequestStop() error {
	return e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return C.embedjobs_engine_request_stop(engine, failure)
	})
}

// Stop ends the work and waits for it until ctx is done: then it answers ctx.Err(), a callback hangs, and it may be
// asked again.
func (e *Engine) Stop(ctx context.Context) error {
	const slice = 50 * time.Millisecond
	for {
		err := e.call(func(engine *cEngine, failure **cError) C.int32_t {
			return C.embedjobs_engine_stop(engine, ms(slice), failure)
		})
		if !errors.Is(err, ErrTimeout) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// IdleReport is how the queue stands after a wait.
type IdleReport struct {
	Idle            bool
	HasNextDue      bool          // A pending job is due later than maxWait:
	NextDue         time.Duration // in so long.
	OtherSpace      bool
	ProviderWaiting bool
	ProviderLeft    time.Duration
}

// WaitIdle waits until no job runs or is due within maxWait, or the provider could not be reached for that long. A ctx
// that is done ends the wait with its error.
func (e *Engine) WaitIdle(ctx context.Context, maxWait time.Duration) (IdleReport, error) {
	return e.wait(ctx, func(engine *cEngine, cancel *cCancel, report *cIdleReport, failure **cError) C.int32_t {
		return C.embedjobs_engine_wait_idle(engine, ms(maxWait), -1, cancel, report, failure)
	})
}

// Run works on the calling goroutine's thread, in place of Start, until ctx is done or RequestStop is called.
func (e *Engine) Run(ctx context.Context) error {
	_, err := e.run(ctx, C.EMBEDJOBS_RUN_UNTIL_STOPPED, 0)
	return err
}

// RunUntilIdle is Run that also ends when nothing is left to do, as WaitIdle says.
func (e *Engine) RunUntilIdle(ctx context.Context, maxWait time.Duration) (IdleReport, error) {
	return e.run(ctx, C.EMBEDJOBS_RUN_UNTIL_IDLE, maxWait)
}

func (e *Engine) run(ctx context.Context, until C.int32_t, maxWait time.Duration) (IdleReport, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return e.wait(ctx, func(engine *cEngine, cancel *cCancel, report *cIdleReport, failure **cError) C.int32_t {
		return C.embedjobs_engine_worker_run(engine, until, ms(maxWait), -1, cancel, report, failure)
	})
}

type waiting = func(engine *cEngine, cancel *cCancel, report *cIdleReport, failure **cError) C.int32_t

func (e *Engine) wait(ctx context.Context, f waiting) (IdleReport, error) {
	cancel := C.embedjobs_cancel_create()
	if cancel == nil {
		return IdleReport{}, &Error{Code: ErrInternal.Code, Message: "no memory"}
	}
	requested := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		C.embedjobs_cancel_request(cancel)
		close(requested)
	})
	given := C.embedjobs_idle_report{struct_size: C.sizeof_embedjobs_idle_report}
	err := e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return f(engine, cancel, &given, failure)
	})
	if !stop() {
		<-requested
	}
	C.embedjobs_cancel_destroy(cancel)
	if errors.Is(err, ErrCancelled) && ctx.Err() != nil {
		return IdleReport{}, ctx.Err()
	}
	if err != nil {
		return IdleReport{}, err
	}
	return reportOf(&given), nil
}

func reportOf(given *cIdleReport) IdleReport {
	return IdleReport{
		Idle:            given.idle != 0,
		HasNextDue:      given.next_due_ms >= 0,
		NextDue:         time.Duration(max(given.next_due_ms, 0)) * time.Millisecond,
		OtherSpace:      given.other_space != 0,
		ProviderWaiting: given.provider_waiting != 0,
		ProviderLeft:    time.Duration(given.provider_left_ms) * time.Millisecond,
	}
}
