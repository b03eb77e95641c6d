//go:build p9

package main

import (
	"gvisor.dev/gvisor/pkg/p9"
	"gvisor.dev/gvisor/pkg/unet"
)

func connect(fd int, channel bool) (func() error, error) {
	socket, err := unet.NewSocket(fd)
	if err != nil {
		return nil, err
	}
	client, err := p9.NewClient(socket, 1<<20, p9.HighestVersionString())
	if err != nil {
		return nil, err
	}
	if channel {
		return client.ExchangeVersionOverChannel, nil
	}
	return client.ExchangeVersionOverSocket, nil
}

func serve(fd int) error {
	socket, err := unet.NewSocket(fd)
	if err != nil {
		return err
	}
	return p9.NewServer(nil).Handle(socket)
}
