// Package peer is gVisor's LISAFS, client and server, for tests that are built with either of its vintages: the newest module, or, with
// the build tag december2022 and in GOPATH mode, the package of Debian 12. What the two have in common is used as it is; what differs is
// here.
package peer

import "gvisor.dev/gvisor/runsc/config"

// Serving says how a directory is served.
type Serving struct {
	ReadOnly bool
	// Clients may connect to the host's unix sockets, and bind them.
	Sockets bool
	// Clients may open the host's FIFOs.
	FIFOs bool
}

func (s Serving) hostUDS() config.HostUDS {
	if s.Sockets {
		return config.HostUDSAll
	}
	return config.HostUDSNone
}

func (s Serving) hostFifo() config.HostFifo {
	if s.FIFOs {
		return config.HostFifoOpen
	}
	return config.HostFifoNone
}
