package cassandra

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"perdure/adapters/store/target"
)

// FromTarget reads cassandra://user@host1,host2:port/keyspace?parameters:
//
//	replication   copies of each row in each data centre, if the keyspace has to be made (3)
//	consistency   quorum, or local_quorum: quorums inside the data centre of the hosts named (quorum)
//	datacenter    the nodes to ask first; all servers of one local_quorum name the same
//	timeout       of one request (10s)
//	connections   to each node (2)
//	tls           off, on, or insecure: encrypted, the server's certificate not looked at (off)
//	tls_ca        file with the certificates to trust (those of the system)
//	tls_cert, tls_key   files with the certificate and key that the server asks for (none)
func FromTarget(at *target.Target) (Options, error) {
	o := Options{
		Hosts: strings.Split(at.Hosts, ","), Keyspace: at.Name, User: at.User, Password: at.Password,
		Local:       at.Text("consistency", "quorum", "quorum", "local_quorum") == "local_quorum",
		Datacenter:  at.Text("datacenter", ""),
		Replication: at.Number("replication", 3, 1, 9),
		Timeout:     at.Duration("timeout", 10*time.Second, time.Second, 5*time.Minute),
		Connections: at.Number("connections", 2, 1, 16),
	}
	mode := at.Text("tls", "off", "off", "on", "insecure")
	ca, cert, key := at.Text("tls_ca", ""), at.Text("tls_cert", ""), at.Text("tls_key", "")
	if err := at.Err(); err != nil {
		return o, err
	}
	if o.Keyspace == "" {
		return o, fmt.Errorf("the keyspace is missing: write cassandra://%s/KEYSPACE", at.Hosts)
	}
	if mode == "off" {
		if ca+cert+key != "" {
			return o, fmt.Errorf("tls_ca, tls_cert and tls_key need tls=on")
		}
		return o, nil
	}
	var err error
	o.TLS, err = tlsConfig(mode == "insecure", ca, cert, key)
	return o, err
}

func tlsConfig(insecure bool, ca, cert, key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca: %s holds no certificate in PEM form", ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("tls_cert and tls_key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
