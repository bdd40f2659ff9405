package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"msprecord/cmd/record-server/archive"
)

func testStore(t testing.TB) (*store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s, dir
}

var names = []struct {
	name string
	why  string // part of the refusal; empty for a good name
}{
	{"mic.wav", ""},
	{"a/b/mic.wav", ""},
	{"mic", ""},
	{"a b+c.pcm", ""},
	{"麦克风.wav", ""},
	{"a..b.wav", ""},
	{"back\\slash.wav", ""},
	{strings.Repeat("n", 255), ""},
	{strings.Repeat("d/", 511) + "nn", ""},
	{"", "empty"},
	{"/etc/passwd", "absolute"},
	{"/", "absolute"},
	{"..", ".."},
	{"../mic.wav", ".."},
	{"a/../../mic.wav", ".."},
	{"a/..", ".."},
	{".", "dot"},
	{"./mic.wav", "dot"},
	{".bashrc", "dot"},
	{"a/.ssh/keys", "dot"},
	{"a/", "nothing follows"},
	{"a//b", "empty part"},
	{"mic\x00.wav", "U+0000"},
	{"mic\n.wav", "U+000A"},
	{"mic\x1b[2J.wav", "U+001B"},
	{"mic\x7f.wav", "U+007F"},
	{"mic\u009b2J.wav", "U+009B"},
	{"mic\u2028.wav", "U+2028"},
	{"mic\u202evaw.exe", "U+202E"},
	{"mic\xff.wav", "UTF-8"},
	{strings.Repeat("n", 256), "longer than 255"},
	{strings.Repeat("d/", 512) + "n", "longer than 1024"},
}

func TestNamesThatMayBecomeFiles(t *testing.T) {
	for _, c := range names {
		err := archive.CheckName(c.name)
		switch {
		case c.why == "" && err != nil:
			t.Errorf("%.40q is refused: %v", c.name, err)
		case c.why != "" && err == nil:
			t.Errorf("%.40q is taken", c.name)
		case c.why != "" && !strings.Contains(err.Error(), c.why):
			t.Errorf("%.40q is refused with %q, want the reason %q", c.name, err, c.why)
		}
	}
}

func TestSuffixGoesBeforeTheExtension(t *testing.T) {
	long := strings.Repeat("é", 125) + ".wav" // 254 bytes
	for _, c := range []struct {
		name string
		n    int
		want string
	}{
		{"mic.wav", 1, "mic_1.wav"},
		{"mic", 12, "mic_12"},
		{"a.b/mic", 1, "a.b/mic_1"},
		{"a/mic.tar.gz", 2, "a/mic.tar_2.gz"},
		{long, 1, strings.Repeat("é", 124) + "_1.wav"},
	} {
		if got := suffixed(c.name, c.n); got != c.want {
			t.Errorf("suffixed(%q, %d) = %q, want %q", c.name, c.n, got, c.want)
		}
	}
}

func TestAnExistingFileIsNotTouched(t *testing.T) {
	s, dir := testStore(t)
	os.Mkdir(filepath.Join(dir, "a"), 0o755)
	os.WriteFile(filepath.Join(dir, "a/mic.wav"), []byte("old"), 0o644)
	for _, want := range []string{"a/mic_1.wav", "a/mic_2.wav"} {
		f, name, err := s.open("a/mic.wav")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if name != want {
			t.Errorf("the file is %s, want %s", name, want)
		}
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "a/mic.wav")); string(got) != "old" {
		t.Errorf("the old file has %q now", got)
	}
}

func TestLinksDoNotLeadOut(t *testing.T) {
	s, dir := testStore(t)
	outside := t.TempDir()
	os.Symlink(outside, filepath.Join(dir, "out"))
	os.Symlink(filepath.Join(outside, "file"), filepath.Join(dir, "dangling"))
	for _, name := range []string{"out/mic.wav", "out/deep/mic.wav"} {
		if _, _, err := s.open(name); err == nil {
			t.Errorf("%s was created", name)
		} else if strings.Contains(err.Error(), outside) || strings.Contains(err.Error(), dir) {
			t.Errorf("the error gives directories away: %v", err)
		}
	}
	if f, name, err := s.open("dangling"); err == nil {
		f.Close()
		if name == "dangling" {
			t.Error("a file was created through a link")
		}
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("%v is outside", left)
	}
}

func TestADirectoryThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o644)
	if _, err := openStore(file); cause(err) != syscall.ENOTDIR {
		t.Errorf("a file as directory: %v", err)
	}
	s, dir := testStore(t)
	os.WriteFile(filepath.Join(dir, "a"), nil, 0o644)
	if _, _, err := s.open("a/mic.wav"); err == nil {
		t.Error("a file served as a directory of a name")
	}
}

func FuzzNamesStayInside(f *testing.F) {
	for _, c := range names {
		f.Add(c.name)
	}
	outer := f.TempDir()
	dir := filepath.Join(outer, "in")
	s, err := openStore(dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		file, real, err := s.open(name)
		if err != nil {
			return
		}
		file.Close()
		defer s.remove(real)
		if !filepath.IsLocal(real) || archive.CheckName(real) != nil {
			t.Errorf("%q became %q", name, real)
		}
		if _, err := os.Lstat(filepath.Join(dir, real)); err != nil {
			t.Errorf("%q is not where it should be: %v", real, err)
		}
		if left, _ := os.ReadDir(outer); len(left) != 1 {
			t.Errorf("%q made %v outside", name, left)
		}
	})
}
