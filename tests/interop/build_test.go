package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// scratch is a folder for the whole run.
var scratch string

// root is the project's folder.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// build returns the folder with libmsprecord.so and record-server: the CMake
// build that MSPRECORD_BUILD names, from the project's folder, or one of our
// own.
var build = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("MSPRECORD_BUILD"); dir != "" {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(root, dir)
		}
		if _, err := os.Stat(filepath.Join(dir, "libmsprecord.so")); err != nil {
			return "", fmt.Errorf("MSPRECORD_BUILD: %w", err)
		}
		return dir, nil
	}
	dir := filepath.Join(scratch, "build")
	for _, args := range [][]string{
		{"-S", root, "-B", dir, "-DBUILD_TESTING=OFF", "-DMSPRECORD_EXAMPLES=OFF"},
		{"--build", dir},
	} {
		if out, err := exec.Command("cmake", args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("cmake %v: %w\n%s", args, err, out)
		}
	}
	return dir, nil
})

func built(t *testing.T, name string) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// compile makes a program of a source in testdata, linked with the library.
func compile(t *testing.T, source, program string, flags ...string) {
	t.Helper()
	lib := built(t, "")
	args := append([]string{"-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I" + filepath.Join(root, "include")}, flags...)
	args = append(args, "-o", program, filepath.Join("testdata", source), "-pthread",
		"-L"+lib, "-lmsprecord", "-Wl,-rpath,"+lib)
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "gcc"
	}
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", cc, args, err, out)
	}
}

// client returns the program of testdata/client.c.
func client(t *testing.T) string {
	t.Helper()
	program := filepath.Join(scratch, "client")
	clientOnce.Do(func() { compile(t, "client.c", program) })
	if _, err := os.Stat(program); err != nil {
		t.Fatal("the client could not be built")
	}
	return program
}

var clientOnce sync.Once

// script returns the path of a file in this folder.
func script(name string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), name)
}
