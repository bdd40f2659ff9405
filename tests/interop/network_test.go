package interop

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var outage = flag.Duration("outage", 3*time.Second, "how long the cable is pulled; of 30s on, the timeouts are the library's own")

// A network is two hosts with a cable between them: a device, and a server on
// which record-server runs. Each host is a network namespace.
type network struct {
	t              *testing.T
	device, server string // their names; the cable's ends are called so as well
	receiver       *process
	dir            string
}

const (
	deviceAddr = "10.83.0.1"
	serverAddr = "10.83.0.2"
)

func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces can only be made by root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is missing: apt-get install iproute2")
	}
	n := &network{t: t, dir: t.TempDir()}
	id := strconv.FormatUint(uint64(rand.Uint32()), 36)
	n.device, n.server = "msp-dev-"+id, "msp-srv-"+id
	for _, ns := range []string{n.device, n.server} {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			t.Skipf("network namespaces cannot be made here: %s", out)
		}
		t.Cleanup(func() { n.ip("netns", "del", ns) })
	}
	if out, err := exec.Command("ip", "link", "add", n.device, "netns", n.device,
		"type", "veth", "peer", "name", n.server, "netns", n.server).CombinedOutput(); err != nil {
		t.Skipf("no cable can be made between network namespaces: %s", out)
	}
	for ns, addr := range map[string]string{n.device: deviceAddr, n.server: serverAddr} {
		n.ip("-n", ns, "link", "set", "lo", "up")
		n.ip("-n", ns, "addr", "add", addr+"/24", "dev", ns)
		n.ip("-n", ns, "link", "set", ns, "up")
	}
	n.receiver = start(t, exec.Command("ip", "netns", "exec", n.server,
		built(t, "record-server"), "-addr", serverAddr+":9090", "-dir", n.dir))
	n.receiver.line("listening on ")
	return n
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// record starts a wsrec on the device, which is fed 16 kHz mono, 16 bits, as
// fast as it is spoken.
func (n *network) record(period time.Duration, env ...string) *recording {
	n.t.Helper()
	r := feed(n.t, period, "ws://"+serverAddr+":9090/mic.pcm", env, "ip", "netns", "exec", n.device)
	until(n.t, patience, "a second of it is stored", func() bool { return size(n.dir) > 32_000 })
	return r
}

const spoken = 80 * time.Millisecond // of 2,560 bytes

// flows waits until more is stored.
func (n *network) flows() {
	n.t.Helper()
	had := size(n.dir)
	until(n.t, returning, "bytes flow again", func() bool { return size(n.dir) > had })
}

// stored ends the recording and compares every byte.
func (n *network) stored(r *recording) {
	n.t.Helper()
	want := r.end()
	n.receiver.stop()
	got, err := os.ReadFile(filepath.Join(n.dir, "mic.pcm"))
	if err != nil {
		n.t.Fatal(err)
	}
	if string(got) != string(want) {
		n.t.Error(difference("mic.pcm", got, want))
	}
	for line := range strings.Lines(r.errors()) {
		if strings.Contains(line, "arrived") {
			n.t.Log(strings.TrimSpace(line))
		}
	}
}

// timeouts makes a server count as lost after a part of an outage.
func timeouts(d time.Duration) []string {
	ms := strconv.FormatInt(d.Milliseconds(), 10)
	return []string{"MSP_RECORD_PING_INTERVAL=" + ms, "MSP_RECORD_PONG_TIMEOUT=" + ms}
}

func TestAPulledCableLosesNothing(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"device", "server"} {
		t.Run(host, func(t *testing.T) {
			n := newNetwork(t)
			r := n.record(spoken, timeouts(min(*outage/3, 10*time.Second))...)
			end := map[string]string{"device": n.device, "server": n.server}[host]
			fed := r.fed.Load()
			n.ip("-n", end, "link", "set", end, "down")
			begun := time.Now()
			r.said(1, "is lost")
			t.Logf("noticed after %v", time.Since(begun).Round(time.Millisecond))
			time.Sleep(*outage - time.Since(begun))
			// What a microphone has said meanwhile was taken.
			if want := int64(*outage/spoken) * 2560; r.fed.Load()-fed < want/2 {
				t.Errorf("%d bytes were taken in the outage, about %d were spoken", r.fed.Load()-fed, want)
			}
			n.ip("-n", end, "link", "set", end, "up")
			n.flows()
			t.Logf("flows again after %v", time.Since(begun).Round(time.Millisecond))
			n.stored(r)
			if !strings.Contains(r.errors(), "reconnected ") {
				t.Error("wsrec does not say that it reconnected")
			}
		})
	}
}

func TestACableThatIsSoonBackLosesNothingAndNoConnection(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	r := n.record(spoken)
	n.ip("-n", n.server, "link", "set", n.server, "down")
	time.Sleep(time.Second)
	n.ip("-n", n.server, "link", "set", n.server, "up")
	n.flows()
	n.stored(r)
	if strings.Contains(r.errors(), "reconnected ") {
		t.Error("wsrec reconnected")
	}
}

func TestANewAddressOfTheDeviceLosesNothing(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	r := n.record(spoken, timeouts(500*time.Millisecond)...)
	for i, addr := range []string{"10.83.0.77", "10.83.0.78"} {
		old := []string{deviceAddr, "10.83.0.77"}[i]
		n.ip("-n", n.device, "addr", "del", old+"/24", "dev", n.device)
		n.ip("-n", n.device, "addr", "add", addr+"/24", "dev", n.device)
		r.said(i+1, "is lost")
		n.flows()
	}
	n.stored(r)
	if !strings.Contains(r.errors(), "reconnected 2x") {
		t.Error("wsrec does not say that it reconnected twice")
	}
}

func TestLostPacketsLoseNothing(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, kind string
		qdisc      []string
	}{
		{"one in ten", "netem", []string{"netem", "loss", "10%"}},
		// A way too narrow, with next to no queue before it.
		{"in bursts", "tbf", []string{"tbf", "rate", "8mbit", "burst", "4kb", "limit", "6kb"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			n := newNetwork(t)
			tc, err := exec.LookPath("tc")
			if err != nil {
				t.Skip("tc is missing: apt-get install iproute2")
			}
			for _, end := range []string{n.device, n.server} {
				args := append([]string{"-n", end, "qdisc", "add", "dev", end, "root"}, row.qdisc...)
				if out, err := exec.Command(tc, args...).CombinedOutput(); err != nil {
					t.Skipf("the kernel has no %s: %s", row.kind, strings.TrimSpace(string(out)))
				}
			}
			r := n.record(2 * time.Millisecond)
			until(t, returning, "3 MB are stored", func() bool { return size(n.dir) > 3_000_000 })
			n.stored(r)
			out, err := exec.Command(tc, "-n", n.device, "-s", "qdisc", "show", "dev", n.device).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			dropped := 0
			if _, after, found := strings.Cut(string(out), "(dropped "); found {
				fmt.Sscanf(after, "%d", &dropped)
			}
			if dropped == 0 {
				t.Errorf("no packet was lost:\n%s", out)
			}
			t.Logf("%d packets of the device were lost", dropped)
		})
	}
}
