//go:build !p9

package main

import (
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/lisafs"
	"gvisor.dev/gvisor/pkg/unet"
)

// The exchange of gVisor's own BenchmarkSendRecv: a number and a short string each way, decoded and encoded by both sides.
const (
	version       = lisafs.MID(3)
	clientVersion = "9P2000.L.Google.12"
	serverVersion = "9P2000.L.Google.11"
)

func connect(fd int, channel bool) (func() error, error) {
	socket, err := unet.NewSocket(fd)
	if err != nil {
		return nil, err
	}
	client, _, _, err := lisafs.NewClient(socket)
	if err != nil {
		return nil, err
	}
	if channel {
		if err := client.StartChannels(); err != nil {
			return nil, err
		}
	}
	request := lisafs.P9Version{MSize: 1 << 20, Version: clientVersion}
	var response lisafs.P9Version
	return func() error {
		return client.SndRcvMessage(version, uint32(request.SizeBytes()), request.MarshalBytes, response.CheckedUnmarshal, nil, request.String, response.String)
	}, nil
}

func serve(fd int) error {
	socket, err := unet.NewSocket(fd)
	if err != nil {
		return err
	}
	s := lisafs.NewServer()
	s.SetHandlers([]lisafs.RPCHandler{
		lisafs.Mount:   lisafs.MountHandler,
		lisafs.Channel: lisafs.ChannelHandler,
		version:        answer,
	})
	connection, err := s.CreateConnection(socket, "/", lisafs.ConnectionOpts{}, implementation{})
	if err != nil {
		return err
	}
	s.StartConnection(connection)
	s.Wait()
	return nil
}

func answer(_ *lisafs.Connection, comm lisafs.Communicator, length uint32) (uint32, error) {
	var request lisafs.P9Version
	if _, ok := request.CheckedUnmarshal(comm.PayloadBuf(length)); !ok {
		return 0, unix.EIO
	}
	response := lisafs.P9Version{MSize: request.MSize, Version: serverVersion}
	length = uint32(response.SizeBytes())
	response.MarshalBytes(comm.PayloadBuf(length))
	return length, nil
}

// implementation serves no files: a root that nobody asks for anything.
type implementation struct{}

func (implementation) Mount(c *lisafs.Connection, node *lisafs.Node) (*lisafs.ControlFD, lisafs.Statx, int, error) {
	node.IncRef()
	root := &file{}
	root.ControlFD.Init(c, node, linux.S_IFDIR, root)
	return &root.ControlFD, lisafs.Statx{Mode: linux.S_IFDIR}, -1, nil
}

func (implementation) SupportedMessages() []lisafs.MID {
	return []lisafs.MID{lisafs.Mount, lisafs.Channel, version}
}

func (implementation) MaxMessageSize() uint32 { return lisafs.MaxMessageSize() }

// file answers nothing; the nil interface in it is never called.
type file struct {
	lisafs.ControlFD
	lisafs.ControlFDImpl
}

func (f *file) FD() *lisafs.ControlFD { return &f.ControlFD }
func (f *file) Close()                {}
