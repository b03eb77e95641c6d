package interop

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/lisafs"
	"lisafs/tests/interop/peer"
)

const (
	walkSuccess  lisafs.WalkStatus = 0
	walkAbsent   lisafs.WalkStatus = 1
	walkSymlink  lisafs.WalkStatus = 2
	fileTypeMask                   = unix.S_IFMT
)

func TestMount(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		if !m.root.Ok() {
			m.Fatal("the root is no descriptor")
		}
		var stat peer.Statx
		m.must("FStat", m.root.StatTo(m.ctx, &stat))
		var host unix.Stat_t
		m.must("stat on the host", unix.Stat(m.host, &host))
		if stat.Mode&fileTypeMask != unix.S_IFDIR || stat.Ino != host.Ino {
			m.Errorf("the root has mode %#o and inode %d, on the host %d", stat.Mode, stat.Ino, host.Ino)
		}
		for _, mid := range []lisafs.MID{
			lisafs.Mount, lisafs.Channel, lisafs.FStat, lisafs.SetStat, lisafs.Walk, lisafs.WalkStat, lisafs.OpenAt, lisafs.OpenCreateAt,
			lisafs.Close, lisafs.FSync, lisafs.PWrite, lisafs.PRead, lisafs.MkdirAt, lisafs.MknodAt, lisafs.SymlinkAt, lisafs.LinkAt,
			lisafs.FStatFS, lisafs.FAllocate, lisafs.ReadLinkAt, lisafs.UnlinkAt, lisafs.RenameAt, lisafs.Getdents64, lisafs.FGetXattr,
			lisafs.FSetXattr,
		} {
			if !m.client.IsSupported(mid) {
				m.Errorf("message %d is not supported", mid)
			}
		}
		for _, mid := range peer.AddedMessages {
			if want := !m.gvisor || peer.ServesXattrs; m.client.IsSupported(mid) != want {
				m.Errorf("message %d: announced is %v", mid, !want)
			}
		}
		if m.client.IsSupported(lisafs.Error) {
			m.Error("Error is announced as a request")
		}
	})
}

func TestWalk(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		var names []string
		at := m.root
		for i := 0; i < 10; i++ {
			name := fmt.Sprintf("level%d", i)
			level := m.mkdir(at, name)
			defer level.Close(m.ctx, false)
			at = level
			names = append(names, name)
		}
		status, inodes, err := m.root.WalkMultiple(m.ctx, append(append([]string{}, names...), "a", "b", "c"))
		m.must("Walk", err)
		if status != walkAbsent || len(inodes) != 10 {
			m.Fatalf("Walk: status %d, %d inodes", status, len(inodes))
		}
		stats, err := m.root.WalkStat(m.ctx, append(append([]string{""}, names...), "a", "b", "c"))
		m.must("WalkStat", err)
		if len(stats) != 11 {
			m.Fatalf("WalkStat: %d stats", len(stats))
		}
		for i, inode := range inodes {
			var host unix.Stat_t
			m.must("stat on the host", unix.Stat(m.path(names[:i+1]...), &host))
			if inode.Stat.Ino != host.Ino || stats[i+1].Ino != host.Ino || stats[i+1].Mode != inode.Stat.Mode {
				m.Errorf("%q is inode %d on the host, %d in Walk, %d in WalkStat", names[i], host.Ino, inode.Stat.Ino, stats[i+1].Ino)
			}
			m.client.CloseFD(m.ctx, inode.ControlFD, false)
		}

		file, open, donated := m.create(m.root, "file")
		defer file.Close(m.ctx, false)
		defer open.Close(m.ctx, false)
		if donated >= 0 {
			unix.Close(donated)
		}
		_, _, err = m.root.WalkMultiple(m.ctx, []string{"file", "below"})
		m.fails("Walk below a file", err, unix.ENOTDIR)
		for _, name := range []string{"", ".", "..", "a/b", "/", "a\x00b"} {
			_, _, err := m.root.WalkMultiple(m.ctx, []string{name})
			m.fails(fmt.Sprintf("Walk %q", name), err, unix.EINVAL)
		}
		_, _, err = m.root.WalkMultiple(m.ctx, []string{strings.Repeat("x", 256)})
		m.fails("Walk of a name of 256 bytes", err, unix.ENAMETOOLONG)
	})
}

