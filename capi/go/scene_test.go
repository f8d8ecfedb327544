package embedjobs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// openAPI is a document of count operations.
func openAPI(count int) []byte {
	paths := map[string]any{}
	for i := range count {
		paths[fmt.Sprintf("/thing/%d", i)] = map[string]any{
			"get": map[string]any{"operationId": fmt.Sprintf("thing-%d", i), "summary": fmt.Sprintf("Show thing number %d", i)}}
	}
	document, _ := json.Marshal(map[string]any{"openapi": "3.0.3", "paths": paths})
	return document
}

// bigDocument is github.json where there is a folder of real documents, else one of its size.
func bigDocument() []byte {
	if folder := os.Getenv("EMBEDJOBS_SPEC_DIR"); folder != "" {
		document, err := os.ReadFile(filepath.Join(folder, "github.json"))
		if err != nil {
			panic(err)
		}
		return document
	}
	return openAPI(1223)
}

func vectorOf(text string, vector []float32) {
	hash := HashText(text)
	for i := range vector {
		vector[i] = float32(hash[i]) + 1
	}
}

// words is a host's embedder that counts, and that a test may make fail.
type words struct {
	mutex  sync.Mutex
	texts  []string
	before func(ctx context.Context, batch *Batch) error // Nil: nothing.
}

func (*words) Space() Space { return Space{Model: "words", Dimension: 8} }

func (w *words) Embed(ctx context.Context, batch *Batch) error {
	if w.before != nil {
		if err := w.before(ctx, batch); err != nil {
			return err
		}
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.texts = append(w.texts, batch.Texts...)
	for i, text := range batch.Texts {
		vectorOf(text, batch.Vector(i))
	}
	return nil
}

func (w *words) count() int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return len(w.texts)
}

// logged collects the log.
type logged struct {
	mutex sync.Mutex
	text  bytes.Buffer
	lines sync.Cond
}

func (l *logged) Write(data []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	defer l.lines.Broadcast()
	return l.text.Write(data)
}

// waitForFirstRound: the reconciler also looks when a worker starts, and tries again what failed before it looked.
func (l *logged) waitForFirstRound() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for !strings.Contains(l.text.String(), "reconciler: a round ended") {
		l.lines.Wait()
	}
}

func (l *logged) has(text string) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return strings.Contains(l.text.String(), text)
}

// store is a host's persister in memory: fence and rows change together.
type store struct {
	mutex   sync.Mutex
	fences  map[Key]Fence
	vectors map[Hash][]float32
	marks   map[Hash]VectorMark
	visible map[Key]map[string]Hash
	chunks  int
	fail    []error
}

func newStore() *store {
	return &store{fences: map[Key]Fence{}, vectors: map[Hash][]float32{}, marks: map[Hash]VectorMark{},
		visible: map[Key]map[string]Hash{}}
}

func (s *store) accept(pass *Pass) error {
	if !Accepts(s.fences[pass.Key], pass.Fence) {
		return fmt.Errorf("a newer pass has taken over: %w", ErrLeaseLost)
	}
	s.fences[pass.Key] = pass.Fence
	return nil
}

func (s *store) has(pass *Pass, hash Hash) bool {
	mark, there := s.marks[hash]
	return there && MayReuse(pass, mark)
}

func (s *store) ListExisting(_ context.Context, pass *Pass, wanted *Operations) ([]bool, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	existing := make([]bool, len(wanted.IDs))
	for i, hash := range wanted.Hashes {
		existing[i] = s.has(pass, hash)
	}
	return existing, s.accept(pass)
}

func (s *store) PersistBatch(_ context.Context, pass *Pass, rows *Rows) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.fail) > 0 {
		err := s.fail[0]
		s.fail = s.fail[1:]
		return err
	}
	if err := s.accept(pass); err != nil {
		return err
	}
	for i, hash := range rows.Hashes {
		s.vectors[hash] = append([]float32(nil), rows.Vector(i)...)
		s.marks[hash] = rows.Mark(pass, i)
	}
	s.chunks++
	return nil
}

func (s *store) Finalize(_ context.Context, pass *Pass, manifest *Operations) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := s.accept(pass); err != nil {
		return err
	}
	rows := map[string]Hash{}
	for i, hash := range manifest.Hashes {
		if !s.has(pass, hash) {
			return ErrIncomplete
		}
		rows[manifest.IDs[i]] = hash
	}
	s.visible[pass.Key] = rows
	return nil
}

var key = Key{"catalog", "spec"}

func open(t *testing.T, options Options) (*Engine, *logged) {
	t.Helper()
	log := &logged{}
	log.lines.L = &log.mutex
	if options.DSN == "" {
		options.DSN = "memory:"
	}
	options.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	engine, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return engine, log
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func start(t *testing.T, engine *Engine) {
	t.Helper()
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
}

func idle(t *testing.T, engine *Engine) {
	t.Helper()
	report, err := engine.WaitIdle(context.Background(), 60e9)
	if err != nil || !report.Idle {
		t.Fatalf("%+v, %v", report, err)
	}
}
