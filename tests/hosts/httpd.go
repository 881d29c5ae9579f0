// SPDX-License-Identifier: Apache-2.0
// Go's net/http: answers, reads bodies, runs a program. SIGTERM ends it with 0.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"strings"
	"syscall"
)

func handle(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/child":
		text, err := exec.Command("echo", "from a child").Output()
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		w.Write(text)
	case "/user":
		me, err := user.LookupId("0") // through libc where cgo is on
		fmt.Fprint(w, me, err)
	case "/post":
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "got %d", len(body))
	case "/big":
		io.WriteString(w, strings.Repeat("b", 200000))
	default:
		fmt.Fprintf(w, "path %s", r.URL.Path)
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() {
		<-end
		os.Exit(0)
	}()
	http.Serve(listener, http.HandlerFunc(handle))
}