func TestLinks(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		const target = "/etc/passwd"
		symlink, err := m.root.SymlinkAt(m.ctx, "symlink", target, lisafs.UID(os.Getuid()), lisafs.GID(os.Getgid()))
		m.must("SymlinkAt", err)
		link := m.client.NewFD(symlink.ControlFD)
		defer link.Close(m.ctx, false)
		if symlink.Stat.Mode&fileTypeMask != unix.S_IFLNK {
			m.Errorf("the symlink has mode %#o", symlink.Stat.Mode)
		}
		got, err := link.ReadLinkAt(m.ctx)
		m.must("ReadLinkAt", err)
		if got != target {
			m.Errorf("ReadLinkAt: %q", got)
		}
		// A server never follows one.
		status, inodes, err := m.root.WalkMultiple(m.ctx, []string{"symlink", "x"})
		m.must("Walk through a symlink", err)
		if status != walkSymlink || len(inodes) != 1 || inodes[0].Stat.Mode&fileTypeMask != unix.S_IFLNK {
			m.Errorf("Walk through a symlink: status %d, %d inodes", status, len(inodes))
		}
		for _, inode := range inodes {
			m.client.CloseFD(m.ctx, inode.ControlFD, false)
		}
		_, _, err = link.OpenAt(m.ctx, unix.O_RDONLY)
		m.fails("OpenAt of a symlink", err, unix.EINVAL)

		file, open, donated := m.create(m.root, "file")
		defer file.Close(m.ctx, false)
		defer open.Close(m.ctx, false)
		if donated >= 0 {
			unix.Close(donated)
		}
		hard, err := m.root.LinkAt(m.ctx, file.ID(), "hardlink")
		m.must("LinkAt", err)
		defer m.client.CloseFD(m.ctx, hard.ControlFD, false)
		var stat peer.Statx
		m.must("FStat", file.StatTo(m.ctx, &stat))
		if hard.Stat.Ino != stat.Ino || stat.Nlink != 2 {
			m.Errorf("the link is inode %d, the file %d with %d links", hard.Stat.Ino, stat.Ino, stat.Nlink)
		}
		_, err = m.root.LinkAt(m.ctx, file.ID(), "hardlink")
		m.fails("LinkAt onto an existing name", err, unix.EEXIST)
	})
}

func TestNodes(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		inode, err := m.root.MknodAt(m.ctx, "regular", unix.S_IFREG|0o640, 12, 34, 0, 0)
		m.must("MknodAt", err)
		defer m.client.CloseFD(m.ctx, inode.ControlFD, false)
		if inode.Stat.Mode != unix.S_IFREG|0o640 || inode.Stat.UID != 12 || inode.Stat.GID != 34 {
			m.Errorf("the file has mode %#o, owner %d:%d", inode.Stat.Mode, inode.Stat.UID, inode.Stat.GID)
		}
		_, err = m.root.MknodAt(m.ctx, "block", unix.S_IFBLK|0o640, 0, 0, 0, 7)
		m.fails("MknodAt of a block device", err, unix.EPERM)
	})
}

func TestDirectoryListing(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		directory := m.mkdir(m.root, "directory")
		defer directory.Close(m.ctx, false)
		inodes := map[string]uint64{}
		for i := 0; i < 10; i++ {
			name := fmt.Sprintf("file%d", i)
			inode, err := directory.MknodAt(m.ctx, name, unix.S_IFREG|0o600, 0, 0, 0, 0)
			m.must("MknodAt", err)
			inodes[name] = inode.Stat.Ino
			m.client.CloseFD(m.ctx, inode.ControlFD, false)
		}
		fd, _, err := directory.OpenAt(m.ctx, unix.O_RDONLY)
		m.must("OpenAt", err)
		open := m.client.NewFD(fd)
		defer open.Close(m.ctx, false)

		// Room for one entry at a time; then, from the beginning, for all of them.
		for _, count := range []int32{40, -65536} {
			seen := map[string]uint64{}
			for i := 0; i < 13; i++ {
				entries, err := open.Getdents64(m.ctx, count)
				m.must("Getdents64", err)
				if len(entries) == 0 {
					break
				}
				for _, entry := range entries {
					if entry.Type != unix.DT_REG {
						m.Errorf("%q has type %d", entry.Name, entry.Type)
					}
					seen[string(entry.Name)] = uint64(entry.Ino)
				}
				if count < 0 {
					count = -count
				}
			}
			if fmt.Sprint(seen) != fmt.Sprint(inodes) {
				m.Errorf("Getdents64(%d): %v, want %v", count, seen, inodes)
			}
		}
		fileControl := m.walk("directory", "file0")
		file := m.client.NewFD(fileControl.ControlFD)
		defer file.Close(m.ctx, false)
		m.fails("OpenAt of a directory for writing", openError(directory.OpenAt(m.ctx, unix.O_RDWR)), unix.EISDIR)
	})
}

