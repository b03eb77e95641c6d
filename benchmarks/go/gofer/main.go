// Measures file operations of gVisor's own LISAFS client, one at a time, on lisafs-gofer, on gVisor's gofer, and on a server that does
// nothing for its answers: what is left then is the client's own time, and the time of two processes that take turns.
//
//	usage: PROGRAM GOFER NULL-GOFER DIRECTORY
//
// GOFER is the lisafs-gofer to start; it and gVisor's serve DIRECTORY, from processes of their own. Prints one JSON array:
// [{"work": …, "system": "lisafs", "gvisor-go" or "null", "value": microseconds of one operation}, …].
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/lisafs"
	"gvisor.dev/gvisor/pkg/unet"
	"gvisor.dev/gvisor/runsc/fsgofer"
)

// The middle of many short rounds counts, and both systems take turns in each, so that what else the machine does meanwhile counts
// for little and for both.
const warmUp, rounds = 3, 31

const serverSocket = 3

var ctx = context.Background()

func main() {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		serve(os.Args[2])
		return
	}
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: PROGRAM GOFER NULL-GOFER DIRECTORY")
		os.Exit(2)
	}
	// A client has as many channels as it may use CPUs at once, but for one.
	runtime.GOMAXPROCS(max(2, runtime.NumCPU()))
	gofer, null, directory := os.Args[1], os.Args[2], os.Args[3]
	mounts := []*mount{
		newMount("lisafs", gofer, "--serve", fmt.Sprintf("%d=%s", serverSocket, directory)),
		newMount("gvisor-go", "/proc/self/exe", "serve", directory),
		newMount("null", null, fmt.Sprint(serverSocket)),
	}

	type result struct {
		Work   string  `json:"work"`
		System string  `json:"system"`
		Value  float64 `json:"value"`
	}
	results := []result{}
	for _, work := range works {
		times := make([][]float64, len(mounts))
		for round := range warmUp + rounds {
			for i, mount := range mounts {
				if work.prepare != nil {
					work.prepare(mount, work.count)
				}
				start := time.Now()
				work.do(mount, work.count)
				if round >= warmUp {
					times[i] = append(times[i], float64(time.Since(start).Nanoseconds())/float64(1000*work.count))
				}
				if work.cleanUp != nil {
					work.cleanUp(mount, work.count)
				}
			}
		}
		for i, mount := range mounts {
			slices.Sort(times[i])
			results = append(results, result{work.name, mount.system, times[i][rounds/2]})
		}
	}
	check(json.NewEncoder(os.Stdout).Encode(results))
	for _, mount := range mounts {
		mount.client.Close()
		check(mount.server.Wait())
	}
}

// serve is gVisor's gofer: its handlers on its server.
func serve(directory string) {
	unix.Umask(0)
	check(fsgofer.OpenProcSelfFD("/proc/self/fd"))
	socket, err := unet.NewSocket(serverSocket)
	check(err)
	server := lisafs.NewServer()
	connection, err := server.CreateConnection(socket, directory, fsgofer.ConnectionOpts(false), fsgofer.NewConnectionImpl(&fsgofer.Config{}))
	check(err)
	server.StartConnection(connection)
	server.Wait()
}

// A mount is the client of one server, which serves a process of its own.
type mount struct {
	system string
	server *exec.Cmd
	client *lisafs.Client
	root   lisafs.ClientFD

	// A file of data, its name, and opened for reading and writing.
	file string
	stat lisafs.ClientFD
	open lisafs.ClientFD
	data []byte
}

func newMount(system string, command ...string) *mount {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(err)
	file := os.NewFile(uintptr(fds[1]), "server")
	server := exec.Command(command[0], command[1:]...)
	server.ExtraFiles = []*os.File{file}
	server.Stderr = os.Stderr
	check(server.Start())
	file.Close()
	socket, err := unet.NewSocket(fds[0])
	check(err)
	client, root, donated, err := lisafs.NewClient(socket)
	check(err)
	closeDonated(donated)
	check(client.StartChannels())
	m := &mount{system: system, server: server, client: client, root: client.NewFD(root.ControlFD), file: system, data: make([]byte, 1<<20)}

	inode, open, donated, err := m.root.OpenCreateAt(ctx, m.file, unix.O_RDWR, 0o600, 0, 0)
	check(err)
	closeDonated(donated)
	m.stat, m.open = client.NewFD(inode.ControlFD), client.NewFD(open)
	m.write(len(m.data))
	return m
}

type work struct {
	name             string
	count            int // In a round.
	prepare, cleanUp func(m *mount, count int)
	do               func(m *mount, count int)
}

var works = []work{
	{name: "fstat", count: 200, do: func(m *mount, count int) {
		var stat lisafs.Statx
		for range count {
			check(m.stat.StatTo(ctx, &stat))
		}
	}},
	{name: "walk", count: 200, do: func(m *mount, count int) {
		for range count {
			inode, err := m.root.Walk(ctx, m.file)
			check(err)
			m.client.CloseFD(ctx, inode.ControlFD, false)
		}
	}},
	{name: "open and close", count: 200, do: func(m *mount, count int) {
		for range count {
			fd, donated, err := m.stat.OpenAt(ctx, unix.O_RDONLY)
			check(err)
			closeDonated(donated)
			m.client.CloseFD(ctx, fd, true)
		}
	}},
	{name: "create", count: 100, do: create, cleanUp: unlink},
	{name: "unlink", count: 100, prepare: create, do: unlink},
	{name: "rename", count: 200, do: func(m *mount, count int) {
		for i := range count {
			old, new := m.file, m.file+".renamed"
			if i%2 == 1 {
				old, new = new, old
			}
			check(m.root.RenameAt(ctx, old, m.root.ID(), new, 0))
		}
	}},
	{name: "read 4 KiB", count: 200, do: func(m *mount, count int) {
		for range count {
			m.read(4 << 10)
		}
	}},
	{name: "write 4 KiB", count: 200, do: func(m *mount, count int) {
		for range count {
			m.write(4 << 10)
		}
	}},
	{name: "read 1 MiB", count: 10, do: func(m *mount, count int) {
		for range count {
			m.read(1 << 20)
		}
	}},
	{name: "write 1 MiB", count: 10, do: func(m *mount, count int) {
		for range count {
			m.write(1 << 20)
		}
	}},
}

func (m *mount) made(i int) string { return fmt.Sprintf("%s.%d", m.file, i) }

func create(m *mount, count int) {
	for i := range count {
		inode, open, donated, err := m.root.OpenCreateAt(ctx, m.made(i), unix.O_RDWR, 0o600, 0, 0)
		check(err)
		closeDonated(donated)
		m.client.CloseFD(ctx, open, false)
		m.client.CloseFD(ctx, inode.ControlFD, false)
	}
}

func unlink(m *mount, count int) {
	for i := range count {
		check(m.root.UnlinkAt(ctx, m.made(i), 0))
	}
}

func (m *mount) read(size int) {
	n, err := m.open.Read(ctx, m.data[:size], 0)
	check(err)
	if n != uint64(size) {
		check(fmt.Errorf("read %d bytes of %d", n, size))
	}
}

func (m *mount) write(size int) {
	n, err := m.open.Write(ctx, m.data[:size], 0)
	check(err)
	if n != uint64(size) {
		check(fmt.Errorf("wrote %d bytes of %d", n, size))
	}
}

func closeDonated(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, os.Args[0]+":", err)
		os.Exit(1)
	}
}
