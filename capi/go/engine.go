// Package embedjobs keeps vector embeddings in step with documents: durable jobs, over the C interface of the library. See docs/go.md.
package embedjobs

// #cgo pkg-config: embedjobs_c
// #include "bridge.h"
import "C"

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/cgo"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Options says how to open an engine. Zero means the default everywhere; embedjobs_options in embedjobs.h says what each does.
type Options struct {
	DSN          string   // "sqlite:PATH", "postgresql://..." or "memory:". Default "sqlite:embedjobs.db".
	EmbedderSpec string   // A built-in embedder: "hashing", "openai:MODEL", ... Not together with Embedder.
	Embedder     Embedder // What the host brings. Each alone or together, but a Resolver needs a Persister.
	Computer     Computer
	Persister    Persister
	Resolver     Resolver
	Logger       *slog.Logger // Default: slog.Default().
	OnEvent      func(Event)  // In order and never two at once. Quickly, please: work waits for it.
	OnReload     func(Key)    // The spec's new vectors are visible.
	// Secret is asked for the key of an HTTP provider before each request.
	Secret func(context.Context) (string, error)

	WorkerID            string
	Workers             int
	BatchSize           int
	BatchBytes          int
	LeaseDuration       time.Duration
	EmbedTimeout        time.Duration
	ProviderConcurrency int
	RequestsPerMinute   int
	TokensPerMinute     int
	DailyTokenBudget    int
	SafetyBound         time.Duration
	FallbackPoll        time.Duration
	ReaperInterval      time.Duration
	ReconcilerInterval  time.Duration
	RetentionInterval   time.Duration
	JobRetention        time.Duration
	VectorGrace         time.Duration
}

// Engine takes documents and gives searchable vectors. Its methods may be called from any goroutine.
type Engine struct {
	handle  *C.embedjobs_engine
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
	h := &host{embedder: options.Embedder, computer: options.Computer, persister: options.Persister, resolver: options.Resolver,
		log: options.Logger, onEvent: options.OnEvent, onReload: options.OnReload, secret: options.Secret}
	if h.log == nil {
		h.log = slog.Default()
	}
	h.handle = cgo.NewHandle(h)
	h.tables.Store(1) // ours, until the library has taken its own
	defer h.release()
	var memory arena
	defer memory.free()
	given := options.fill(&memory, h)
	var handle *C.embedjobs_engine
	var failure *C.embedjobs_error
	if err := check(C.embedjobs_engine_open(given, &handle, &failure), failure); err != nil {
		return nil, err
	}
	engine := &Engine{handle: handle}
	engine.left = sync.NewCond(&engine.mutex)
	return engine, nil
}

// check refuses what C would cut off or misread.
func (o *Options) check() error {
	names := []string{o.DSN, o.EmbedderSpec, o.WorkerID}
	if o.Embedder != nil {
		space := o.Embedder.Space()
		names = append(names, space.Model, space.Variant)
	}
	if limited, ok := o.Embedder.(LimitedEmbedder); ok {
		limits := limited.Limits()
		names = append(names, limits.Provider)
		if min(limits.ConcurrentCalls, limits.BatchTexts, limits.BatchBytes, limits.BatchTokens, limits.InputBytes) < 0 {
			return &Error{Code: ErrInvalidArgument.Code, Message: "a limit of the embedder is negative"}
		}
	}
	if o.Computer != nil {
		space := o.Computer.Space()
		names = append(names, space.Model, space.Variant, o.Computer.Version())
	}
	return checkNames(names...)
}

