//! Keys and certificates: read from PEM files, or made for trying out.

use std::path::PathBuf;

use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use raptormq_config::TlsConfig;
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::TlsError;

/// A file, and the key that names it.
struct Named<'k> {
    key: &'static str,
    path: &'k str,
}

/// A certificate for this start only, which nobody has reason to trust. Java: Netty's `SelfSignedCertificate`.
pub(super) fn self_signed(provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let pair = KeyPair::generate()?;
    let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&pair)?;
    let key = PrivatePkcs8KeyDer::from(pair.serialize_der()).into();
    Ok(CertifiedKey::from_der(vec![certificate.into()], key, provider)?)
}

/// What the server shows.
pub(super) fn server_identity(keys: &TlsConfig, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let certificate = Named { key: "tls.server.certPath", path: &keys.server_cert_path };
    let key = Named { key: "tls.server.keyPath", path: &keys.server_key_path };
    for named in [&certificate, &key] {
        if named.path.is_empty() {
            let why = "when tls.test.mode.enable=false; or set tls.server.mode=disabled";
            return Err(TlsError::Missing { key: named.key, why });
        }
    }
    identity(&certificate, &key, &keys.server_key_password, provider)
}

/// What we show to servers that ask; `None` when nothing is configured. In test mode nothing is shown.
pub(super) fn client_identity(keys: &TlsConfig, provider: &CryptoProvider) -> Result<Option<CertifiedKey>, TlsError> {
    let certificate = Named { key: "tls.client.certPath", path: &keys.client_cert_path };
    let key = Named { key: "tls.client.keyPath", path: &keys.client_key_path };
    if keys.test_mode_enable || (certificate.path.is_empty() && key.path.is_empty()) {
        return Ok(None);
    }
    identity(&certificate, &key, &keys.client_key_password, provider).map(Some)
}

/// The certificates to trust. `why` is said when the key names no file.
pub(super) fn roots(key: &'static str, path: &str, why: &'static str) -> Result<RootCertStore, TlsError> {
    if path.is_empty() {
        return Err(TlsError::Missing { key, why });
    }
    let named = Named { key, path };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&named)? {
        roots.add(certificate).map_err(|error| named.content(format!("no certificate to trust: {error}")))?;
    }
    Ok(roots)
}

fn identity(
    certificate: &Named<'_>,
    key: &Named<'_>,
    password: &str,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(certificate)?;
    let private = private_key(key, password)?;
    let unusable = |error: rustls::Error| key.content(format!("no key that can be used: {error}"));
    let certified = CertifiedKey::new(chain, provider.key_provider.load_private_key(private).map_err(unusable)?);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(key.content(format!("the key is not that of the certificate in {}", certificate.path)))
        }
        // Certificates of version 1, as `openssl x509 -req` makes them, cannot be compared, and are shown all the same.
        Ok(()) | Err(_) => Ok(certified),
    }
}

fn certificates(named: &Named<'_>) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = named.read()?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(named.content("no certificate in it; expected one in PEM".to_owned())),
        Err(error) => Err(named.content(format!("no certificates in PEM: {error}"))),
    }
}

fn private_key(named: &Named<'_>, password: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = named.read()?;
    if let Ok(key) = PrivateKeyDer::from_pem_slice(&bytes) {
        return Ok(key);
    }
    let text = String::from_utf8_lossy(&bytes);
    let Some(begin) = text.find("-----BEGIN ENCRYPTED PRIVATE KEY-----") else {
        return Err(named.content("no private key in it; expected one in PEM (PKCS#8)".to_owned()));
    };
    let sealed = |error: &dyn std::fmt::Display| {
        named.content(format!(
            "the private key cannot be decrypted with the configured password: {error}; \
             `openssl pkcs8 -topk8 -v2 aes-256-cbc` encrypts it in a way that can be read"
        ))
    };
    let (_, document) = SecretDocument::from_pem(&text[begin..]).map_err(|error| sealed(&error))?;
    let info = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|error| sealed(&error))?;
    let key = info.decrypt(password).map_err(|error| sealed(&error))?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

impl Named<'_> {
    fn read(&self) -> Result<Vec<u8>, TlsError> {
        std::fs::read(self.path).map_err(|source| TlsError::Read { key: self.key, path: self.file(), source })
    }

    fn content(&self, reason: String) -> TlsError {
        TlsError::Content { key: self.key, path: self.file(), reason }
    }

    fn file(&self) -> PathBuf {
        PathBuf::from(self.path)
    }
}
