// SPDX-License-Identifier: Apache-2.0
// The application of README.md for Go's net/http.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

var (
	lock     sync.Mutex
	sessions [][]byte
	made     int
	keepAll  = os.Getenv("KEEP") == "all"
	bytes, _ = strconv.Atoi(os.Getenv("SESSION_BYTES"))
)

func create() string {
	lock.Lock()
	defer lock.Unlock()
	sessions = append(sessions, make([]byte, bytes))
	if !keepAll && len(sessions) > 100 {
		sessions = sessions[1:]
	}
	made++
	return fmt.Sprintf("session %d\n", made)
}

func handle(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/sessions":
		fmt.Fprint(w, create())
	case "/search":
		var found []string
		for i := 0; i < 30; i++ {
			found = append(found, fmt.Sprintf("result %d", i))
		}
		fmt.Fprint(w, strings.Join(found, "\n"))
	case "/kept":
		fmt.Fprintf(w, "%d 0\n", made)
	default:
		fmt.Fprint(w, map[string]string{"path": r.URL.Path, "tags": "a b c"})
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listening on %d\n", listener.Addr().(*net.TCPAddr).Port)
	http.Serve(listener, http.HandlerFunc(handle))
}
