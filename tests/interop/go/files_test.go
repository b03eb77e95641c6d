package interop

import (
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/lisafs"
	"lisafs/tests/interop/peer"
)

func randomBytes(n int) []byte {
	data := make([]byte, n)
	rand.Read(data)
	return data
}

func TestFileContents(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		control, open, donated := m.create(m.root, "file")
		defer control.Close(m.ctx, false)
		defer open.Close(m.ctx, false)

		// More than one message holds.
		data := randomBytes(3 << 20)
		n, err := open.Write(m.ctx, data, 0)
		m.must("PWrite", err)
		if n != uint64(len(data)) {
			m.Fatalf("PWrite wrote %d bytes of %d", n, len(data))
		}
		for _, offset := range []int{0, 50, 2 << 20} {
			got := make([]byte, len(data)-offset)
			n, err := open.Read(m.ctx, got, uint64(offset))
			m.must("PRead", err)
			if n != uint64(len(got)) || !bytes.Equal(got, data[offset:]) {
				m.Errorf("PRead at %d: %d bytes, or other bytes than were written", offset, n)
			}
		}
		if _, err := open.Read(m.ctx, make([]byte, 10), uint64(len(data))); err != io.EOF {
			m.Errorf("PRead at the end: %v, want EOF", err)
		}
		m.must("FSync", open.Sync(m.ctx))
		m.must("FSync of two", m.client.SyncFDs(m.ctx, []lisafs.FDID{open.ID(), open.ID()}))
		m.fails("FSync of one that is not open", m.client.SyncFDs(m.ctx, []lisafs.FDID{open.ID(), 1 << 40}), unix.EBADF)
		m.must("FSync of none", m.client.SyncFDs(m.ctx, nil))
		m.must("Flush, which servers do not announce", open.Flush(m.ctx))

		onHost, err := os.ReadFile(m.path("file"))
		m.must("reading on the host", err)
		if !bytes.Equal(onHost, data) {
			m.Error("the host sees other bytes than were written")
		}
		if donated < 0 {
			m.Fatal("no descriptor was donated")
		}
		defer unix.Close(donated)
		got := make([]byte, len(data))
		if n, err := unix.Pread(donated, got, 0); err != nil || n != len(data) || !bytes.Equal(got, data) {
			m.Errorf("pread of the donated descriptor: %d, %v, or other bytes", n, err)
		}
	})
}

func TestDonatedDescriptors(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		control, open, donated := m.create(m.root, "file")
		defer control.Close(m.ctx, false)
		defer open.Close(m.ctx, false)
		if donated >= 0 {
			unix.Close(donated)
		}

		fd, donated, err := control.OpenAt(m.ctx, unix.O_RDONLY)
		m.must("OpenAt", err)
		readOnly := m.client.NewFD(fd)
		defer readOnly.Close(m.ctx, false)
		if donated < 0 {
			m.Fatal("no descriptor was donated")
		}
		defer unix.Close(donated)
		if flags, err := unix.FcntlInt(uintptr(donated), unix.F_GETFL, 0); err != nil || flags&unix.O_ACCMODE != unix.O_RDONLY {
			m.Errorf("the donated descriptor's flags are %#x, %v", flags, err)
		}
		_, err = readOnly.Write(m.ctx, []byte("no"), 0)
		m.fails("PWrite on a file opened for reading", err, unix.EBADF)

		// Directories are the server's own.
		fd, donated, err = m.root.OpenAt(m.ctx, unix.O_RDONLY)
		m.must("OpenAt of the root", err)
		m.client.CloseFD(m.ctx, fd, false)
		if donated >= 0 {
			unix.Close(donated)
			m.Error("a directory's descriptor was donated")
		}
	})
}

func TestAttributes(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		control, open, donated := m.create(m.root, "file")
		defer control.Close(m.ctx, false)
		defer open.Close(m.ctx, false)
		if donated >= 0 {
			defer unix.Close(donated)
		}

		atime := time.Now().Add(time.Second)
		mtime := time.Now()
		want := linux.Statx{
			Mask:  unix.STATX_MODE | unix.STATX_SIZE | unix.STATX_ATIME | unix.STATX_MTIME | unix.STATX_UID | unix.STATX_GID,
			Mode:  0o760,
			Size:  50,
			UID:   uint32(os.Getuid()),
			GID:   uint32(os.Getgid()),
			Atime: linux.StatxTimestamp{Sec: atime.Unix(), Nsec: uint32(atime.Nanosecond())},
			Mtime: linux.StatxTimestamp{Sec: mtime.Unix(), Nsec: uint32(mtime.Nanosecond())},
		}
		failed, failure, err := peer.SetStat(m.ctx, control, &want)
		m.must("SetStat", err)
		if failed != 0 || failure != nil {
			m.Fatalf("SetStat: mask %#x failed with %v", failed, failure)
		}
		var got peer.Statx
		m.must("FStat", control.StatTo(m.ctx, &got))
		if got.Mode != unix.S_IFREG|0o760 || got.Size != 50 || got.UID != want.UID || got.GID != want.GID {
			m.Errorf("FStat: mode %#o, size %d, owner %d:%d", got.Mode, got.Size, got.UID, got.GID)
		}
		if got.Atime.Sec != want.Atime.Sec || got.Atime.Nsec != want.Atime.Nsec || got.Mtime.Sec != want.Mtime.Sec || got.Mtime.Nsec != want.Mtime.Nsec {
			m.Errorf("FStat: times %v %v, want %v %v", got.Atime, got.Mtime, want.Atime, want.Mtime)
		}

		// The server's own clock, and a time left as it is.
		failed, failure, err = peer.SetStat(m.ctx, control, &linux.Statx{
			Mask:  unix.STATX_ATIME | unix.STATX_MTIME,
			Atime: linux.StatxTimestamp{Nsec: unix.UTIME_OMIT},
			Mtime: linux.StatxTimestamp{Nsec: unix.UTIME_NOW},
		})
		m.must("SetStat", err)
		if failed != 0 || failure != nil {
			m.Fatalf("SetStat of the times: mask %#x failed with %v", failed, failure)
		}
		m.must("FStat of an open file", open.StatTo(m.ctx, &got))
		if got.Atime.Sec != want.Atime.Sec || got.Atime.Nsec != want.Atime.Nsec || got.Mtime.Sec < want.Mtime.Sec || got.Size != want.Size {
			m.Errorf("FStat of an open file: times %v %v after %v %v, size %d", got.Atime, got.Mtime, want.Atime, want.Mtime, got.Size)
		}

		// Only size and mode can fail on a directory; the mode is set all the same.
		directory := m.mkdir(m.root, "directory")
		defer directory.Close(m.ctx, false)
		failed, failure, err = peer.SetStat(m.ctx, directory, &linux.Statx{Mask: unix.STATX_MODE | unix.STATX_SIZE, Mode: 0o700, Size: 1})
		m.must("SetStat of a directory", err)
		if failed != unix.STATX_SIZE || failure != unix.EISDIR {
			m.Errorf("SetStat of a directory: mask %#x failed with %v", failed, failure)
		}
		m.must("FStat", directory.StatTo(m.ctx, &got))
		if got.Mode != unix.S_IFDIR|0o700 {
			m.Errorf("the directory's mode is %#o", got.Mode)
		}
	})
}

