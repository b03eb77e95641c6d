package interop

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/lisafs"
	"lisafs/tests/interop/peer"
)

func statxMode(mode uint16) *linux.Statx { return &linux.Statx{Mask: unix.STATX_MODE, Mode: mode} }

func openError(_ lisafs.FDID, _ int, err error) error { return err }

// Many goroutines at once, on files of their own and on one directory of all, over all lanes.
func TestManyGoroutines(t *testing.T) {
	const goroutines, rounds = 16, 40
	onEveryServer(t, func(m *mount) {
		shared := m.mkdir(m.root, "shared")
		defer shared.Close(m.ctx, false)
		var group sync.WaitGroup
		for g := 0; g < goroutines; g++ {
			g := g
			group.Add(1)
			go func() {
				defer group.Done()
				for round := 0; round < rounds; round++ {
					if err := oneFile(m, shared, fmt.Sprintf("g%d-%d", g, round), 1000*(g+1)+round); err != nil {
						m.Error(err)
						return
					}
				}
			}()
		}
		group.Wait()
		entries, err := os.ReadDir(m.path("shared"))
		m.must("reading the directory on the host", err)
		if len(entries) != 0 {
			m.Errorf("%d files are left", len(entries))
		}
	})
}

// Files that take several messages, moved over all lanes at the same time.
func TestManyBigFiles(t *testing.T) {
	const goroutines, size = 8, 5<<20 + 7
	onEveryServer(t, func(m *mount) {
		var group sync.WaitGroup
		for g := 0; g < goroutines; g++ {
			name := fmt.Sprintf("big%d", g)
			group.Add(1)
			go func() {
				defer group.Done()
				if err := oneFile(m, m.root, name, size); err != nil {
					m.Error(err)
				}
			}()
		}
		group.Wait()
	})
}

// More descriptors than a client closes at once.
func TestManyDescriptors(t *testing.T) {
	const count = 350
	onEveryServer(t, func(m *mount) {
		file, open, donated := m.create(m.root, "file")
		defer file.Close(m.ctx, false)
		defer open.Close(m.ctx, false)
		if donated >= 0 {
			unix.Close(donated)
		}
		seen := map[lisafs.FDID]bool{m.root.ID(): true, file.ID(): true, open.ID(): true}
		for i := 0; i < count; i++ {
			inode, err := m.root.Walk(m.ctx, "file")
			m.must("Walk", err)
			if !inode.ControlFD.Ok() || seen[inode.ControlFD] {
				m.Fatalf("Walk gave descriptor %d again", inode.ControlFD)
			}
			seen[inode.ControlFD] = true
			m.client.CloseFD(m.ctx, inode.ControlFD, i == count-1)
		}
		for fd := range seen {
			if fd == m.root.ID() || fd == file.ID() || fd == open.ID() {
				continue
			}
			closed := m.client.NewFD(fd)
			var stat peer.Statx
			m.fails("FStat of a closed descriptor", closed.StatTo(m.ctx, &stat), unix.EBADF)
		}
	})
}

// oneFile writes, reads, renames and unlinks a file of its own.
func oneFile(m *mount, directory lisafs.ClientFD, name string, size int) error {
	inode, fd, donated, err := directory.OpenCreateAt(m.ctx, name, unix.O_RDWR, 0o600, 0, 0)
	if err != nil {
		return fmt.Errorf("OpenCreateAt %s: %w", name, err)
	}
	if donated >= 0 {
		unix.Close(donated)
	}
	control, open := m.client.NewFD(inode.ControlFD), m.client.NewFD(fd)
	defer control.Close(m.ctx, false)
	defer open.Close(m.ctx, false)

	data, got := randomBytes(size), make([]byte, size)
	if n, err := open.Write(m.ctx, data, 0); err != nil || n != uint64(size) {
		return fmt.Errorf("PWrite %s: %d, %w", name, n, err)
	}
	if n, err := open.Read(m.ctx, got, 0); err != nil || n != uint64(size) || !bytes.Equal(got, data) {
		return fmt.Errorf("PRead %s: %d, %w, or other bytes", name, n, err)
	}
	if err := peer.RenameAt(m.ctx, directory, name, directory.ID(), name+".new", 0); err != nil {
		return fmt.Errorf("RenameAt %s: %w", name, err)
	}
	var stat peer.Statx
	if err := control.StatTo(m.ctx, &stat); err != nil || stat.Size != uint64(size) || stat.Ino != inode.Stat.Ino {
		return fmt.Errorf("FStat %s: %d bytes, inode %d, %w", name, stat.Size, stat.Ino, err)
	}
	if err := directory.UnlinkAt(m.ctx, name+".new", 0); err != nil {
		return fmt.Errorf("UnlinkAt %s: %w", name, err)
	}
	return nil
}
