package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"perdure/adapters/store/target"
)

// settings are what the URL says, and what the server told.
type settings struct {
	config      *driver.Config
	timeout     time.Duration
	connections int
}

func settingsOf(at *target.Target, opts Options) (*settings, error) {
	set := &settings{
		timeout:     at.Duration("timeout", 10*time.Second, 100*time.Millisecond, 10*time.Minute),
		connections: at.Number("connections", 16, journalConns+1, 1000),
	}
	mode := at.Text("tls", "preferred", "false", "preferred", "skip-verify", "true")
	ca, cert, key := at.Text("tlsca", ""), at.Text("tlscert", ""), at.Text("tlskey", "")
	if err := at.Err(); err != nil {
		return nil, err
	}
	if at.Name == "" {
		return nil, errors.New("the name of the database is missing: mysql://USER@HOST:PORT/NAME")
	}
	c := driver.NewConfig()
	c.User, c.Passwd, c.DBName = at.User, at.Password, at.Name
	c.Net, c.Addr = "tcp", withPort(at.Hosts)
	c.Timeout, c.ReadTimeout, c.WriteTimeout = min(dialTimeout, set.timeout), set.timeout, set.timeout
	c.InterpolateParams, c.MultiStatements = true, true
	c.Collation = "binary"
	c.Logger, c.DialFunc = quiet, opts.Dial
	c.Params = map[string]string{
		"innodb_lock_wait_timeout": strconv.Itoa(max(int(set.timeout.Seconds())/lockShare, 1)),
		"sql_mode":                 "'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO'",
		"autocommit":               "1",
	}
	var err error
	set.config = c
	c.TLSConfig = mode
	if ca != "" || cert != "" {
		c.TLSConfig = ""
		c.TLS, err = tlsOf(c.Addr, mode, ca, cert, key)
	}
	return set, err
}

func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err != nil {
		return host + ":3306"
	}
	return host
}

// tlsOf reads the files that the URL names.
func tlsOf(address, mode, ca, cert, key string) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{ServerName: host, InsecureSkipVerify: mode == "skip-verify"}
	if mode == "false" {
		return nil, errors.New(`parameter tls="false" goes with no certificates`)
	}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("parameter tlsca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("parameter tlsca: %s holds no certificate", ca)
		}
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("parameters tlscert and tlskey: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// learn asks the server what it is, for the two differ in the name of a
// setting, and warns of what a user may have switched off.
func (set *settings) learn(log *slog.Logger) (packet int, err error) {
	connector, err := driver.NewConnector(set.config)
	if err != nil {
		return 0, fmt.Errorf("these settings make no connection: %w", err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), set.timeout)
	defer cancel()
	var version string
	var flush int
	err = db.QueryRowContext(ctx, "SELECT VERSION(), @@max_allowed_packet, @@innodb_flush_log_at_trx_commit").Scan(&version, &packet, &flush)
	if err != nil {
		return 0, err
	}
	if packet < leastPacket {
		return 0, fmt.Errorf("max_allowed_packet is %d bytes; set it to 64M in the server, at least to %d", packet, leastPacket)
	}
	if flush != 1 {
		log.Warn("MySQL is set to lose acknowledged work when its machine fails; set it to 1", "setting", "innodb_flush_log_at_trx_commit", "value", flush)
	}
	isolation := "transaction_isolation"
	if strings.Contains(version, "MariaDB") {
		isolation = "tx_isolation"
	}
	set.config.Params[isolation] = "'READ-COMMITTED'"
	set.config.MaxAllowedPacket = packet
	return packet, nil
}
