// Measures one null request of one protocol, between two processes: this one is the client and starts itself again as the server.
//
//	usage: PROGRAM channel|socket SECONDS
//
// Prints the nanoseconds that one exchange takes on average. It is built once with each file beside it that has connect and serve:
// lisafs.go for gVisor's LISAFS of today, p9.go (tag p9) for the 9P that gVisor had before.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const serverSocket = 3

func main() {
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		check(serve(serverSocket))
		return
	}
	if len(os.Args) != 3 || (os.Args[1] != "channel" && os.Args[1] != "socket") {
		fmt.Fprintln(os.Stderr, "usage: PROGRAM channel|socket SECONDS")
		os.Exit(2)
	}
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	check(err)

	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(err)
	file := os.NewFile(uintptr(fds[1]), "server")
	server := exec.Command("/proc/self/exe", "serve")
	server.ExtraFiles = []*os.File{file}
	server.Stderr = os.Stderr
	check(server.Start())
	file.Close()
	exchange, err := connect(fds[0], os.Args[1] == "channel")
	check(err)

	_, err = average(exchange, 200*time.Millisecond)
	check(err)
	nanoseconds, err := average(exchange, time.Duration(seconds*float64(time.Second)))
	check(err)
	fmt.Printf("%.1f\n", nanoseconds)
	check(server.Process.Kill())
}

// average is the time in nanoseconds that one exchange takes, over at least the given time.
func average(exchange func() error, atLeast time.Duration) (float64, error) {
	// So many that looking at the clock does not count.
	const batch = 64
	count := 0
	start := time.Now()
	for {
		for range [batch]struct{}{} {
			if err := exchange(); err != nil {
				return 0, err
			}
		}
		count += batch
		if elapsed := time.Since(start); elapsed >= atLeast {
			return float64(elapsed.Nanoseconds()) / float64(count), nil
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, os.Args[0]+":", err)
		os.Exit(1)
	}
}
