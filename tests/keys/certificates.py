"""A certificate authority of a test, and servers' certificates that it signs."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """Signs certificates; nobody trusts it but who takes `trusting`."""

    def __init__(self, directory: Path) -> None:
        """Make the root."""
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Root of a test")
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = self._builder(self._name, self._key, days=1)
        for extension, critical in ((constraints, True), (usage, True), (identifier, False)):
            builder = builder.add_extension(extension, critical=critical)
        root = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        self.root_file = directory / "root.pem"
        self.root_file.write_bytes(root)

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts this authority alone."""
        return ssl.create_default_context(cafile=self.root_file)

    def serving(
        self, host: str, *, days: float = 1, self_signed: bool = False, of_clients: bool = False
    ) -> ssl.SSLContext:
        """A server's context for this name or address; with negative `days` its certificate has expired.

        With `of_clients` it asks for a certificate of this authority.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate(host, days=days, self_signed=self_signed))
        if of_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.root_file)
        return context

    def certificate(self, host: str, *, days: float = 1, self_signed: bool = False) -> Path:
        """The file of a certificate for this name or address, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_alternative(host)])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        signer = (_name(host), key) if self_signed else (self._name, self._key)
        builder = self._builder(_name(host), key, days=days, issuer=signer[0]).add_extension(names, critical=False)
        if not self_signed:
            builder = builder.add_extension(issuer, critical=False)
        certificate = builder.sign(signer[1], hashes.SHA256())
        path = self._directory / f"{host}{days}{self_signed}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: float, issuer: x509.Name | None = None
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            issuer_name=issuer or self._name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(days=9),
            not_valid_after=now + timedelta(days=days),
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
