package embedjobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// shared is a host's persister in a file that several processes change, each under a lock: fence and rows together.
type shared struct {
	path          string
	refused       []uint64
	beforePersist func()
}

type sharedState struct {
	Fence   Fence
	Written map[string]written // By hash.
}

// written is a vector: under which counter it was written, and what MayReuse asks.
type written struct {
	Counter uint64
	Mark    VectorMark
}

func (s *shared) change(pass *Pass, f func(state *sharedState) error) error {
	file, err := os.OpenFile(s.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	state := sharedState{Written: map[string]written{}}
	if err = json.NewDecoder(file).Decode(&state); err != nil && err.Error() != "EOF" {
		return err
	}
	if !Accepts(state.Fence, pass.Fence) {
		s.refused = append(s.refused, pass.Fence.Counter)
		return fmt.Errorf("a newer pass has taken over: %w", ErrLeaseLost)
	}
	state.Fence = pass.Fence
	if err = f(&state); err != nil {
		return err
	}
	data, err := json.Marshal(state)
	if err == nil {
		_, err = file.WriteAt(data, 0) // only ever grows
	}
	return err
}

func (s *shared) ListExisting(_ context.Context, pass *Pass, wanted *Operations) ([]bool, error) {
	existing := make([]bool, len(wanted.IDs))
	return existing, s.change(pass, func(state *sharedState) error {
		for i, hash := range wanted.Hashes {
			vector, there := state.Written[fmt.Sprintf("%x", hash)]
			existing[i] = there && MayReuse(pass, vector.Mark)
		}
		return nil
	})
}

func (s *shared) PersistBatch(_ context.Context, pass *Pass, rows *Rows) error {
	s.beforePersist()
	return s.change(pass, func(state *sharedState) error {
		for i, hash := range rows.Hashes {
			state.Written[fmt.Sprintf("%x", hash)] = written{pass.Fence.Counter, rows.Mark(pass, i)}
		}
		return nil
	})
}

func (s *shared) Finalize(_ context.Context, pass *Pass, _ *Operations) error {
	return s.change(pass, func(*sharedState) error { return nil })
}

// index works on the calling thread, under leases of three seconds.
func (s *shared) index(folder string) (*words, error) {
	embedder := &words{}
	engine, err := Open(Options{DSN: "sqlite:" + filepath.Join(folder, "jobs.db"), Embedder: embedder, Persister: s,
		LeaseDuration: 3 * time.Second, EmbedTimeout: time.Second, ReaperInterval: time.Second / 2})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	if _, err = engine.Put(key, openAPI(40)); err == nil {
		_, err = engine.RunUntilIdle(context.Background(), time.Minute)
	}
	return embedder, err
}

func waitFor(path string) {
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// stallHost waits at its first chunk, before it has looked at the fence, so that it may be stopped there.
func stallHost(folder string) int {
	persister := &shared{path: filepath.Join(folder, "vectors.json"), beforePersist: func() {
		_ = os.WriteFile(filepath.Join(folder, "entered"), nil, 0o600)
		waitFor(filepath.Join(folder, "go"))
	}}
	if _, err := persister.index(folder); err != nil || fmt.Sprint(persister.refused) != "[1]" {
		fmt.Println(err, persister.refused)
		return 1
	}
	return 0
}

func TestAStaleProcessIsRefusedAndTheOneThatTookOverStands(t *testing.T) {
	folder := t.TempDir()
	stale := exec.Command(os.Args[0])
	stale.Env = append(os.Environ(), "EMBEDJOBS_STALL_HOST="+folder)
	stale.Stdout = os.Stdout
	if err := stale.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stale.Process.Kill() }()
	waitFor(filepath.Join(folder, "entered"))
	persister := &shared{path: filepath.Join(folder, "vectors.json"), beforePersist: func() {}}
	var embedder *words
	var err error = ErrRetry
	// The whole process stops, as a machine does that sleeps; not while it holds the lock of the database of jobs, for the
	// test's sake.
	for errors.Is(err, ErrRetry) {
		_ = stale.Process.Signal(syscall.SIGCONT)
		time.Sleep(100 * time.Millisecond) // for its write to end
		_ = stale.Process.Signal(syscall.SIGSTOP)
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(stale.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
			t.Fatal(err, status)
		}
		embedder, err = persister.index(folder)
	}
	if err != nil || embedder.count() != 40 || len(persister.refused) != 0 {
		t.Error(err, embedder, persister.refused)
	}
	before := must[[]byte](t)(os.ReadFile(persister.path))
	_ = os.WriteFile(filepath.Join(folder, "go"), nil, 0o600)
	_ = stale.Process.Signal(syscall.SIGCONT)
	if err := stale.Wait(); err != nil {
		t.Error(err)
	}
	if after := must[[]byte](t)(os.ReadFile(persister.path)); string(after) != string(before) {
		t.Errorf("%s became %s", before, after)
	}
}
