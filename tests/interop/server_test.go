package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A server stores what its connections send in dir.
type server struct {
	*process
	proxy *process // in front of it, if any
	kind  string
	url   string // ends in a slash
	dir   string
	env   []string // what a client's environment needs besides
}

// startServer starts a server that prints where it listens.
func startServer(t *testing.T, kind, dir string, cmd *exec.Cmd) *server {
	t.Helper()
	s := &server{process: start(t, cmd), kind: kind, dir: dir}
	s.url = strings.Fields(s.line("listening on "))[0]
	return s
}

func startReceiver(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	return startServer(t, "record-server", dir,
		exec.Command(built(t, "record-server"), "-addr", "127.0.0.1:0", "-dir", dir))
}

// startNode starts Node's ws; the arguments are those of ws_server.mjs.
func startNode(t *testing.T, args ...string) *server {
	t.Helper()
	return startNodeIn(t, t.TempDir(), args...)
}

func startNodeIn(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	if _, err := os.Stat("node_modules/ws"); err != nil {
		t.Skip("Node's ws is missing: npm ci --prefix tests/interop")
	}
	return startServer(t, "node", dir, exec.Command("node", append([]string{script("ws_server.mjs"), dir}, args...)...))
}

func startPython(t *testing.T) *server {
	t.Helper()
	return startPythonIn(t, t.TempDir())
}

func startPythonIn(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	// Debian's module is seen by Debian's Python only.
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import websockets").Run(); err != nil {
		t.Skip("Python's websockets is missing: apt-get install python3-websockets")
	}
	return startServer(t, "python", dir, exec.Command(python, append([]string{script("websockets_server.py"), dir}, args...)...))
}

// startNginx starts Node's ws with nginx before it.
func startNginx(t *testing.T) *server {
	t.Helper()
	n := newNginx(t)
	s := startNode(t)
	n.before(s)
	return s
}

// An nginx does TLS, with a certificate for 127.0.0.1 of an authority that
// nobody knows, and hands on what comes to a server. Its timeouts are its own.
type nginx struct {
	t                       *testing.T
	program, dir, authority string
	socket                  *os.File
	addr                    string
}

func newNginx(t *testing.T) *nginx {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // where PATH is not root's
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("nginx is missing: apt-get install nginx")
	}
	dir := t.TempDir()
	n := &nginx{t: t, program: program, dir: dir, authority: certify(t, dir)}
	// nginx takes over a socket that is open already, as it does from an older
	// nginx: no port has to be guessed, and clients can connect at once.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if n.socket, err = l.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.socket.Close() })
	n.addr = l.Addr().String()
	return n
}

// before puts it before a server, once it runs.
func (n *nginx) before(s *server) {
	n.t.Helper()
	conf := strings.NewReplacer("DIR", n.dir, "ADDR", n.addr,
		"UPSTREAM", strings.Trim(s.url[len("ws://"):], "/")).Replace(nginxConf)
	write(n.t, filepath.Join(n.dir, "nginx.conf"), []byte(conf))
	s.proxy = n.start()
	s.kind, s.url, s.env = "nginx", "wss://"+n.addr+"/", []string{"SSL_CERT_FILE=" + n.authority}
}

func (n *nginx) start() *process {
	n.t.Helper()
	cmd := exec.Command(n.program, "-e", "stderr", "-p", n.dir, "-c", filepath.Join(n.dir, "nginx.conf"))
	cmd.ExtraFiles = []*os.File{n.socket}
	cmd.Env = append(os.Environ(), "NGINX=3;")
	p := start(n.t, cmd)
	n.t.Cleanup(func() { // before it is killed: its worker would not hear of that
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(patience):
		}
	})
	return p
}

const nginxConf = `
daemon off;
pid DIR/pid;
error_log stderr warn;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    server {
        listen ADDR ssl;
        ssl_certificate DIR/server.pem;
        ssl_certificate_key DIR/server.key;
        location / {
            proxy_pass http://UPSTREAM;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }
    }
}
`

// certify makes server.pem and server.key in dir, and returns the path of the
// certificate of the authority that vouches for them.
func certify(t *testing.T, dir string) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "An authority of this test"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	must(err)
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &leafKey.PublicKey, caKey)
	must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	must(err)
	for name, block := range map[string]*pem.Block{
		"authority.pem": {Type: "CERTIFICATE", Bytes: caDER},
		"server.pem":    {Type: "CERTIFICATE", Bytes: leafDER},
		"server.key":    {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		write(t, filepath.Join(dir, name), pem.EncodeToMemory(block))
	}
	return filepath.Join(dir, "authority.pem")
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs a client of the server to its end.
func (s *server) run(t *testing.T, limit time.Duration, program string, args ...string) *process {
	t.Helper()
	p := s.begin(t, program, args...)
	if code := p.wait(limit); code != 0 {
		t.Errorf("%s %s ended with %d", filepath.Base(program), strings.Join(args, " "), code)
	}
	return p
}

// begin starts a client that trusts the server.
func (s *server) begin(t *testing.T, program string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(strangers(), s.env...)
	return start(t, cmd)
}

// strangers is an environment that trusts only whom the system trusts, and
// lets the library say what it has to.
func strangers() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SSL_CERT_") && !strings.HasPrefix(v, "MSP_") {
			env = append(env, v)
		}
	}
	return env
}

// stop ends the server.
func (s *server) stop() {
	s.t.Helper()
	if s.proxy != nil {
		s.proxy.stop()
	}
	s.process.stop()
}

// The example puts the time before its names.
var stamp = regexp.MustCompile(`^-?\d+_`)

// stored waits until the server has stored as much as is wanted, ends it, and
// compares every byte. There must be no other files.
func (s *server) stored(want map[string][]byte) {
	s.t.Helper()
	files := func() (map[string]string, int64) {
		entries, err := os.ReadDir(s.dir)
		if err != nil {
			s.t.Fatal(err)
		}
		found, size := map[string]string{}, int64(0)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") || strings.HasSuffix(e.Name(), ".rec.json") {
				continue // the receiver's own notes
			}
			name := stamp.ReplaceAllString(e.Name(), "")
			if found[name] != "" {
				s.t.Fatalf("two files are %s: %s and %s", name, found[name], e.Name())
			}
			found[name] = e.Name()
			if info, err := e.Info(); err == nil {
				size += info.Size()
			}
		}
		return found, size
	}
	var total int64
	for _, data := range want {
		total += int64(len(data))
	}
	// Some servers store later than they confirm the end.
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if found, size := files(); len(found) >= len(want) && size >= total || time.Now().After(end) {
			break
		}
	}
	s.stop()
	found, _ := files()
	for name, data := range want {
		if found[name] == "" {
			s.t.Errorf("%s has not stored %s", s.kind, name)
			continue
		}
		got, err := os.ReadFile(filepath.Join(s.dir, found[name]))
		if err != nil {
			s.t.Fatal(err)
		}
		if !bytes.Equal(got, data) {
			s.t.Errorf("%s: %s", s.kind, difference(name, got, data))
		}
		delete(found, name)
	}
	for _, name := range found {
		s.t.Errorf("%s has stored %s as well", s.kind, name)
	}
}

func difference(name string, got, want []byte) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("%s has %d bytes, %d were sent; byte %d is the first to differ", name, len(got), len(want), i)
		}
	}
	return fmt.Sprintf("%s has %d bytes, %d were sent; the shorter one is the longer one's beginning", name, len(got), len(want))
}
