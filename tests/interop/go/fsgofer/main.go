// Serves a directory on an inherited socket with gVisor's own gofer code, unconfined: a peer for tests in other languages.
//
//	usage: fsgofer [-read-only] [-sockets] [-fifos] FD DIR
//
// Ends with status 0 when the connection has.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/unet"
	"lisafs/tests/interop/peer"
)

func main() {
	var serving peer.Serving
	flag.BoolVar(&serving.ReadOnly, "read-only", false, "serve read-only")
	flag.BoolVar(&serving.Sockets, "sockets", false, "allow connecting to host sockets, and binding them")
	flag.BoolVar(&serving.FIFOs, "fifos", false, "allow opening host FIFOs")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: fsgofer [-read-only] [-sockets] [-fifos] FD DIR")
		os.Exit(2)
	}
	fd, err := strconv.Atoi(flag.Arg(0))
	check(err)

	unix.Umask(0)
	// At least two channels, whatever the number of CPUs.
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2)
	}
	check(peer.Prepare())
	socket, err := unet.NewSocket(fd)
	check(err)
	wait, err := peer.Serve(socket, flag.Arg(1), serving)
	check(err)
	wait()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fsgofer:", err)
		os.Exit(1)
	}
}
