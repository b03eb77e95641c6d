// Package interop drives lisafs-gofer with gVisor's own LISAFS client, and gVisor's own server with the same tests: what fails on
// both is wrong in the test, what fails on one alone is a difference between the two. It is built with each of gVisor's vintages that
// package peer knows, and therefore in the Go of the older one.
package interop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	gcontext "gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/lisafs"
	"gvisor.dev/gvisor/pkg/unet"
	"lisafs/tests/interop/peer"
)

// goferVariable names the environment variable with the path of the lisafs-gofer to test.
const goferVariable = "LISAFS_GOFER"

// A server serves directory on socket, which it owns, until the client hangs up; a test waits for that with the function returned.
type server func(t *testing.T, socket *unet.Socket, directory string, serving peer.Serving) (wait func())

var servers = []struct {
	name   string
	gvisor bool
	serve  server
}{
	{"Gofer", false, serveGofer},
	{"GvisorServer", true, serveGvisor},
}

// serveGofer starts the real lisafs-gofer with the socket as descriptor 3, and expects it to exit with status 0 by itself.
func serveGofer(t *testing.T, socket *unet.Socket, directory string, serving peer.Serving) func() {
	program := os.Getenv(goferVariable)
	if program == "" {
		t.Skipf("%s does not name a lisafs-gofer", goferVariable)
	}
	fd, err := socket.Release()
	if err != nil {
		t.Fatalf("releasing the socket: %v", err)
	}
	file := os.NewFile(uintptr(fd), "socket")
	defer file.Close()

	mount := "3=" + directory
	if serving.ReadOnly {
		mount += ":ro"
	}
	if serving.Sockets {
		mount += ":uds-open:uds-create"
	}
	if serving.FIFOs {
		mount += ":fifo"
	}
	deadline, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	command := exec.CommandContext(deadline, program, "--serve", mount)
	command.ExtraFiles = []*os.File{file}
	command.Stdout = os.Stdout
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatalf("starting the gofer: %v", err)
	}
	return func() {
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- command.Wait() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the gofer ended with: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the gofer goes on 10 s after its last connection ended")
			command.Process.Kill()
			<-ended
		}
	}
}

// serveGvisor serves from this process with gVisor's gofer code.
func serveGvisor(t *testing.T, socket *unet.Socket, directory string, serving peer.Serving) func() {
	wait, err := peer.Serve(socket, directory, serving)
	if err != nil {
		t.Fatalf("gVisor's server: %v", err)
	}
	return wait
}

func TestMain(m *testing.M) {
	unix.Umask(0)
	// At least two channels, whatever the number of CPUs.
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2)
	}
	if err := peer.Prepare(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// A mount is one connection of gVisor's client to one of the servers, mounted on a new and empty directory of the host.
type mount struct {
	*testing.T
	ctx    gcontext.Context
	client *lisafs.Client
	root   lisafs.ClientFD
	// The directory as the host sees it.
	host string
	// The server is gVisor's.
	gvisor bool
}

type options struct {
	peer.Serving
	// Called with the host's directory before anything is served.
	prepare func(host string)
}

// onEveryServer runs test against every server, over the socket alone and over channels.
func onEveryServer(t *testing.T, test func(m *mount)) {
	onEveryServerWith(t, options{}, test)
}

func onEveryServerWith(t *testing.T, o options, test func(m *mount)) {
	for _, server := range servers {
		server := server
		lanes := []string{"Channels"}
		if peer.SocketAlone {
			lanes = []string{"Socket", "Channels"}
		}
		for _, lane := range lanes {
			lane := lane
			t.Run(server.name+lane, func(t *testing.T) {
				host := t.TempDir()
				// A container's files are for whoever its kernel lets in.
				for _, directory := range []string{host, filepath.Dir(host)} {
					if err := os.Chmod(directory, 0o777); err != nil {
						t.Fatal(err)
					}
				}
				if o.prepare != nil {
					o.prepare(host)
				}
				serverSocket, clientSocket, err := unet.SocketPair(false)
				if err != nil {
					t.Fatal(err)
				}
				wait := server.serve(t, serverSocket, host, o.Serving)
				defer wait()

				client, root, err := peer.NewClient(clientSocket, lane == "Channels")
				if err != nil {
					t.Fatalf("the client's start: %v", err)
				}
				defer client.Close()
				m := &mount{T: t, ctx: gcontext.Background(), client: client, root: client.NewFD(root.ControlFD), host: host, gvisor: server.gvisor}
				test(m)
				m.root.Close(m.ctx, true)
			})
		}
	}
}

// must ends the test if err is not nil.
func (m *mount) must(what string, err error) {
	m.Helper()
	if err != nil {
		m.Fatalf("%s: %v", what, err)
	}
}

// fails reports an error other than want.
func (m *mount) fails(what string, err error, want unix.Errno) {
	m.Helper()
	if err != want {
		m.Errorf("%s: %v, want %v", what, err, want)
	}
}

func (m *mount) path(names ...string) string {
	return filepath.Join(m.host, strings.Join(names, "/"))
}

func (m *mount) walk(names ...string) lisafs.Inode {
	m.Helper()
	_, inodes, err := m.root.WalkMultiple(m.ctx, names)
	m.must("Walk", err)
	if len(inodes) != len(names) {
		m.Fatalf("Walk %q: %d inodes", names, len(inodes))
	}
	for _, inode := range inodes[:len(inodes)-1] {
		m.client.CloseFD(m.ctx, inode.ControlFD, false)
	}
	return inodes[len(inodes)-1]
}

func (m *mount) mkdir(parent lisafs.ClientFD, name string) lisafs.ClientFD {
	m.Helper()
	inode, err := parent.MkdirAt(m.ctx, name, 0o755, lisafs.UID(os.Getuid()), lisafs.GID(os.Getgid()))
	m.must("MkdirAt", err)
	return m.client.NewFD(inode.ControlFD)
}

// create makes a regular file and opens it for reading and writing. The donated descriptor is -1 if there is none.
func (m *mount) create(parent lisafs.ClientFD, name string) (control, open lisafs.ClientFD, donated int) {
	m.Helper()
	inode, fd, donated, err := parent.OpenCreateAt(m.ctx, name, unix.O_RDWR, 0o777, lisafs.UID(os.Getuid()), lisafs.GID(os.Getgid()))
	m.must("OpenCreateAt", err)
	return m.client.NewFD(inode.ControlFD), m.client.NewFD(fd), donated
}
