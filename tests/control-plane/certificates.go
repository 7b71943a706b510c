package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

// certificatesCommand makes what the API server has to be given before it starts. Clients show tokens, so
// there are no certificates for them.
func certificatesCommand() *cobra.Command {
	var dir string
	var addresses []net.IP
	command := &cobra.Command{
		Short:        "Make an authority, the API server's certificate, and the key that signs service account tokens",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE:         func(*cobra.Command, []string) error { return makeCertificates(dir, addresses) },
	}
	flags := command.Flags()
	flags.StringVar(&dir, "dir", "", "where ca.crt, apiserver.crt, apiserver.key and service-accounts.key go")
	flags.IPSliceVar(&addresses, "addresses", nil, "addresses by which clients call the API server")
	for _, name := range []string{"dir", "addresses"} {
		if err := command.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
	return command
}

func makeCertificates(dir string, addresses []net.IP) error {
	authorityKey, err := newKey()
	if err != nil {
		return err
	}
	authority := template(1, "podgate lab")
	authority.IsCA = true
	authority.BasicConstraintsValid = true
	authority.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	authorityCertificate, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return fmt.Errorf("make the authority's certificate: %w", err)
	}

	serverKey, err := newKey()
	if err != nil {
		return err
	}
	server := template(2, "kube-apiserver")
	server.KeyUsage = x509.KeyUsageDigitalSignature
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server.IPAddresses = addresses
	server.DNSNames = []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local",
	}
	serverCertificate, err := x509.CreateCertificate(rand.Reader, server, authority, serverKey.Public(), authorityKey)
	if err != nil {
		return fmt.Errorf("make the API server's certificate: %w", err)
	}

	tokenKey, err := newKey()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	files := []struct {
		name, kind string
		content    []byte
	}{
		{"ca.crt", "CERTIFICATE", authorityCertificate},
		{"apiserver.crt", "CERTIFICATE", serverCertificate},
		{"apiserver.key", "EC PRIVATE KEY", encode(serverKey)},
		{"service-accounts.key", "EC PRIVATE KEY", encode(tokenKey)},
	}
	for _, file := range files {
		text := pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.content})
		if err := os.WriteFile(filepath.Join(dir, file.name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func template(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		// Clocks of virtual machines jump.
		NotBefore: time.Now().Add(-24 * time.Hour),
		NotAfter:  time.Now().AddDate(10, 0, 0),
	}
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

// encode writes a key in the one form that the API server reads a public key from too.
func encode(key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		// Only for curves that newKey doesn't use.
		panic(err)
	}
	return der
}
