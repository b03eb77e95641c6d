//go:build !december2022

package peer

import (
	"errors"
	"os"

	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/lisafs"
	"gvisor.dev/gvisor/pkg/unet"
	"gvisor.dev/gvisor/runsc/fsgofer"
)

const (
	// SocketAlone: a client can do without channels.
	SocketAlone = true
	// ServesXattrs: the server has extended attributes.
	ServesXattrs = true
	// WalksSpecialFiles: the server walks to sockets and FIFOs also where it will not open them.
	WalksSpecialFiles = true
	// OpensDeleted: the server opens files that have been unlinked.
	OpensDeleted = true
	// RenamesWithFlags: client and server know RenameAt2.
	RenamesWithFlags = true
	// ConnectsWithCreds: client and server know ConnectWithCreds.
	ConnectsWithCreds = true
)

// AddedMessages are those that the older vintage's server does not announce.
var AddedMessages = []lisafs.MID{lisafs.FListXattr, lisafs.FRemoveXattr, lisafs.ConnectWithCreds, lisafs.RenameAt2}

type Statx = lisafs.Statx

// Prepare is to be called once by a process that will serve.
func Prepare() error { return fsgofer.OpenProcSelfFD("/proc/self/fd") }

// Serve serves directory on socket with gVisor's gofer code. wait returns when the client has hung up.
func Serve(socket *unet.Socket, directory string, serving Serving) (wait func(), err error) {
	config := &fsgofer.Config{
		HostUDS:  serving.hostUDS(),
		HostFifo: serving.hostFifo(),
		RUID:     os.Getuid(),
		EUID:     os.Geteuid(),
		RGID:     os.Getgid(),
		EGID:     os.Getegid(),
	}
	server := lisafs.NewServer()
	connection, err := server.CreateConnection(socket, directory, fsgofer.ConnectionOpts(serving.ReadOnly), fsgofer.NewConnectionImpl(config))
	if err != nil {
		return nil, err
	}
	server.StartConnection(connection)
	return func() {
		server.Wait()
		server.Destroy()
	}, nil
}

// NewClient mounts, and makes channels if it is to.
func NewClient(socket *unet.Socket, channels bool) (*lisafs.Client, lisafs.Inode, error) {
	client, root, mountFD, err := lisafs.NewClient(socket)
	if err != nil {
		return nil, root, err
	}
	if mountFD >= 0 {
		client.Close()
		return nil, root, errors.New("the mount point's descriptor was donated")
	}
	if channels {
		if err := client.StartChannels(); err != nil {
			client.Close()
			return nil, root, err
		}
	}
	return client, root, nil
}

// SetStat gives the attributes that could not be set, and why.
func SetStat(ctx context.Context, fd lisafs.ClientFD, stat *linux.Statx) (uint32, error, error) {
	return fd.SetStat(ctx, stat)
}

func RenameAt(ctx context.Context, from lisafs.ClientFD, name string, to lisafs.FDID, newName string, flags uint32) error {
	return from.RenameAt(ctx, name, to, newName, flags)
}

func Connect(ctx context.Context, file lisafs.ClientFD, kind linux.SockType) (int, error) {
	return file.Connect(ctx, kind, lisafs.NoUID, lisafs.NoGID)
}

func ConnectWithCreds(ctx context.Context, file lisafs.ClientFD, kind linux.SockType, uid, gid uint32) (int, error) {
	return file.Connect(ctx, kind, lisafs.UID(uid), lisafs.GID(gid))
}
