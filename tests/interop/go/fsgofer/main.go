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
	"gvisor.dev/gvisor/pkg/lisafs"
	"gvisor.dev/gvisor/pkg/unet"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/fsgofer"
)

func main() {
	readOnly := flag.Bool("read-only", false, "serve read-only")
	sockets := flag.Bool("sockets", false, "allow connecting to host sockets, and binding them")
	fifos := flag.Bool("fifos", false, "allow opening host FIFOs")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: fsgofer [-read-only] [-sockets] [-fifos] FD DIR")
		os.Exit(2)
	}
	fd, err := strconv.Atoi(flag.Arg(0))
	check(err)

	unix.Umask(0)
	// At least two channels, whatever the number of CPUs.
	runtime.GOMAXPROCS(max(2, runtime.NumCPU()))
	check(fsgofer.OpenProcSelfFD("/proc/self/fd"))
	socket, err := unet.NewSocket(fd)
	check(err)
	gofer := fsgofer.Config{RUID: os.Getuid(), EUID: os.Geteuid(), RGID: os.Getgid(), EGID: os.Getegid()}
	if *sockets {
		gofer.HostUDS = config.HostUDSAll
	}
	if *fifos {
		gofer.HostFifo = config.HostFifoOpen
	}
	server := lisafs.NewServer()
	connection, err := server.CreateConnection(socket, flag.Arg(1), fsgofer.ConnectionOpts(*readOnly), fsgofer.NewConnectionImpl(&gofer))
	check(err)
	server.StartConnection(connection)
	server.Wait()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fsgofer:", err)
		os.Exit(1)
	}
}
