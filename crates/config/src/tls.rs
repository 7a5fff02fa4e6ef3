//! Keys of [`TlsConfig`]: whether connections are encrypted, and with which certificates.
//!
//! RocketMQ reads them from system properties and from the file that `tls.config.file` names; here the config file may
//! have them too. Java: `remoting/…/remoting/netty/TlsSystemConfig.java`, `TlsHelper.java`.

use std::path::Path;

use crate::error::ConfigError;
use crate::key::Family;
use crate::macros::config;
use crate::properties::Properties;
use crate::value::words;

/// Keys that the file which `tls.config.file` names cannot change.
const NOT_IN_FILE: [&str; 3] = ["tls.server.mode", "tls.enable", "tls.config.file"];

words! {
    /// What a server does with connections that begin with a TLS handshake, and with those that do not.
    pub enum TlsMode {
        /// Only plain text.
        Disabled = "disabled",
        /// Both, told from each other by the first byte.
        Permissive = "permissive",
        /// Only TLS.
        Enforcing = "enforcing",
    }
}

words! {
    /// Whether a server asks its clients for a certificate.
    pub enum TlsClientAuth {
        /// It does not.
        None = "none",
        /// It does, and takes clients without one.
        Optional = "optional",
        /// It does, and refuses clients without one.
        Require = "require",
    }
}

config! {
    /// Whether connections are encrypted, and with which certificates.
    pub struct TlsConfig {
        /// Whether servers take TLS, plain text, or both.
        pub server_mode: TlsMode = "tls.server.mode" => TlsMode::Permissive, fixed, hidden;
        /// Connect to others by TLS; also where the mode is `enforcing`. useTLS of the config file overrides it.
        pub enable: bool = "tls.enable" => false, fixed, hidden;
        /// Make a certificate at each start and trust everybody. For trying out: it encrypts and proves nothing.
        pub test_mode_enable: bool = "tls.test.mode.enable" => true, fixed, hidden;
        /// File with keys of this list, which override those given elsewhere; it need not exist.
        pub config_file: String = "tls.config.file" => "/etc/rocketmq/tls.properties", fixed, hidden;
        /// Whether servers ask clients for a certificate.
        pub server_need_client_auth: TlsClientAuth = "tls.server.need.client.auth" => TlsClientAuth::None, fixed, hidden;
        /// File of the server's private key (PEM).
        pub server_key_path: String = "tls.server.keyPath" => "", fixed, hidden;
        /// Password of the server's private key; empty when it is not encrypted.
        pub server_key_password: String = "tls.server.keyPassword" => "", fixed, hidden;
        /// File of the server's certificate and those that sign it (PEM).
        pub server_cert_path: String = "tls.server.certPath" => "", fixed, hidden;
        /// Check the certificates of clients.
        pub server_auth_client: bool = "tls.server.authClient" => false, fixed, hidden;
        /// File of the certificates that clients' certificates must be signed by (PEM).
        pub server_trust_cert_path: String = "tls.server.trustCertPath" => "", fixed, hidden;
        /// Milliseconds that a client's handshake with this server may take.
        pub server_handshake_timeout_millis: u64 = "tls.server.handshakeTimeoutMillis" [1..=2147483647] => 10_000, fixed, hidden, own;
        /// File of the private key for connections to others (PEM).
        pub client_key_path: String = "tls.client.keyPath" => "", fixed, hidden;
        /// Password of that key; empty when it is not encrypted.
        pub client_key_password: String = "tls.client.keyPassword" => "", fixed, hidden;
        /// File of the certificate for connections to others and those that sign it (PEM).
        pub client_cert_path: String = "tls.client.certPath" => "", fixed, hidden;
        /// Check the certificates of servers. Their names are not compared, as in the original.
        pub client_auth_server: bool = "tls.client.authServer" => false, fixed, hidden;
        /// File of the certificates that servers' certificates must be signed by (PEM).
        pub client_trust_cert_path: String = "tls.client.trustCertPath" => "", fixed, hidden;
    }
}

impl TlsConfig {
    /// Takes the keys of the file that `tls.config.file` names, if there is one.
    ///
    /// # Errors
    /// The file is there and cannot be read, or has a value that its key does not take.
    pub fn load_file(&mut self) -> Result<(), ConfigError> {
        let path = Path::new(&self.config_file);
        if !path.is_file() {
            return Ok(());
        }
        let mut properties = Properties::load(path)?;
        properties.entries.retain(|entry| !NOT_IN_FILE.contains(&entry.key.as_str()));
        self.apply(&properties)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_overrides_all_but_the_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls.properties");
        std::fs::write(&path, "tls.server.mode=disabled\ntls.test.mode.enable=false\ntls.server.certPath=/c\n")
            .unwrap();
        let mut config = TlsConfig { config_file: path.to_string_lossy().into_owned(), ..TlsConfig::default() };
        config.load_file().unwrap();
        assert_eq!(config.server_mode, TlsMode::Permissive);
        assert_eq!((config.test_mode_enable, config.server_cert_path.as_str()), (false, "/c"));
        std::fs::write(&path, "tls.server.authClient=perhaps\n").unwrap();
        assert!(config.load_file().unwrap_err().to_string().contains("expected true or false"));
        config.config_file = "/no/such/file".to_owned();
        config.load_file().unwrap();
    }
}
