// Measures one null request of one protocol, between two processes: this one is the client and starts itself again as the server.
//
//	usage: PROGRAM channel|socket
//
// Prints the nanoseconds that one exchange takes. It is built once with each file beside it that has connect and serve:
// lisafs.go for gVisor's LISAFS of today, p9.go (tag p9) for the 9P that gVisor had before.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"sort"
	"time"

	"golang.org/x/sys/unix"
)

const serverSocket = 3

func main() {
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		check(serve(serverSocket))
		return
	}
	if len(os.Args) != 2 || (os.Args[1] != "channel" && os.Args[1] != "socket") {
		fmt.Fprintln(os.Stderr, "usage: PROGRAM channel|socket")
		os.Exit(2)
	}

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

	nanoseconds, err := measure(exchange)
	check(err)
	fmt.Printf("%.1f\n", nanoseconds)
	check(server.Process.Kill())
}

// measure is the nanoseconds that one exchange takes: the middle of many short rounds, as //benchmarks:rpc does it.
func measure(exchange func() error) (float64, error) {
	const warmUp, rounds, exchanges = 5, 101, 500
	var times []float64
	for round := 0; round < warmUp+rounds; round++ {
		start := time.Now()
		for i := 0; i < exchanges; i++ {
			if err := exchange(); err != nil {
				return 0, err
			}
		}
		times = append(times, float64(time.Since(start).Nanoseconds())/exchanges)
	}
	times = times[warmUp:]
	sort.Float64s(times)
	return times[rounds/2], nil
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, os.Args[0]+":", err)
		os.Exit(1)
	}
}
