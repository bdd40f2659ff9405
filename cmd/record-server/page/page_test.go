// SPDX-License-Identifier: MIT

package page

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"msprecord/cmd/record-server/live"
	"msprecord/cmd/record-server/pcm"
)

func testPage(t *testing.T) (*httptest.Server, *os.Root) {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	hub := live.New(time.Now)
	web := httptest.NewServer(New(root, hub, pcm.Format{Rate: 16000, Channels: 1, Bits: 16}, func(string, pcm.Format) error { return nil }))
	t.Cleanup(func() { hub.Close(); web.Close(); root.Close() })
	return web, root
}

func get(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// Everything that the page's own files refer to is one of them: nothing comes
// from another server, and nothing is missing.
func TestThePageIsComplete(t *testing.T) {
	web, _ := testPage(t)
	refers := regexp.MustCompile(`(?:src|href|from) ?=?"([^"#]*\.(?:js|css|svg))"|from "([^"]*)"`)
	seen := map[string]bool{}
	for queue := []string{"/"}; len(queue) > 0; queue = queue[1:] {
		resp, body := get(t, web.URL+queue[0])
		if resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d", queue[0], resp.StatusCode)
		}
		if i := strings.Index(body, "://"); i >= 0 && !strings.Contains(queue[0], ".svg") {
			t.Errorf("%s refers to another server: %.60q", queue[0], body[max(i-20, 0):])
		}
		for _, m := range refers.FindAllStringSubmatch(body, -1) {
			name := strings.TrimPrefix(strings.TrimPrefix(m[1]+m[2], ".page/"), "./")
			if path := Prefix + name; !seen[path] {
				seen[path] = true
				queue = append(queue, path)
			}
		}
	}
	if len(seen) < 15 {
		t.Errorf("only %d files", len(seen))
	}
}

func TestAssetsAreAskedForOnce(t *testing.T) {
	web, _ := testPage(t)
	resp, _ := get(t, web.URL+Prefix+"main.js")
	tag := resp.Header.Get("ETag")
	if tag == "" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("%v", resp.Header)
	}
	if resp, _ := get(t, web.URL+Prefix+"main.js", "If-None-Match", tag); resp.StatusCode != 304 {
		t.Errorf("again: %d", resp.StatusCode)
	}
}

func TestADownloadMayBeAPart(t *testing.T) {
	web, root := testPage(t)
	root.WriteFile("a \"quoted\" näme.pcm", []byte("0123456789"), 0o644)
	url := web.URL + Prefix + "download?as=raw&name=a+%22quoted%22+n%C3%A4me.pcm"
	resp, body := get(t, url)
	if body != "0123456789" || !strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%q, %v", body, resp.Header)
	}
	if resp, body := get(t, url, "Range", "bytes=3-5"); resp.StatusCode != 206 || body != "345" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

func TestRequestsThatAreTooLarge(t *testing.T) {
	web, root := testPage(t)
	root.WriteFile("a.pcm", make([]byte, 1000), 0o644)
	for _, query := range []string{
		"view?name=a.pcm&from=0&count=10&columns=5000", "view?name=a.pcm&from=-1&count=10&columns=5",
		"view?name=a.pcm&from=0&count=9999999999999999&columns=5", "samples?name=a.pcm&from=0&count=99999999", "samples?name=a.pcm&from=x&count=1",
	} {
		if resp, _ := get(t, web.URL+Prefix+query); resp.StatusCode != 400 {
			t.Errorf("%s: %d", query, resp.StatusCode)
		}
	}
	for _, query := range []string{"view?name=a.pcm&from=0&count=0&columns=5&spectra=1", "view?name=a.pcm&from=1099511627776&count=1099511627776&columns=4096", "samples?name=a.pcm&from=400&count=1000"} {
		if resp, _ := get(t, web.URL+Prefix+query); resp.StatusCode != 200 {
			t.Errorf("%s: %d", query, resp.StatusCode)
		}
	}
}
