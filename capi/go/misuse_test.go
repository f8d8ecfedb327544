package embedjobs

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// begin works on a thread of the library, or on one of Go's.
func begin(t *testing.T, engine *Engine, onGoThread bool) {
	t.Helper()
	if !onGoThread {
		start(t, engine)
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = engine.Run(context.Background())
	}()
	t.Cleanup(func() {
		_ = engine.RequestStop()
		<-ended
	})
}

func TestCloseFromInsideACallbackIsRefused(t *testing.T) {
	for _, onGoThread := range []bool{false, true} {
		var engine *Engine
		said := make(chan error, 1)
		engine, _ = open(t, Options{Embedder: &words{before: func(context.Context, *Batch) error {
			said <- engine.Close()
			return nil
		}}})
		must[Enqueued](t)(engine.PutItems(key, []Item{{"a", "one"}}))
		begin(t, engine, onGoThread)
		err := <-said
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "Close can't be called from inside a callback") {
			t.Error(err)
		}
		idle(t, engine) // and nothing has happened
	}
}

func TestACallbackMayCallWhileTheEngineIsClosed(t *testing.T) {
	for _, onGoThread := range []bool{false, true} {
		var engine *Engine
		entered, said := make(chan struct{}), make(chan error, 1)
		engine, _ = open(t, Options{Embedder: &words{before: func(ctx context.Context, _ *Batch) error {
			close(entered)
			<-ctx.Done() // Close asks for an end first
			for {
				_, err := engine.Jobs(JobFilter{})
				if err != nil {
					said <- err
					return nil
				}
			}
		}}})
		must[Enqueued](t)(engine.PutItems(key, []Item{{"a", "one"}}))
		if onGoThread {
			go func() { _ = engine.Run(context.Background()) }()
		} else {
			start(t, engine)
		}
		<-entered
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		if err := <-said; !errors.Is(err, ErrRefused) || err.Error() != "the engine is closed" {
			t.Error(err)
		}
	}
}

func TestWhatCWouldCutOffOrMisreadIsRefused(t *testing.T) {
	engine, _ := open(t, Options{Embedder: &words{}})
	refused := func(err error) {
		t.Helper()
		if !errors.Is(err, ErrInvalidArgument) {
			t.Error(err)
		}
	}
	_, err := engine.Search("catalog", "one", -1)
	refused(err)
	_, err = engine.Jobs(JobFilter{Limit: -1})
	refused(err)
	_, err = engine.Statuses("a\x00b")
	refused(err)
	if _, err = engine.Jobs(JobFilter{Limit: math.MaxInt}); err != nil {
		t.Error(err)
	}
	for _, embedder := range []Embedder{
		turned{space: Space{Model: "a\x00b", Dimension: 8}}, turned{space: Space{Model: "a", Dimension: -1}},
		turned{space: Space{Model: "a", Dimension: 8}, limits: Limits{ConcurrentCalls: -1}},
		turned{space: Space{Model: "a", Dimension: 8}, limits: Limits{Provider: "a\x00b"}},
	} {
		_, err = Open(Options{DSN: "memory:", Embedder: embedder})
		refused(err)
	}
	_, err = engine.PutItems(key, []Item{{"a", "one"}, {"b", "\xff"}})
	if !errors.Is(err, ErrInvalidDocument) || err.Error() != "line 2: not valid UTF-8" {
		t.Error(err)
	}
	for given, expected := range map[time.Duration]int64{0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2,
		-time.Second: -1000} {
		if int64(ms(given)) != expected {
			t.Errorf("%v: %d ms", given, ms(given))
		}
	}
}

// turned is an embedder with a space and limits of a test's choice.
type turned struct {
	space  Space
	limits Limits
}

func (e turned) Space() Space                      { return e.space }
func (e turned) Limits() Limits                    { return e.limits }
func (turned) Embed(context.Context, *Batch) error { return nil }

type replacing struct {
	words
	vectors []float32
}

func (r *replacing) Embed(_ context.Context, batch *Batch) error {
	batch.Vectors = r.vectors
	return nil
}

