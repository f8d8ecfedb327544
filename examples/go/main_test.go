package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"embedjobs"
)

const document = `{"openapi":"3.0.3","paths":{"/orders":{"get":{"operationId":"list","summary":"List orders"},
	"post":{"operationId":"place","summary":"Place an order"}},
	"/users":{"get":{"operationId":"users","summary":"Show users"}}}}`

func get(t *testing.T, url string, into any) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, url, body string) int {
	t.Helper()
	request, _ := http.NewRequest(http.MethodPut, url, strings.NewReader(body))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func TestADocumentThatIsPutIsFoundAlsoAfterARestart(t *testing.T) {
	folder := t.TempDir()
	dsn, vectors := "sqlite:"+filepath.Join(folder, "gateway.db"), filepath.Join(folder, "vectors.json")
	for restart := range 2 {
		g, err := openGateway(dsn, vectors)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(g.handler())
		if restart == 0 {
			if status := put(t, server.URL+"/specs/shop", document); status != http.StatusAccepted {
				t.Errorf("put: %d", status)
			}
			if status := put(t, server.URL+"/specs/shop", "{ not json"); status != http.StatusUnprocessableEntity {
				t.Errorf("put of what is no document: %d", status)
			}
			if report, err := g.engine.WaitIdle(context.Background(), time.Minute); err != nil || !report.Idle {
				t.Fatalf("%+v, %v", report, err)
			}
		}
		var hits []hit
		get(t, server.URL+"/search?q=place+an+order", &hits)
		if len(hits) != 3 || hits[0].Operation != "place" || hits[0].Spec != "gateway/shop" {
			t.Errorf("%+v", hits)
		}
		var specs []map[string]any
		get(t, server.URL+"/specs", &specs)
		if len(specs) != 1 || specs[0]["done"] != true || specs[0]["embedded"] != 3.0 {
			t.Errorf("%+v", specs)
		}
		server.Close()
		if err := g.engine.Close(); err != nil {
			t.Error(err)
		}
	}
}

func passOf(counter, nonce uint64) *embedjobs.Pass {
	return &embedjobs.Pass{Key: embedjobs.Key{CatalogID: "c", SpecName: "s"},
		Fence: embedjobs.Fence{Counter: counter, Nonce: nonce}}
}

func oneRow(text string) *embedjobs.Rows {
	return &embedjobs.Rows{
		Operations: embedjobs.Operations{IDs: []string{"a"}, Hashes: []embedjobs.Hash{embedjobs.HashText(text)}},
		Dimension:  1,
		Vectors:    []float32{1},
	}
}

func TestAStaleFenceIsRefusedInEveryCallAndChangesNothing(t *testing.T) {
	file, err := openVectorFile(filepath.Join(t.TempDir(), "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := file.PersistBatch(ctx, passOf(2, 5), oneRow("kept")); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(file.path)
	for _, stale := range []*embedjobs.Pass{passOf(1, 9), passOf(2, 6)} {
		_, listed := file.ListExisting(ctx, stale, &embedjobs.Operations{})
		persisted := file.PersistBatch(ctx, stale, oneRow("other"))
		finalized := file.Finalize(ctx, stale, &embedjobs.Operations{})
		for _, err := range []error{listed, persisted, finalized} {
			if !errors.Is(err, embedjobs.ErrLeaseLost) {
				t.Error(err)
			}
		}
	}
	if after, _ := os.ReadFile(file.path); string(after) != string(before) {
		t.Errorf("%s became %s", before, after)
	}
}

func TestAWriteThatFailsChangesNothing(t *testing.T) {
	folder := t.TempDir()
	file, err := openVectorFile(filepath.Join(folder, "none", "vectors.json")) // there is no such folder
	if err != nil {
		t.Fatal(err)
	}
	if err := file.PersistBatch(context.Background(), passOf(1, 1), oneRow("a")); err == nil {
		t.Error("a write to nowhere has succeeded")
	}
	if len(file.state.Fences)+len(file.state.Vectors) != 0 {
		t.Errorf("%+v", file.state)
	}
}
