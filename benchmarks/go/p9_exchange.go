//go:build p9

// Package p9: this file is built into gVisor's package of that name (with go build -overlay), since the exchange that gVisor's own
// benchmarks measured cannot be made from outside.
package p9

// ExchangeVersionOverChannel sends Tversion over a channel of shared memory and waits for the answer.
func (c *Client) ExchangeVersionOverChannel() error {
	return c.sendRecvChannel(&Tversion{MSize: 1 << 20, Version: HighestVersionString()}, &Rversion{})
}

// ExchangeVersionOverSocket does the same over the socket.
func (c *Client) ExchangeVersionOverSocket() error {
	return c.sendRecvLegacySyscallErr(&Tversion{MSize: 1 << 20, Version: HighestVersionString()}, &Rversion{})
}