func TestRename(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		directory := m.mkdir(m.root, "directory")
		defer directory.Close(m.ctx, false)
		file, open, donated := m.create(m.root, "file")
		defer file.Close(m.ctx, false)
		defer open.Close(m.ctx, false)
		if donated >= 0 {
			unix.Close(donated)
		}

		m.must("RenameAt", peer.RenameAt(m.ctx, m.root, "file", directory.ID(), "moved", 0))
		stats, err := m.root.WalkStat(m.ctx, []string{"directory", "moved"})
		m.must("WalkStat", err)
		if len(stats) != 2 {
			m.Fatalf("WalkStat: %d stats", len(stats))
		}
		// The descriptors went along.
		_, err = open.Write(m.ctx, []byte("still here"), 0)
		m.must("PWrite after a rename", err)
		if got, err := os.ReadFile(m.path("directory", "moved")); err != nil || string(got) != "still here" {
			m.Errorf("the host reads %q, %v", got, err)
		}
		mode := uint16(0o604)
		if _, failure, err := peer.SetStat(m.ctx, file, statxMode(mode)); err != nil || failure != nil {
			m.Errorf("SetStat after a rename: %v, %v", failure, err)
		}

		other, otherOpen, donated := m.create(directory, "other")
		defer other.Close(m.ctx, false)
		defer otherOpen.Close(m.ctx, false)
		if donated >= 0 {
			unix.Close(donated)
		}
		if peer.RenamesWithFlags {
			m.fails("RenameAt2 NOREPLACE", peer.RenameAt(m.ctx, directory, "other", directory.ID(), "moved", unix.RENAME_NOREPLACE), unix.EEXIST)
			m.must("RenameAt2 EXCHANGE", peer.RenameAt(m.ctx, directory, "other", directory.ID(), "moved", unix.RENAME_EXCHANGE))
			if got, err := os.ReadFile(m.path("directory", "other")); err != nil || string(got) != "still here" {
				m.Errorf("after the exchange the host reads %q, %v", got, err)
			}
		}
		target := m.mkdir(m.root, "target")
		defer target.Close(m.ctx, false)
		m.fails("RenameAt of an absent file", peer.RenameAt(m.ctx, m.root, "absent", directory.ID(), "x", 0), unix.ENOENT)
		m.fails("RenameAt onto a directory", peer.RenameAt(m.ctx, directory, "other", m.root.ID(), "target", 0), unix.EISDIR)
		m.fails("RenameAt of a directory into itself", peer.RenameAt(m.ctx, m.root, "directory", directory.ID(), "inside", 0), unix.EINVAL)
	})
}

