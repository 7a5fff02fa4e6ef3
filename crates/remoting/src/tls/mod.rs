//! TLS: what a server shows and asks for, what a client shows and trusts.
//!
//! [`material`] reads keys and certificates, [`trust`] says whom to believe, [`session`] turns the bytes of one socket into
//! plain ones and back. Java: `remoting/netty/TlsHelper.java`.

mod material;
mod session;
mod trust;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use raptormq_config::{ClientNetConfig, TlsConfig, TlsMode};
use rustls::crypto::{CryptoProvider, ring};
use rustls::sign::SingleCertAndKey;
use thiserror::Error;

pub(crate) use self::session::{HANDSHAKE_BYTE, Session};

/// Why TLS cannot be had as it is configured.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{key}={}: {source}; name a file that this process may read", .path.display())]
    Read {
        /// The configuration key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{key}={}: {reason}", .path.display())]
    Content {
        /// The configuration key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key that must be set is not.
    #[error("{key} must be set {why}")]
    Missing {
        /// The key.
        key: &'static str,
        /// When it must.
        why: &'static str,
    },
    /// The certificate for trying out cannot be made.
    #[error(
        "cannot make a certificate: {0}; set tls.test.mode.enable=false, tls.server.certPath and tls.server.keyPath"
    )]
    SelfSigned(#[from] rcgen::Error),
    /// What was read does not go together.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// A server's side of TLS: what it shows to its clients now.
pub(crate) struct ServerTls {
    /// Plain text is refused.
    pub(crate) is_enforcing: bool,
    /// How long a handshake may take.
    pub(crate) handshake_timeout: Duration,
    keys: TlsConfig,
    shown: ArcSwap<rustls::ServerConfig>,
}

impl ServerTls {
    /// `None` when the server takes only plain text.
    pub(crate) fn new(keys: &TlsConfig) -> Result<Option<ServerTls>, TlsError> {
        if keys.server_mode == TlsMode::Disabled {
            return Ok(None);
        }
        Ok(Some(ServerTls {
            is_enforcing: keys.server_mode == TlsMode::Enforcing,
            handshake_timeout: Duration::from_millis(keys.server_handshake_timeout_millis),
            keys: keys.clone(),
            shown: ArcSwap::from_pointee(server_config(keys)?),
        }))
    }

    /// The session of a client that has begun a handshake.
    pub(crate) fn session(&self) -> Result<Session, rustls::Error> {
        Ok(Session::new(rustls::ServerConnection::new(self.shown.load_full())?.into()))
    }

    /// Reads the files again: connections from now on see what is there, those that are open go on.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        self.shown.store(Arc::new(server_config(&self.keys)?));
        Ok(())
    }

    /// The files that [`ServerTls::reload`] reads; none when the certificate is made here.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let keys = &self.keys;
        let files = [&keys.server_cert_path, &keys.server_key_path, &keys.server_trust_cert_path];
        let is_watched = |file: &&&String| !keys.test_mode_enable && !file.is_empty();
        files.iter().filter(is_watched).map(PathBuf::from).collect()
    }
}

/// A client's side of TLS. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<rustls::ClientConfig>,
}

impl ClientTls {
    /// Reads what the keys `tls.client.*` name.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn new(keys: &TlsConfig) -> Result<ClientTls, TlsError> {
        Ok(ClientTls { config: Arc::new(client_config(keys)?) })
    }

    /// The same, for a role whose settings may say that it connects in plain text: `None` then.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn of(client: &ClientNetConfig, keys: &TlsConfig) -> Result<Option<ClientTls>, TlsError> {
        if client.use_tls { ClientTls::new(keys).map(Some) } else { Ok(None) }
    }

    /// The session of a connection to `server`. No name is sent and none compared, as in the original.
    pub(crate) fn session(&self, server: std::net::IpAddr) -> Result<Session, rustls::Error> {
        let connection = rustls::ClientConnection::new(self.config.clone(), server.into())?;
        Ok(Session::new(connection.into()))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server_config(keys: &TlsConfig) -> Result<rustls::ServerConfig, TlsError> {
    let provider = provider();
    let identity = match keys.test_mode_enable {
        true => material::self_signed(&provider)?,
        false => material::server_identity(keys, &provider)?,
    };
    let builder =
        rustls::ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match trust::of_clients(keys, &provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    Ok(builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity))))
}

fn client_config(keys: &TlsConfig) -> Result<rustls::ClientConfig, TlsError> {
    let provider = provider();
    let builder =
        rustls::ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(trust::of_servers(keys, &provider)?);
    Ok(match material::client_identity(keys, &provider)? {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => builder.with_no_client_auth(),
    })
}
