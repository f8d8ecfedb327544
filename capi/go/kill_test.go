package embedjobs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A host that may be killed: it notes each text before it answers, and waits for its end once as many are noted as
// EMBEDJOBS_KILL_MOST says.
func TestMain(m *testing.M) {
	if database := os.Getenv("EMBEDJOBS_KILL_HOST"); database != "" {
		os.Exit(killHost(database))
	}
	if folder := os.Getenv("EMBEDJOBS_STALL_HOST"); folder != "" {
		os.Exit(stallHost(folder))
	}
	os.Exit(m.Run())
}

func killHost(database string) int {
	log, err := os.OpenFile(filepath.Join(filepath.Dir(database), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 1
	}
	embedder := &words{before: func(_ context.Context, batch *Batch) error {
		time.Sleep(20 * time.Millisecond) // a provider that takes its time
		var lines strings.Builder
		for _, text := range batch.Texts {
			fmt.Fprintf(&lines, "%x\n", HashText(text))
		}
		if _, err := log.WriteString(lines.String()); err != nil {
			return err
		}
		if most, err := strconv.Atoi(os.Getenv("EMBEDJOBS_KILL_MOST")); err == nil && len(embeddedTexts(database)) >= most {
			time.Sleep(time.Hour)
		}
		return nil
	}}
	engine, err := Open(Options{DSN: "sqlite:" + database, Embedder: embedder})
	if err != nil {
		return 1
	}
	defer engine.Close()
	if _, err = engine.Put(key, bigDocument()); err != nil || engine.Start() != nil {
		return 1
	}
	if report, err := engine.WaitIdle(context.Background(), time.Minute); err != nil || !report.Idle {
		return 1
	}
	return 0
}

func embeddedTexts(database string) []string {
	log, _ := os.ReadFile(filepath.Join(filepath.Dir(database), "log"))
	return strings.Fields(string(log))
}

func set(texts []string) map[string]bool {
	different := map[string]bool{}
	for _, text := range texts {
		different[text] = true
	}
	return different
}

func persistedTexts(t *testing.T, database string) map[string]bool {
	engine, _ := open(t, Options{DSN: "sqlite:" + database, Embedder: &words{}})
	defer engine.Close()
	persisted := map[string]bool{}
	for _, hash := range must[*StoredRows](t)(engine.Rows(key, false)).Hashes {
		persisted[fmt.Sprintf("%x", hash)] = true
	}
	return persisted
}

func TestAKilledHostResumesAndRepeatsNoPersistedChunk(t *testing.T) {
	database := filepath.Join(t.TempDir(), "host.db")
	run := func(more ...string) *exec.Cmd {
		host := exec.Command(os.Args[0])
		host.Env = append(append(os.Environ(), "EMBEDJOBS_KILL_HOST="+database), more...)
		if err := host.Start(); err != nil {
			t.Fatal(err)
		}
		return host
	}
	var stored map[string]bool
	before, lost := 0, 0
	for kills := 1; kills <= 3; kills++ {
		host := run(fmt.Sprintf("EMBEDJOBS_KILL_MOST=%d", kills*200))
		for len(embeddedTexts(database)) < kills*200 { // an event: so many texts went through the embedder
			time.Sleep(5 * time.Millisecond)
		}
		_ = host.Process.Kill()
		_ = host.Wait()
		stored, before = persistedTexts(t, database), len(embeddedTexts(database))
		for text := range set(embeddedTexts(database)) {
			if !stored[text] {
				lost++
			}
		}
		if len(stored) == 0 || len(stored) > 1000 {
			t.Fatalf("%d rows after kill %d", len(stored), kills)
		}
	}
	if err := run().Wait(); err != nil {
		t.Fatal(err)
	}
	texts := embeddedTexts(database)
	for _, text := range texts[before:] {
		if stored[text] {
			t.Errorf("%s was persisted and embedded again", text)
		}
	}
	different := set(texts)
	// A kill costs what was embedded and not persisted yet, and nothing else.
	if repeated := len(texts) - len(different); repeated > lost {
		t.Errorf("%d texts were embedded again after 3 kills, which lost %d", repeated, lost)
	}
	if rows := persistedTexts(t, database); len(rows) != len(different) {
		t.Errorf("%d rows of %d texts", len(rows), len(different))
	}
}