// fill makes the options for C; each table counts in h.
func (o *Options) fill(memory *arena, h *host) *C.embedjobs_options {
	handle := C.uintptr_t(h.handle)
	given := C.bridge_options()
	memory.keep(unsafe.Pointer(given))
	given.dsn, given.embedder, given.worker_id = memory.text(o.DSN), memory.text(o.EmbedderSpec), memory.text(o.WorkerID)
	if o.Embedder != nil {
		given.host_embedder = embedderTable(memory, handle, o.Embedder)
		h.tables.Add(1)
	}
	if o.Computer != nil {
		table, space := C.bridge_computer(handle), o.Computer.Space()
		memory.keep(unsafe.Pointer(table))
		table.version, table.model, table.variant = memory.name(o.Computer.Version()), memory.name(space.Model), memory.text(space.Variant)
		table.dimension = C.size_t(space.Dimension)
		given.host_computer = table
		h.tables.Add(1)
	}
	if o.Persister != nil {
		_, describes := o.Persister.(Describer)
		given.host_persister = C.bridge_persister(handle, flag(describes))
		memory.keep(unsafe.Pointer(given.host_persister))
		h.tables.Add(1)
	}
	if o.Resolver != nil {
		_, lists := o.Resolver.(Lister)
		given.host_resolver = C.bridge_resolver(handle, flag(lists))
		memory.keep(unsafe.Pointer(given.host_resolver))
		h.tables.Add(1)
	}
	if o.Secret != nil {
		given.secret_source = C.bridge_secret_source(handle)
		memory.keep(unsafe.Pointer(given.secret_source))
		h.tables.Add(1)
	}
	given.observer = C.bridge_observer(handle, flag(o.OnEvent != nil), flag(o.OnReload != nil))
	memory.keep(unsafe.Pointer(given.observer))
	h.tables.Add(1)
	o.fillNumbers(given)
	return given
}

func embedderTable(memory *arena, handle C.uintptr_t, embedder Embedder) *C.embedjobs_embedder {
	table, space := C.bridge_embedder(handle), embedder.Space()
	memory.keep(unsafe.Pointer(table))
	table.model, table.variant, table.dimension = memory.name(space.Model), memory.text(space.Variant), C.size_t(space.Dimension)
	if limited, ok := embedder.(LimitedEmbedder); ok {
		limits := limited.Limits()
		table.provider = memory.text(limits.Provider)
		table.concurrent_calls = C.size_t(limits.ConcurrentCalls)
		table.batch_texts, table.batch_bytes = C.size_t(limits.BatchTexts), C.size_t(limits.BatchBytes)
		table.batch_tokens, table.input_bytes = C.size_t(limits.BatchTokens), C.size_t(limits.InputBytes)
	}
	return table
}

func (o *Options) fillNumbers(given *C.embedjobs_options) {
	given.workers, given.batch_size, given.batch_bytes = C.int64_t(o.Workers), C.int64_t(o.BatchSize), C.int64_t(o.BatchBytes)
	given.lease_duration_ms, given.embed_timeout_ms = ms(o.LeaseDuration), ms(o.EmbedTimeout)
	given.provider_concurrency = C.int64_t(o.ProviderConcurrency)
	given.requests_per_minute, given.tokens_per_minute = C.int64_t(o.RequestsPerMinute), C.int64_t(o.TokensPerMinute)
	given.daily_token_budget = C.int64_t(o.DailyTokenBudget)
	given.safety_bound_ms, given.fallback_poll_ms = ms(o.SafetyBound), ms(o.FallbackPoll)
	given.reaper_interval_ms, given.reconciler_interval_ms = ms(o.ReaperInterval), ms(o.ReconcilerInterval)
	given.retention_interval_ms, given.job_retention_ms = ms(o.RetentionInterval), ms(o.JobRetention)
	given.vector_grace_ms = ms(o.VectorGrace)
}

// ms rounds up: no span becomes 0, which means the default, without being it.
func ms(span time.Duration) C.int64_t {
	whole := span.Milliseconds()
	if span > time.Duration(whole)*time.Millisecond {
		whole++
	}
	return C.int64_t(whole)
}

func flag(value bool) C.int {
	if value {
		return 1
	}
	return 0
}

// checkNames refuses what C would cut off.
func checkNames(names ...string) error {
	for _, name := range names {
		if strings.IndexByte(name, 0) >= 0 {
			return &Error{Code: ErrInvalidArgument.Code, Message: "a name has a NUL character"}
		}
	}
	return nil
}

// call runs one function of the library on the open engine.
func (e *Engine) call(f func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t) error {
	if !e.enter() {
		return &Error{Code: ErrRefused.Code, Message: "the engine is closed"}
	}
	defer e.leave()
	var failure *C.embedjobs_error
	return check(f(e.handle, &failure), failure)
}

