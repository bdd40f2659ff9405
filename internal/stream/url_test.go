// SPDX-License-Identifier: MIT

package stream

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

func TestParseURLRefuses(t *testing.T) {
	for url, words := range map[string]string{
		"ws://":          "host",
		"ws:///x":        "host",
		"ws://a:0/x":     "port",
		"ws://a:70000/x": "port",
		"ws://a:b/x":     "port",
		"ws://a/x#y":     "fragment",
		"ws://a/x#":      "fragment",
		"ws://[::1/x":    "']'",
		"ws://a/%zz":     "escape",
		"ws://a\x7f/x":   "control",
		"ws://a b/x":     "host name",
		"ws://\xff\xfe/": "punycode",
	} {
		if _, err := ParseURL(url); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v; want %q", url, err, words)
		}
	}
}

func TestAPasswordThatIsNotEncodedIsRefusedAndNotTold(t *testing.T) {
	for _, password := range []string{"pa/ss", "pa?ss", "pa#ss", "pa%ss", "pa ss", "pä#ss", "p[a]ss", "p@a/ss", "p:a/ss", "p@a:b/ss", "/ss", "pa\x01ss"} {
		url := "ws://user:" + password + "@host/x"
		u, err := ParseURL(url)
		shown := []string{ShowURL(url)}
		if err == nil {
			shown = append(shown, ShowURL(u.String()))
		} else if shown = append(shown, err.Error()); !strings.Contains(err.Error(), "percent-encoding") {
			t.Errorf("%q: %v", url, err)
		}
		for _, s := range shown {
			if strings.Contains(s, "ss@") || strings.Contains(s, "pa") && !strings.Contains(s, "percent") || strings.Contains(s, ":a") || strings.Contains(s, "user:") {
				t.Errorf("%q is told as %q", url, s)
			}
		}
	}
}

func TestAURLIsShownWithoutSecrets(t *testing.T) {
	for url, want := range map[string]string{
		"ws://host/x.wav":                         "ws://host/x.wav",
		"ws://host:9090/a?b=c&d":                  "ws://host:9090/a?b=xxxxx&xxxxx",
		"ws://host/x?token=abc&rate=16000":        "ws://host/x?token=xxxxx&rate=xxxxx",
		"wss://user:pw@host:1/x":                  "wss://xxxxx@host:1/x",
		"wss://TOKEN@host/x?token=a@b":            "wss://xxxxx@host/x?token=xxxxx",
		"ws://host/x?mail=a@b":                    "ws://host/x?mail=xxxxx",
		"ws://user:pa/ss@host/x":                  "ws://xxxxx@host/x",
		"ws://user:12/ss@host/x":                  "ws://xxxxx@host/x",
		"ws://user:pa?ss@host/x?t=s":              "ws://xxxxx@host/x?t=xxxxx",
		"user:pw@host/x":                          "xxxxx@host/x",
		"ws://user:pw@host/a@b.wav":               "ws://xxxxx@host/a@b.wav",
		"ws://user:p@a/ss@host/x":                 "ws://xxxxx@host/x",
		"ws://[::1]:80/x":                         "ws://[::1]:80/x",
		"ws://u:p@[::1]/x":                        "ws://xxxxx@[::1]/x",
		"ws://host/" + strings.Repeat("n", 300):   "ws://host/" + strings.Repeat("n", 190) + "...",
		"ws://host/x?" + strings.Repeat("s", 300): "ws://host/x?xxxxx",
	} {
		if got := ShowURL(url); got != want {
			t.Errorf("%q is shown as %q, not %q", url, got, want)
		}
	}
}

func TestAURLIsRequestedAsAServerCanReadIt(t *testing.T) {
	for url, want := range map[string]string{
		"ws://h/a b?c d":              "/a%20b?c%20d",
		"ws://h/a?b?c=/@:":            "/a?b?c=/@:",
		"ws://h/?tag={x}|\"y\"":       "/?tag=%7Bx%7D%7C%22y%22",
		"ws://h/?name=\u00fc&p=100%":  "/?name=%C3%BC&p=100%25",
		"ws://h/?x=%zz&y=%2F&z=%4":    "/?x=%25zz&y=%2F&z=%254",
		"ws://h/?q=a+b%2Bc;(d)*'!,$~": "/?q=a+b%2Bc;(d)*'!,$~",
		"ws://h?x=1":                  "/?x=1",
	} {
		u, err := ParseURL(url)
		if err != nil {
			t.Errorf("%q: %v", url, err)
		} else if got := u.RequestURI(); got != want {
			t.Errorf("%q is requested as %q, not %q", url, got, want)
		}
	}
}

func TestAnInternationalHostNameBecomesPunycode(t *testing.T) {
	u, err := ParseURL("ws://B\u00dccher.example:9090/x")
	if err != nil || u.Host != "xn--bcher-kva.example:9090" {
		t.Fatal(u, err)
	}
}
