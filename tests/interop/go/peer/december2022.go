//go:build december2022

package peer

import (
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/lisafs"
	"gvisor.dev/gvisor/pkg/unet"
	"gvisor.dev/gvisor/runsc/fsgofer"
)

// See newest.go.
const (
	SocketAlone       = false
	ServesXattrs      = false
	WalksSpecialFiles = false
	OpensDeleted      = false
	RenamesWithFlags  = false
	ConnectsWithCreds = false
)

var AddedMessages = []lisafs.MID{lisafs.FListXattr, lisafs.FRemoveXattr}

type Statx = linux.Statx

func Prepare() error { return fsgofer.OpenProcSelfFD() }

func Serve(socket *unet.Socket, directory string, serving Serving) (wait func(), err error) {
	server := fsgofer.NewLisafsServer(fsgofer.Config{ROMount: serving.ReadOnly, HostUDS: serving.hostUDS(), HostFifo: serving.hostFifo()})
	connection, err := server.CreateConnection(socket, directory, serving.ReadOnly)
	if err != nil {
		return nil, err
	}
	server.StartConnection(connection)
	return func() {
		server.Wait()
		server.Destroy()
	}, nil
}

// NewClient always makes channels.
func NewClient(socket *unet.Socket, channels bool) (*lisafs.Client, lisafs.Inode, error) {
	return lisafs.NewClient(socket)
}

// SetStat gives a failure only where there is one, as later vintages do.
func SetStat(ctx context.Context, fd lisafs.ClientFD, stat *linux.Statx) (uint32, error, error) {
	failed, failure, err := fd.SetStat(ctx, stat)
	if failed == 0 {
		failure = nil
	}
	return failed, failure, err
}

func RenameAt(ctx context.Context, from lisafs.ClientFD, name string, to lisafs.FDID, newName string, flags uint32) error {
	if flags != 0 {
		return unix.EINVAL
	}
	return from.RenameAt(ctx, name, to, newName)
}

func Connect(ctx context.Context, file lisafs.ClientFD, kind linux.SockType) (int, error) {
	return file.Connect(ctx, kind)
}

func ConnectWithCreds(ctx context.Context, file lisafs.ClientFD, kind linux.SockType, uid, gid uint32) (int, error) {
	return -1, unix.EOPNOTSUPP
}