func (e *Engine) enter() bool {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.closing {
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

// Close stops, waits for callbacks and calls under way, and frees the engine. Waits of other goroutines end with ErrCancelled, and calls that
// begin now are refused. Twice is fine: the second one returns at once. From inside a callback it answers ErrRefused and does nothing:
// RequestStop is what a callback may call.
func (e *Engine) Close() error {
	err := e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_stop(engine, 0, failure) // It knows whether this is a callback.
	})
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.closing {
		return nil
	}
	if errors.Is(err, ErrRefused) {
		return &Error{Code: ErrRefused.Code, Message: "recursive call: Close can't be called from inside a callback of its engine; RequestStop can"}
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
	return e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_start(engine, failure)
	})
}

// RequestStop asks for an end and returns at once. Allowed in callbacks.
func (e *Engine) RequestStop() error {
	return e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_request_stop(engine, failure)
	})
}

// Stop ends the work and waits for it until ctx is done: then it answers ctx.Err(), a callback hangs, and it may be asked again.
func (e *Engine) Stop(ctx context.Context) error {
	const slice = 50 * time.Millisecond
	for {
		err := e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
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

// WaitIdle waits until no job runs or is due within maxWait, or the provider could not be reached for that long. A ctx that is done ends
// the wait with its error.
func (e *Engine) WaitIdle(ctx context.Context, maxWait time.Duration) (IdleReport, error) {
	return e.wait(ctx, func(engine *C.embedjobs_engine, cancel *C.embedjobs_cancel, report *C.embedjobs_idle_report, failure **C.embedjobs_error) C.int32_t {
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
	return e.wait(ctx, func(engine *C.embedjobs_engine, cancel *C.embedjobs_cancel, report *C.embedjobs_idle_report, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_worker_run(engine, until, ms(maxWait), -1, cancel, report, failure)
	})
}

func (e *Engine) wait(ctx context.Context, f func(*C.embedjobs_engine, *C.embedjobs_cancel, *C.embedjobs_idle_report, **C.embedjobs_error) C.int32_t) (IdleReport, error) {
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
	err := e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
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
	return IdleReport{
		Idle:            given.idle != 0,
		HasNextDue:      given.next_due_ms >= 0,
		NextDue:         time.Duration(max(given.next_due_ms, 0)) * time.Millisecond,
		OtherSpace:      given.other_space != 0,
		ProviderWaiting: given.provider_waiting != 0,
		ProviderLeft:    time.Duration(given.provider_left_ms) * time.Millisecond,
	}, nil
}

// JobKind says why a job exists.
type JobKind int32

// The kinds of jobs.
const (
	JobSpecWrite JobKind = iota
	JobReconciler
	JobManualRetry
)

// Enqueued is what an enqueue did.
type Enqueued struct {
	JobID      int64
	Generation uint64
	Created    bool // False: a job was open already, and serves the new generation too.
}

// Item is a part that the host cut itself.
type Item struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// Put stores an OpenAPI document, JSON or YAML, and makes its job, in one transaction.
func (e *Engine) Put(key Key, content []byte) (Enqueued, error) {
	return e.enqueue(key, func(engine *C.embedjobs_engine, catalog, spec *C.char, out *C.embedjobs_enqueued, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_put(engine, catalog, spec, charsOf(content), C.size_t(len(content)), out, failure)
	})
}

// PutItems stores a document that the host cut itself.
func (e *Engine) PutItems(key Key, items []Item) (Enqueued, error) {
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for i, item := range items {
		if !utf8.ValidString(item.ID) || !utf8.ValidString(item.Text) { // JSON would replace it silently
			return Enqueued{}, &Error{Code: ErrInvalidDocument.Code, Message: fmt.Sprintf("line %d: not valid UTF-8", i+1)}
		}
		if err := encoder.Encode(item); err != nil {
			return Enqueued{}, err
		}
	}
	return e.PutItemLines(key, lines.Bytes())
}

// PutItemLines is PutItems of JSON Lines, {"id": ..., "text": ...} a line.
func (e *Engine) PutItemLines(key Key, lines []byte) (Enqueued, error) {
	return e.enqueue(key, func(engine *C.embedjobs_engine, catalog, spec *C.char, out *C.embedjobs_enqueued, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_put_items(engine, catalog, spec, charsOf(lines), C.size_t(len(lines)), out, failure)
	})
}

func charsOf(data []byte) *C.char { return (*C.char)(unsafe.Pointer(unsafe.SliceData(data))) }

// Enqueue says "this document changed", for a host that keeps documents itself.
func (e *Engine) Enqueue(key Key, kind JobKind) (Enqueued, error) {
	return e.enqueue(key, func(engine *C.embedjobs_engine, catalog, spec *C.char, out *C.embedjobs_enqueued, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_enqueue(engine, catalog, spec, C.int32_t(kind), out, failure)
	})
}

// Retry has everything of the spec embedded afresh.
func (e *Engine) Retry(key Key) (Enqueued, error) {
	return e.enqueue(key, func(engine *C.embedjobs_engine, catalog, spec *C.char, out *C.embedjobs_enqueued, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_retry(engine, catalog, spec, out, failure)
	})
}

func (e *Engine) enqueue(key Key, f func(*C.embedjobs_engine, *C.char, *C.char, *C.embedjobs_enqueued, **C.embedjobs_error) C.int32_t) (Enqueued, error) {
	out := C.embedjobs_enqueued{struct_size: C.sizeof_embedjobs_enqueued}
	err := e.withKey(key, func(engine *C.embedjobs_engine, catalog, spec *C.char, failure **C.embedjobs_error) C.int32_t {
		return f(engine, catalog, spec, &out, failure)
	})
	return Enqueued{int64(out.job_id), uint64(out.generation), out.created != 0}, err
}

func (e *Engine) withKey(key Key, f func(*C.embedjobs_engine, *C.char, *C.char, **C.embedjobs_error) C.int32_t) error {
	if err := checkNames(key.CatalogID, key.SpecName); err != nil {
		return err
	}
	var memory arena
	defer memory.free()
	return e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return f(engine, memory.name(key.CatalogID), memory.name(key.SpecName), failure)
	})
}

// Remove removes the spec: document, rows and open job.
func (e *Engine) Remove(key Key) error {
	return e.withKey(key, func(engine *C.embedjobs_engine, catalog, spec *C.char, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_remove(engine, catalog, spec, failure)
	})
}

// RemoveCatalog removes every spec of the catalog.
func (e *Engine) RemoveCatalog(catalogID string) error {
	return e.withKey(Key{CatalogID: catalogID}, func(engine *C.embedjobs_engine, catalog, _ *C.char, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_remove_catalog(engine, catalog, failure)
	})
}

// RetryFailed retries every spec whose last job failed; how many.
func (e *Engine) RetryFailed() (int, error) {
	var count C.size_t
	err := e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_retry_failed(engine, &count, failure)
	})
	return int(count), err
}

// Reconcile enqueues every spec whose vectors are not what its document asks for; how many.
func (e *Engine) Reconcile() (int, error) {
	var count C.size_t
	err := e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_reconcile(engine, &count, failure)
	})
	return int(count), err
}

// SwitchSpace moves a catalog to another space; how many specs were enqueued.
func (e *Engine) SwitchSpace(catalogID, spaceID string) (int, error) {
	var count C.size_t
	err := e.withKey(Key{catalogID, spaceID}, func(engine *C.embedjobs_engine, catalog, space *C.char, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_switch_space(engine, catalog, space, &count, failure)
	})
	return int(count), err
}

// HashText is the address of a text's vector.
func HashText(text string) Hash {
	var hash Hash
	C.embedjobs_hash_text((*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.size_t(len(text)), (*C.uint8_t)(unsafe.Pointer(&hash)))
	return hash
}

// LibraryVersion is that of the library that is loaded, "0.1.0" for example.
func LibraryVersion() string { return C.GoString(C.embedjobs_version()) }

// String names a key for people.
func (k Key) String() string { return fmt.Sprintf("%s/%s", k.CatalogID, k.SpecName) }
