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
		for g := range goroutines {
			group.Go(func() {
				for round := range rounds {
					if err := oneFile(m, shared, fmt.Sprintf("g%d-%d", g, round), 1000*(g+1)+round); err != nil {
						m.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		entries, err := os.ReadDir(m.path("shared"))
		m.must("reading the directory on the host", err)
		if len(entries) != 0 {
			m.Errorf("%d files are left", len(entries))
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
	if err := directory.RenameAt(m.ctx, name, directory.ID(), name+".new", 0); err != nil {
		return fmt.Errorf("RenameAt %s: %w", name, err)
	}
	var stat lisafs.Statx
	if err := control.StatTo(m.ctx, &stat); err != nil || stat.Size != uint64(size) || stat.Ino != inode.Stat.Ino {
		return fmt.Errorf("FStat %s: %d bytes, inode %d, %w", name, stat.Size, stat.Ino, err)
	}
	if err := directory.UnlinkAt(m.ctx, name+".new", 0); err != nil {
		return fmt.Errorf("UnlinkAt %s: %w", name, err)
	}
	return nil
}