func TestVectorsInThePlaceOfTheLibrarysAreCopiedIfTheyFit(t *testing.T) {
	for said, vectors := range map[string][]float32{"": {1, 2, 3, 4, 5, 6, 7, 8}, "left 3 floats, expected 8": {1, 2, 3}} {
		engine, _ := open(t, Options{Embedder: &replacing{vectors: vectors}})
		must[Enqueued](t)(engine.PutItems(key, []Item{{"a", "one"}}))
		start(t, engine)
		must[IdleReport](t)(engine.WaitIdle(context.Background(), 0))
		job := must[[]Job](t)(engine.Jobs(JobFilter{}))[0]
		if !strings.Contains(job.LastError, said) || (job.Status == JobSucceeded) != (said == "") {
			t.Errorf("%+v", job)
		}
		if said == "" {
			if rows := must[*StoredRows](t)(engine.Rows(key, true)); rows.Vectors[7] != 8 {
				t.Errorf("%+v", rows)
			}
		}
	}
}

func TestAnEngineThatNobodyOpenedIsRefused(t *testing.T) {
	engine := &Engine{}
	if err := engine.Start(); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnErrorOfAnyMakeIsToldAndTriedAgain(t *testing.T) {
	for said, given := range map[string]error{
		"the embedder panicked: in Error": panickyError{},
		"words without a code":            &Error{Message: "words without a code"},
		"words of code 99":                &Error{Code: 99, Message: "words of code 99"},
	} {
		engine, _ := open(t, Options{Embedder: &words{before: func(context.Context, *Batch) error { return given }}})
		must[Enqueued](t)(engine.PutItems(key, []Item{{"a", "one"}}))
		start(t, engine)
		must[IdleReport](t)(engine.WaitIdle(context.Background(), 0))
		job := must[[]Job](t)(engine.Jobs(JobFilter{}))[0]
		if job.Status != JobPending || !strings.Contains(job.LastError, said) {
			t.Errorf("%+v", job)
		}
	}
}

type panickyError struct{}

func (panickyError) Error() string { panic("in Error") }

// The frames of C between two of Go can't be unwound: the process ends, and says where.
func TestGoexitInACallbackEndsTheProcessWithItsName(t *testing.T) {
	if where := os.Getenv("EMBEDJOBS_GOEXIT_HOST"); where != "" {
		engine, _ := open(t, Options{Embedder: &words{before: func(context.Context, *Batch) error {
			runtime.Goexit()
			return nil
		}}})
		must[Enqueued](t)(engine.PutItems(key, []Item{{"a", "one"}}))
		begin(t, engine, where == "go")
		select {}
	}
	for _, where := range []string{"library", "go"} {
		host := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		host.Env = append(os.Environ(), "EMBEDJOBS_GOEXIT_HOST="+where)
		output, err := host.CombinedOutput()
		if err == nil || !strings.Contains(string(output), "fatal error: the embedder called runtime.Goexit") {
			t.Errorf("%v\n%s", err, output)
		}
	}
}

// keeping is a computer that leaves its request to a goroutine of its own.
type keeping struct {
	lines
	kept chan *ComputeRequest
}

func (k *keeping) Compute(_ context.Context, request *ComputeRequest) error {
	k.kept <- request
	return ErrFailed
}

func TestARequestThatIsKeptSaysThatItHasEnded(t *testing.T) {
	computer := &keeping{kept: make(chan *ComputeRequest, 9)}
	engine, _ := open(t, Options{Computer: computer})
	must[Enqueued](t)(engine.Put(key, []byte("one")))
	start(t, engine)
	request := <-computer.kept
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
	request.Progress(1, 1)
	if _, err := request.ListExisting(&Operations{}); !errors.Is(err, ErrInvalidArgument) {
		t.Error(err)
	}
	if err := request.PersistBatch(&Rows{}); !errors.Is(err, ErrInvalidArgument) {
		t.Error(err)
	}
	if err := request.SetManifest(&Operations{}); !errors.Is(err, ErrInvalidArgument) {
		t.Error(err)
	}
}