func TestAllocate(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		control, open, donated := m.create(m.root, "file")
		defer control.Close(m.ctx, false)
		defer open.Close(m.ctx, false)
		if donated >= 0 {
			defer unix.Close(donated)
		}
		for _, step := range []struct{ offset, length, size uint64 }{{0, 40, 40}, {20, 100, 120}} {
			m.must("FAllocate", open.Allocate(m.ctx, 0, step.offset, step.length))
			var stat peer.Statx
			m.must("FStat", open.StatTo(m.ctx, &stat))
			if stat.Size != step.size {
				m.Errorf("size %d after FAllocate(%d, %d), want %d", stat.Size, step.offset, step.length, step.size)
			}
		}
		m.fails("FAllocate of nothing", open.Allocate(m.ctx, 0, 0, 0), unix.EINVAL)
	})
}

func TestStatFS(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		var got lisafs.StatFS
		m.must("FStatFS", m.root.StatFSTo(m.ctx, &got))
		var want unix.Statfs_t
		m.must("statfs on the host", unix.Statfs(m.host, &want))
		if got.Type != uint64(want.Type) || got.Blocks != want.Blocks || got.Files != want.Files || got.NameLength != uint64(want.Namelen) {
			m.Errorf("FStatFS: %+v, the host says %+v", got, want)
		}
	})
}

func TestExtendedAttributes(t *testing.T) {
	onEveryServer(t, func(m *mount) {
		control, open, donated := m.create(m.root, "file")
		defer control.Close(m.ctx, false)
		defer open.Close(m.ctx, false)
		if donated >= 0 {
			defer unix.Close(donated)
		}

		if m.gvisor && !peer.ServesXattrs {
			_, err := control.GetXattr(m.ctx, "user.absent", 100)
			m.fails("FGetXattr", err, unix.EOPNOTSUPP)
			m.fails("FSetXattr", control.SetXattr(m.ctx, "user.name", "abc", 0), unix.EOPNOTSUPP)
			_, err = control.ListXattr(m.ctx, 1000)
			m.fails("FListXattr", err, unix.EOPNOTSUPP)
			m.fails("FRemoveXattr", control.RemoveXattr(m.ctx, "user.name"), unix.EOPNOTSUPP)
			return
		}
		_, err := control.GetXattr(m.ctx, "user.absent", 100)
		m.fails("FGetXattr of an absent one", err, unix.ENODATA)
		err = control.SetXattr(m.ctx, "user.name", "abc", unix.XATTR_CREATE)
		if err == unix.EOPNOTSUPP {
			m.Skipf("the file system of %s has no user attributes", m.host)
		}
		m.must("FSetXattr", err)
		m.fails("FSetXattr again", control.SetXattr(m.ctx, "user.name", "abc", unix.XATTR_CREATE), unix.EEXIST)
		value, err := control.GetXattr(m.ctx, "user.name", 3)
		m.must("FGetXattr", err)
		if value != "abc" {
			m.Errorf("FGetXattr: %q", value)
		}
		_, err = control.GetXattr(m.ctx, "user.name", 1)
		m.fails("FGetXattr with too small a buffer", err, unix.ERANGE)
		names, err := control.ListXattr(m.ctx, 1000)
		m.must("FListXattr", err)
		if len(names) != 1 || names[0] != "user.name" {
			m.Errorf("FListXattr: %q", names)
		}
		onHost := make([]byte, 10)
		n, err := unix.Getxattr(m.path("file"), "user.name", onHost)
		m.must("getxattr on the host", err)
		if string(onHost[:n]) != "abc" {
			m.Errorf("the host sees %q", onHost[:n])
		}
		m.must("FRemoveXattr", control.RemoveXattr(m.ctx, "user.name"))
		m.fails("FRemoveXattr again", control.RemoveXattr(m.ctx, "user.name"), unix.ENODATA)
	})
}
