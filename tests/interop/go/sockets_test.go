package interop

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/lisafs"
	"lisafs/tests/interop/peer"
)

// What the host has there before it is served: a listening socket of each kind, and a FIFO.
func prepareSpecialFiles(t *testing.T, listeners map[linux.SockType]int) func(host string) {
	return func(host string) {
		for _, kind := range []linux.SockType{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
			listeners[kind] = listenOnHost(t, fmt.Sprintf("%s/socket%d", host, kind), kind)
		}
		if err := unix.Mkfifo(host+"/fifo", 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func listenOnHost(t *testing.T, path string, kind linux.SockType) int {
	fd, err := unix.Socket(unix.AF_UNIX, int(kind)|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if kind != unix.SOCK_DGRAM {
		if err := unix.Listen(fd, 5); err != nil {
			t.Fatal(err)
		}
	}
	return fd
}

// receive waits for something on a socket that may be non-blocking.
func (m *mount) receive(fd int) string {
	m.Helper()
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 10_000); err != nil || n != 1 {
		m.Fatalf("nothing to receive: %d, %v", n, err)
	}
	data := make([]byte, 100)
	n, err := unix.Read(fd, data)
	m.must("read", err)
	return string(data[:n])
}

func (m *mount) control(name string) lisafs.ClientFD {
	m.Helper()
	return m.client.NewFD(m.walk(name).ControlFD)
}

func TestConnect(t *testing.T) {
	listeners := map[linux.SockType]int{}
	withSockets := options{Serving: peer.Serving{Sockets: true}}
	onEveryServerPrepared(t, withSockets, listeners, func(m *mount) {
		for kind, listener := range listeners {
			file := m.control(fmt.Sprintf("socket%d", kind))
			defer file.Close(m.ctx, false)
			socket, err := peer.Connect(m.ctx, file, kind)
			m.must("Connect", err)
			defer unix.Close(socket)
			received := listener
			if kind != unix.SOCK_DGRAM {
				received, _, err = unix.Accept(listener)
				m.must("accept on the host", err)
				defer unix.Close(received)
			}
			_, err = unix.Write(socket, []byte("hello"))
			m.must("write to the donated socket", err)
			if got := m.receive(received); got != "hello" {
				m.Errorf("the host received %q on its socket of type %d", got, kind)
			}
		}
		stream := m.control("socket1")
		defer stream.Close(m.ctx, false)
		_, err := peer.Connect(m.ctx, stream, unix.SOCK_DGRAM)
		m.fails("Connect with another type", err, unix.EPROTOTYPE)
		_, err = peer.Connect(m.ctx, m.root, unix.SOCK_STREAM)
		m.fails("Connect to a directory", err, unix.ENOTSOCK)
	})
}

// The host's service sees whom it talks to: the application, and not the server.
func TestConnectWithCreds(t *testing.T) {
	if !peer.ConnectsWithCreds {
		t.Skip("this vintage of gVisor's client has no ConnectWithCreds")
	}
	if os.Getuid() != 0 {
		t.Skip("taking on another's ids needs root")
	}
	listeners := map[linux.SockType]int{}
	onEveryServerPrepared(t, options{Serving: peer.Serving{Sockets: true}}, listeners, func(m *mount) {
		m.must("chmod on the host", os.Chmod(m.path("socket1"), 0o777))
		file := m.control("socket1")
		defer file.Close(m.ctx, false)
		for _, ids := range [][2]uint32{{1234, 5678}, {0, 0}} {
			socket, err := peer.ConnectWithCreds(m.ctx, file, unix.SOCK_STREAM, ids[0], ids[1])
			m.must("ConnectWithCreds", err)
			defer unix.Close(socket)
			accepted, _, err := unix.Accept(listeners[unix.SOCK_STREAM])
			m.must("accept on the host", err)
			defer unix.Close(accepted)
			seen, err := unix.GetsockoptUcred(accepted, unix.SOL_SOCKET, unix.SO_PEERCRED)
			m.must("SO_PEERCRED", err)
			if seen.Uid != ids[0] || seen.Gid != ids[1] {
				m.Errorf("the host sees %d:%d, want %d:%d", seen.Uid, seen.Gid, ids[0], ids[1])
			}
		}
		m.must("chmod on the host", os.Chmod(m.path("socket1"), 0o700))
		_, err := peer.ConnectWithCreds(m.ctx, file, unix.SOCK_STREAM, 1234, 5678)
		m.fails("ConnectWithCreds to somebody else's socket", err, unix.EACCES)
	})
}

func TestBindListenAccept(t *testing.T) {
	onEveryServerWith(t, options{Serving: peer.Serving{Sockets: true}}, func(m *mount) {
		inode, bound, err := m.root.BindAt(m.ctx, unix.SOCK_STREAM, "service", 0o755, 12, 34)
		m.must("BindAt", err)
		defer bound.Close(m.ctx)
		defer m.client.CloseFD(m.ctx, inode.ControlFD, false)
		if inode.Stat.Mode&fileTypeMask != unix.S_IFSOCK {
			m.Errorf("the socket's file has mode %#o", inode.Stat.Mode)
		}
		var host unix.Stat_t
		m.must("stat on the host", unix.Stat(m.path("service"), &host))
		if host.Mode != unix.S_IFSOCK|0o755 || host.Uid != 12 || host.Gid != 34 {
			m.Errorf("on the host it has mode %#o, owner %d:%d", host.Mode, host.Uid, host.Gid)
		}
		_, _, err = m.root.BindAt(m.ctx, unix.SOCK_STREAM, "service", 0o755, 0, 0)
		m.fails("BindAt onto an existing name", err, unix.EADDRINUSE)

		_, err = bound.Accept(m.ctx)
		m.fails("Accept before Listen", err, unix.EINVAL)
		m.must("Listen", bound.Listen(m.ctx, 3))
		_, err = bound.Accept(m.ctx)
		m.fails("Accept with nobody there", err, unix.EAGAIN)

		host1, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		m.must("socket on the host", err)
		defer unix.Close(host1)
		m.must("connect on the host", unix.Connect(host1, &unix.SockaddrUnix{Name: m.path("service")}))
		// What a client polls to know that there is something to accept.
		poll := []unix.PollFd{{Fd: bound.NotificationFD(), Events: unix.POLLIN}}
		if n, err := unix.Poll(poll, 10_000); err != nil || n != 1 {
			m.Errorf("poll of the notification descriptor: %d, %v", n, err)
		}
		accepted, err := bound.Accept(m.ctx)
		m.must("Accept", err)
		defer unix.Close(accepted)
		for _, way := range [][2]int{{host1, accepted}, {accepted, host1}} {
			_, err := unix.Write(way[0], []byte("hello"))
			m.must("write", err)
			if got := m.receive(way[1]); got != "hello" {
				m.Errorf("received %q", got)
			}
		}
	})
}

func TestFIFO(t *testing.T) {
	onEveryServerPrepared(t, options{Serving: peer.Serving{FIFOs: true}}, map[linux.SockType]int{}, func(m *mount) {
		file := m.control("fifo")
		defer file.Close(m.ctx, false)
		// With the other end open: gVisor's server would wait for one.
		host, err := unix.Open(m.path("fifo"), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		m.must("open on the host", err)
		defer unix.Close(host)
		for _, flags := range []uint32{unix.O_RDONLY, unix.O_WRONLY} {
			fd, donated, err := file.OpenAt(m.ctx, flags)
			m.must("OpenAt", err)
			m.client.CloseFD(m.ctx, fd, true)
			if donated < 0 {
				m.Fatal("no descriptor was donated")
			}
			defer unix.Close(donated)
			from, to := host, donated
			if flags == unix.O_WRONLY {
				from, to = donated, host
			}
			_, err = unix.Write(from, []byte("hello"))
			m.must("write", err)
			if got := m.receive(to); got != "hello" {
				m.Errorf("received %q", got)
			}
		}
	})
}

// Without the options, special files are only seen, and not even that with the older vintage.
func TestSpecialFilesAreNotServed(t *testing.T) {
	onEveryServerPrepared(t, options{}, map[linux.SockType]int{}, func(m *mount) {
		if m.gvisor && !peer.WalksSpecialFiles {
			for _, name := range []string{"socket1", "fifo"} {
				_, err := m.root.Walk(m.ctx, name)
				m.fails("Walk", err, unix.EPERM)
			}
		} else {
			socket, fifo := m.control("socket1"), m.control("fifo")
			defer socket.Close(m.ctx, false)
			defer fifo.Close(m.ctx, false)
			_, err := peer.Connect(m.ctx, socket, unix.SOCK_STREAM)
			m.fails("Connect", err, unix.EPERM)
			m.fails("OpenAt of a FIFO", openError(fifo.OpenAt(m.ctx, unix.O_RDONLY)), unix.EPERM)
		}
		_, _, err := m.root.BindAt(m.ctx, unix.SOCK_STREAM, "new", 0o755, 0, 0)
		m.fails("BindAt", err, unix.EPERM)
	})
}

// onEveryServerPrepared serves a directory with listening sockets, which it puts in listeners, and a FIFO.
func onEveryServerPrepared(t *testing.T, o options, listeners map[linux.SockType]int, test func(m *mount)) {
	o.prepare = prepareSpecialFiles(t, listeners)
	onEveryServerWith(t, o, test)
}
