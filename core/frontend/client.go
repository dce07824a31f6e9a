package frontend

import (
	"fmt"
	"strings"

	"github.com/blang/semver/v4"
	"go.temporal.io/api/errordetails/v1"

	"perdure/core/port"
)

// usualServers is what the SDKs ask for; it need not be parsed each time.
const usualServers = ">=1.0.0 <2.0.0"

// nextMajor is the first major version of a client that is not supported, 0 if the client is unknown.
func nextMajor(client string) uint64 {
	switch client {
	case "temporal-go", "temporal-java", "temporal-php", "temporal-typescript", "temporal-cli", "temporal-server", "Nexus-go-sdk":
		return 2
	case "temporal-ui":
		return 3
	}
	return 0
}

// supportedClients is the same for GetClusterInfo.
func supportedClients() map[string]string {
	all := map[string]string{}
	for _, name := range []string{"temporal-go", "temporal-java", "temporal-php", "temporal-typescript", "temporal-cli", "temporal-server", "Nexus-go-sdk", "temporal-ui"} {
		all[name] = below(nextMajor(name))
	}
	return all
}

func below(major uint64) string { return fmt.Sprintf("<%d.0.0", major) }

// checkClient refuses clients that are too new for this server and those that
// want another one. A client that does not give both name and version is not checked.
func (f *Frontend) checkClient(c *port.Client) *port.Refusal {
	if c.Name == "" || c.Version == "" {
		return nil
	}
	if r := clientVersion(c); r != nil {
		return r
	}
	if c.Servers == "" || c.Servers == usualServers && strings.HasPrefix(f.set.HostVersion, "1.") {
		return nil
	}
	return f.serverVersion(c)
}

func clientVersion(c *port.Client) *port.Refusal {
	next := nextMajor(c.Name)
	if next == 0 {
		return nil
	}
	v, err := semver.Parse(c.Version)
	if err != nil {
		return port.Invalid("Unable to parse client version: %v", err)
	}
	if v.LT(semver.Version{Major: next}) {
		return nil
	}
	return &port.Refusal{
		Code:    port.FailedPrecondition,
		Message: fmt.Sprintf("Client version %s is not supported. Server supports %s versions: %s", c.Version, c.Name, below(next)),
		Detail:  &errordetails.ClientVersionNotSupportedFailure{ClientVersion: c.Version, ClientName: c.Name, SupportedVersions: below(next)},
	}
}

func (f *Frontend) serverVersion(c *port.Client) *port.Refusal {
	wanted, err := semver.ParseRange(c.Servers)
	if err != nil {
		return port.Invalid("Unable to parse supported server versions: %v", err)
	}
	if own, err := semver.Parse(f.set.HostVersion); err != nil || wanted(own) {
		return nil
	}
	return &port.Refusal{
		Code:    port.FailedPrecondition,
		Message: fmt.Sprintf("Server version %s is not supported. Client supports server versions: %s", f.set.HostVersion, c.Servers),
		Detail:  &errordetails.ServerVersionNotSupportedFailure{ServerVersion: f.set.HostVersion, ClientSupportedServerVersions: c.Servers},
	}
}
