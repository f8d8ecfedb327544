// Command gateway is a host in Go: it takes OpenAPI documents over HTTP, embeds them with its own function, keeps the
// vectors in its own file, and finds operations by meaning.
//
//	PUT /specs/{name}   an OpenAPI document; 202, and a job embeds it
//	GET /specs          where each spec stands
//	GET /search?q=...   the five nearest operations
package main

import (
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"log"
	"math"
	"net/http"
	"os"
	"os/signal"
	"sort"
	"strings"
	"time"

	"embedjobs"
)

const maxDocument = 64 << 20

// trigrams is the gateway's embedder: parts of words, counted in 256 places. A real one would ask a model.
type trigrams struct{}

func (trigrams) Space() embedjobs.Space { return embedjobs.Space{Model: "trigrams", Dimension: 256} }

func (trigrams) Embed(ctx context.Context, batch *embedjobs.Batch) error {
	for i, text := range batch.Texts {
		if err := ctx.Err(); err != nil {
			return err
		}
		embedOne(text, batch.Vector(i))
	}
	return nil
}

func embedOne(text string, vector []float32) {
	clear(vector)
	padded := "  " + strings.ToLower(text) + "  "
	for i := 0; i+3 <= len(padded); i++ {
		hash := fnv.New32a()
		_, _ = io.WriteString(hash, padded[i:i+3])
		vector[hash.Sum32()%256]++
	}
}

type gateway struct {
	engine  *embedjobs.Engine
	vectors *vectorFile
}

func openGateway(dsn, vectorPath string) (*gateway, error) {
	vectors, err := openVectorFile(vectorPath)
	if err != nil {
		return nil, err
	}
	engine, err := embedjobs.Open(embedjobs.Options{DSN: dsn, Embedder: trigrams{}, Persister: vectors})
	if err != nil {
		return nil, err
	}
	return &gateway{engine, vectors}, engine.Start()
}

func (g *gateway) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /specs/{name}", g.put)
	mux.HandleFunc("GET /specs", g.specs)
	mux.HandleFunc("GET /search", g.search)
	return mux
}

func (g *gateway) put(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDocument))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	enqueued, err := g.engine.Put(embedjobs.Key{CatalogID: "gateway", SpecName: r.PathValue("name")}, content)
	switch {
	case errors.Is(err, embedjobs.ErrInvalidDocument), errors.Is(err, embedjobs.ErrInvalidArgument):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		answer(w, http.StatusAccepted, map[string]any{"job_id": enqueued.JobID, "created": enqueued.Created})
	}
}

func (g *gateway) specs(w http.ResponseWriter, _ *http.Request) {
	jobs, err := g.engine.Jobs(embedjobs.JobFilter{CatalogID: "gateway"})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	type row struct {
		Name     string `json:"name"`
		Done     bool   `json:"done"`
		Embedded int64  `json:"embedded"`
		Error    string `json:"error"`
	}
	seen, rows := map[string]bool{}, []row{}
	for _, job := range jobs { // newest first: the first of a spec counts
		if !seen[job.Key.SpecName] {
			seen[job.Key.SpecName] = true
			rows = append(rows, row{job.Key.SpecName, job.Status == embedjobs.JobSucceeded, job.EmbeddedCount, job.LastError})
		}
	}
	answer(w, http.StatusOK, rows)
}

type hit struct {
	Spec      string  `json:"spec"`
	Operation string  `json:"operation"`
	Score     float64 `json:"score"`
}

func (g *gateway) search(w http.ResponseWriter, r *http.Request) {
	query := make([]float32, trigrams{}.Space().Dimension)
	embedOne(r.URL.Query().Get("q"), query)
	hits := []hit{}
	g.vectors.each(func(spec, operation string, vector []float32) {
		hits = append(hits, hit{spec, operation, cosine(query, vector)})
	})
	sort.Slice(hits, func(i, j int) bool { return hits[i].Score > hits[j].Score })
	answer(w, http.StatusOK, hits[:min(len(hits), 5)])
}

func cosine(a, b []float32) float64 {
	var dot, left, right float64
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
		left += float64(a[i]) * float64(a[i])
		right += float64(b[i]) * float64(b[i])
	}
	return dot / math.Sqrt(left*right)
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	g, err := openGateway("sqlite:gateway.db", "gateway-vectors.json")
	if err != nil {
		log.Fatal(err)
	}
	defer g.engine.Close()
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: g.handler(), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	log.Printf("listening on http://%s", server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Print(err)
	}
}
