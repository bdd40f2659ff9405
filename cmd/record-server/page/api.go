// SPDX-License-Identifier: MIT

package page

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"time"

	"msprecord/cmd/record-server/archive"
	"msprecord/cmd/record-server/pcm"
)

const (
	maxListed  = 500
	maxSamples = 1 << 20 // of one answer
	// A download takes as long as its reader does, but not for ever.
	downloadTime = 6 * time.Hour
)

func (h *Handler) recordings(w http.ResponseWriter, r *http.Request) {
	list, total := archive.List(h.root, h.assumed, maxListed)
	answer(w, map[string]any{"recordings": list, "total": total})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // an error is that of the connection
}

// fail answers with what went wrong, without telling paths.
func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var name archive.NameError
	var bad badRequest
	switch {
	case errors.Is(err, fs.ErrNotExist):
		status, err = http.StatusNotFound, errors.New("there is no such recording")
	case errors.As(err, &name), errors.As(err, &bad):
		status = http.StatusBadRequest
	}
	http.Error(w, err.Error(), status)
}

type badRequest string

func (e badRequest) Error() string { return string(e) }

// whole reads a number of the query, from 0 to limit.
func whole(q url.Values, key string, limit int64) (int64, error) {
	n, err := strconv.ParseInt(q.Get(key), 10, 64)
	if err != nil || n < 0 || n > limit {
		return 0, badRequest(fmt.Sprintf("%s: must be 0 to %d", key, limit))
	}
	return n, nil
}

// stretch opens the recording of a request and reads from and count of it.
func (h *Handler) stretch(r *http.Request, limit int64) (rec *archive.Recording, from, count int64, err error) {
	q := r.URL.Query()
	if from, err = whole(q, "from", 1<<40); err != nil {
		return
	}
	if count, err = whole(q, "count", limit); err != nil {
		return
	}
	rec, err = archive.Open(h.root, q.Get("name"), h.assumed)
	return
}

// view answers with a picture of a part of a recording, little-endian:
//
//	columns, channels, rows, frames of the recording        each 4 bytes
//	columns × channels × (min, max, RMS)                    each 2 bytes
//	columns × channels × rows                               each 1 byte
func (h *Handler) view(w http.ResponseWriter, r *http.Request) {
	columns, err := whole(r.URL.Query(), "columns", archive.MaxColumns)
	if err != nil {
		fail(w, err)
		return
	}
	rec, from, count, err := h.stretch(r, 1<<40)
	if err != nil {
		fail(w, err)
		return
	}
	defer rec.Close()
	v, err := rec.View(from, count, int(columns), r.URL.Query().Get("spectra") == "1")
	if err != nil {
		fail(w, errors.New("the recording can't be read"))
		return
	}
	le := binary.LittleEndian
	b := make([]byte, 0, 16+len(v.Levels)*6+len(v.Spectra))
	for _, n := range []int64{int64(v.Columns), int64(v.Channels), int64(v.Rows), min(rec.Frames(), math.MaxUint32)} {
		b = le.AppendUint32(b, uint32(n))
	}
	for _, l := range v.Levels {
		b = le.AppendUint16(b, uint16(l.Min))
		b = le.AppendUint16(b, uint16(l.Max))
		b = le.AppendUint16(b, l.RMS)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(append(b, v.Spectra...))
}

// samples answers with frames as 32-bit floats, little-endian.
func (h *Handler) samples(w http.ResponseWriter, r *http.Request) {
	rec, from, count, err := h.stretch(r, maxSamples)
	if err != nil {
		fail(w, err)
		return
	}
	defer rec.Close()
	x, err := rec.Samples(nil, from, min(count, maxSamples/int64(rec.Format.Channels)))
	if err != nil {
		fail(w, errors.New("the recording can't be read"))
		return
	}
	b := make([]byte, 0, len(x)*4)
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(b)
}

// download answers with a whole recording, as a WAV or as what was sent.
func (h *Handler) download(w http.ResponseWriter, r *http.Request) {
	rec, err := archive.Open(h.root, r.URL.Query().Get("name"), h.assumed)
	if err != nil {
		fail(w, err)
		return
	}
	defer rec.Close()
	var content io.ReadSeeker
	var name, kind string
	switch r.URL.Query().Get("as") {
	case "wav":
		content, name, kind = rec.WAV(), archive.WAVName(rec.Name), "audio/wav"
	case "raw":
		content, name, kind = rec.Raw(), path.Base(rec.Name), "application/octet-stream"
		if path.Ext(name) == ".wav" {
			name = name[:len(name)-len(".wav")] + ".pcm"
		}
	default:
		fail(w, badRequest("as: must be wav or raw"))
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadTime))
	http.ServeContent(w, r, "", rec.Modified, content)
}

// format changes what the samples of a recording are said to be.
func (h *Handler) format(w http.ResponseWriter, r *http.Request) {
	var f pcm.Format
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&f); err != nil {
		fail(w, badRequest(err.Error()))
		return
	}
	if err := h.setFormat(r.URL.Query().Get("name"), f); err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