func TestUnlink(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		directory := m.mkdir(m.root, "directory")
		defer directory.Close(m.ctx, false)
		file, open, donated := m.create(directory, "file")
		defer file.Close(m.ctx, false)
		defer open.Close(m.ctx, false)
		if donated >= 0 {
			unix.Close(donated)
		}

		m.fails("UnlinkAt of a directory", m.root.UnlinkAt(m.ctx, "directory", 0), unix.EISDIR)
		m.fails("UnlinkAt of a full directory", m.root.UnlinkAt(m.ctx, "directory", unix.AT_REMOVEDIR), unix.ENOTEMPTY)
		m.fails("UnlinkAt of a file as a directory", directory.UnlinkAt(m.ctx, "file", unix.AT_REMOVEDIR), unix.ENOTDIR)
		m.fails("UnlinkAt of an absent file", directory.UnlinkAt(m.ctx, "absent", 0), unix.ENOENT)
		m.must("UnlinkAt", directory.UnlinkAt(m.ctx, "file", 0))
		status, inodes, err := directory.WalkMultiple(m.ctx, []string{"file"})
		if err != nil || status != walkAbsent || len(inodes) != 0 {
			m.Errorf("Walk of what was unlinked: status %d, %d inodes, %v", status, len(inodes), err)
		}
		// What is open stays so.
		_, err = open.Write(m.ctx, []byte("gone but here"), 0)
		m.must("PWrite after an unlink", err)
		again, donated, err := file.OpenAt(m.ctx, unix.O_RDONLY)
		if m.gvisor && !peer.OpensDeleted {
			m.fails("OpenAt after an unlink", err, unix.EINVAL)
		} else {
			m.must("OpenAt after an unlink", err)
			m.client.CloseFD(m.ctx, again, false)
			if donated >= 0 {
				unix.Close(donated)
			}
		}

		m.must("UnlinkAt", m.root.UnlinkAt(m.ctx, "directory", unix.AT_REMOVEDIR))
		_, err = directory.MkdirAt(m.ctx, "below", 0o755, 0, 0)
		m.fails("MkdirAt in a directory that is gone", err, unix.EINVAL)
	})
}

func TestReadOnly(t *testing.T) {
	prepare := func(host string) {
		if err := os.WriteFile(host+"/file", []byte("contents"), 0o666); err != nil {
			panic(err)
		}
	}
	onEveryServerWith(t, options{Serving: peer.Serving{ReadOnly: true}, prepare: prepare}, func(m *mount) {
		inode := m.walk("file")
		file := m.client.NewFD(inode.ControlFD)
		defer file.Close(m.ctx, false)
		fd, donated, err := file.OpenAt(m.ctx, unix.O_RDONLY)
		m.must("OpenAt", err)
		if donated >= 0 {
			unix.Close(donated)
		}
		open := m.client.NewFD(fd)
		defer open.Close(m.ctx, false)
		got := make([]byte, 8)
		if n, err := open.Read(m.ctx, got, 0); err != nil || string(got[:n]) != "contents" {
			m.Errorf("PRead: %q, %v", got[:n], err)
		}

		_, _, err = file.OpenAt(m.ctx, unix.O_RDWR)
		m.fails("OpenAt", err, unix.EROFS)
		_, err = open.Write(m.ctx, []byte("x"), 0)
		m.fails("PWrite", err, unix.EROFS)
		_, _, _, err = m.root.OpenCreateAt(m.ctx, "new", unix.O_RDWR, 0o600, 0, 0)
		m.fails("OpenCreateAt", err, unix.EROFS)
		_, err = m.root.MkdirAt(m.ctx, "new", 0o700, 0, 0)
		m.fails("MkdirAt", err, unix.EROFS)
		_, err = m.root.SymlinkAt(m.ctx, "new", "target", 0, 0)
		m.fails("SymlinkAt", err, unix.EROFS)
		_, err = m.root.LinkAt(m.ctx, file.ID(), "new")
		m.fails("LinkAt", err, unix.EROFS)
		_, err = m.root.MknodAt(m.ctx, "new", unix.S_IFREG|0o600, 0, 0, 0, 0)
		m.fails("MknodAt", err, unix.EROFS)
		_, _, err = peer.SetStat(m.ctx, file, statxMode(0o600))
		m.fails("SetStat", err, unix.EROFS)
		m.fails("UnlinkAt", m.root.UnlinkAt(m.ctx, "file", 0), unix.EROFS)
		m.fails("RenameAt", peer.RenameAt(m.ctx, m.root, "file", m.root.ID(), "new", 0), unix.EROFS)
		m.fails("FSetXattr", file.SetXattr(m.ctx, "user.x", "x", 0), unix.EROFS)
		if entries, err := os.ReadDir(m.host); err != nil || len(entries) != 1 {
			m.Errorf("the host's directory has %d entries, %v", len(entries), err)
		}
	})
}
