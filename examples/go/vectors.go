package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"

	"embedjobs"
)

// vectorFile is a host's own place for vectors: one JSON file, in which fences and rows change together.
type vectorFile struct {
	path  string
	mutex sync.RWMutex
	state vectorState
}

type vectorState struct {
	Fences  map[string]embedjobs.Fence
	Vectors map[string]map[string]stored // By spec, and by name: of the text in its space.
	Visible map[string]map[string]string // By spec and operation id: the name.
}

type stored struct {
	Mark   embedjobs.VectorMark
	Vector []float32
}

// has says whether there is a vector of the text that the pass may use.
func (v *vectorState) has(pass *embedjobs.Pass, hash embedjobs.Hash) bool {
	vector, there := v.Vectors[pass.Key.String()][name(pass, hash)]
	return there && embedjobs.MayReuse(pass, vector.Mark)
}

func openVectorFile(path string) (*vectorFile, error) {
	state, err := readVectors(path)
	return &vectorFile{path: path, state: state}, err
}

func readVectors(path string) (vectorState, error) {
	state := vectorState{map[string]embedjobs.Fence{}, map[string]map[string]stored{}, map[string]map[string]string{}}
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return state, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &state)
	}
	return state, err
}

// change accepts the fence, lets f change the state, and makes both durable at once; nothing changes if any of it
// fails.
func (v *vectorFile) change(pass *embedjobs.Pass, f func(spec string) error) error {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	spec := pass.Key.String()
	if !embedjobs.Accepts(v.state.Fences[spec], pass.Fence) {
		return embedjobs.ErrLeaseLost
	}
	v.state.Fences[spec] = pass.Fence
	if v.state.Vectors[spec] == nil {
		v.state.Vectors[spec] = map[string]stored{}
	}
	err := f(spec)
	if err == nil {
		err = v.write()
	}
	if err != nil {
		if last, unread := readVectors(v.path); unread == nil {
			v.state = last
		}
	}
	return err
}

// write replaces the file as a whole: a crash leaves the old one or the new one.
func (v *vectorFile) write() error {
	data, err := json.Marshal(&v.state)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(v.path), ".vectors-*")
	if err != nil {
		return err
	}
	defer os.Remove(next.Name())
	if _, err = next.Write(data); err == nil {
		err = next.Sync()
	}
	if closed := next.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(next.Name(), v.path)
}

// name keeps the vectors of a space apart from those of another one.
func name(pass *embedjobs.Pass, hash embedjobs.Hash) string {
	return pass.SpaceID + " " + hex.EncodeToString(hash[:])
}

func (v *vectorFile) ListExisting(
	_ context.Context, pass *embedjobs.Pass, wanted *embedjobs.Operations,
) ([]bool, error) {
	existing := make([]bool, len(wanted.IDs))
	return existing, v.change(pass, func(string) error {
		for i, hash := range wanted.Hashes {
			existing[i] = v.state.has(pass, hash)
		}
		return nil
	})
}

func (v *vectorFile) PersistBatch(_ context.Context, pass *embedjobs.Pass, rows *embedjobs.Rows) error {
	return v.change(pass, func(spec string) error {
		for i, hash := range rows.Hashes {
			v.state.Vectors[spec][name(pass, hash)] = stored{rows.Mark(pass, i), append([]float32(nil), rows.Vector(i)...)}
		}
		return nil
	})
}

func (v *vectorFile) Finalize(_ context.Context, pass *embedjobs.Pass, manifest *embedjobs.Operations) error {
	return v.change(pass, func(spec string) error {
		visible, kept := map[string]string{}, map[string]stored{}
		for i, hash := range manifest.Hashes {
			if !v.state.has(pass, hash) {
				return embedjobs.ErrIncomplete
			}
			name := name(pass, hash)
			visible[manifest.IDs[i]], kept[name] = name, v.state.Vectors[spec][name]
		}
		v.state.Visible[spec], v.state.Vectors[spec] = visible, kept
		return nil
	})
}

// each visits the visible rows of all specs.
func (v *vectorFile) each(visit func(spec, operation string, vector []float32)) {
	v.mutex.RLock()
	defer v.mutex.RUnlock()
	for spec, visible := range v.state.Visible {
		for operation, name := range visible {
			visit(spec, operation, v.state.Vectors[spec][name].Vector)
		}
	}
}
