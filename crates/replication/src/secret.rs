//! The secret that brokers of a group share: without it nobody gets the log, and no slave follows a stranger.
//!
//! Before anything else each side shows that it knows the secret, by an HMAC over random bytes of both. It is no protocol of
//! the original, whose brokers know nothing of it: the secret is empty where a peer is Java's.
//!
//! ```text
//! slave   "RaptorHA" with its first bit set (8), random (16)
//! master  random (16), HMAC-SHA256 of "master", the slave's random, the master's random (32)
//! slave   HMAC-SHA256 of "slave", the slave's random, the master's random (32)
//! ```

use std::io;

use ring::hmac::{self, HMAC_SHA256, Key};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a slave that knows a secret begins with. As a report it would be negative, which none is.
const GREETING: i64 = i64::from_be_bytes(*b"RaptorHA") | i64::MIN;
const RANDOM_BYTES: usize = 16;
const TAG_BYTES: usize = 32;

/// The secret, as a key for signatures.
#[derive(Clone)]
pub(crate) struct Secret(Key);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Why the other side is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproved {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it does not know haSharedSecret, or has another")]
    Wrong,
}

/// Whether a report is no report, but the greeting of a slave that knows a secret.
pub(crate) fn is_greeting(report: i64) -> bool {
    report == GREETING
}

impl Secret {
    /// `None` when there is none.
    pub(crate) fn new(text: &str) -> Option<Secret> {
        (!text.is_empty()).then(|| Secret(Key::new(HMAC_SHA256, text.as_bytes())))
    }

    fn signed(role: &str, of_slave: &[u8], of_master: &[u8]) -> Vec<u8> {
        [role.as_bytes(), of_slave, of_master].concat()
    }

    /// The master's side: believes a slave, or does not.
    pub(crate) async fn demand(&self, stream: &mut TcpStream) -> Result<(), Unproved> {
        if stream.read_i64().await? != GREETING {
            return Err(Unproved::Wrong);
        }
        let mut of_slave = [0; RANDOM_BYTES];
        stream.read_exact(&mut of_slave).await?;
        let of_master = random()?;
        let tag = hmac::sign(&self.0, &Secret::signed("master", &of_slave, &of_master));
        stream.write_all(&[&of_master, tag.as_ref()].concat()).await?;
        let mut answer = [0; TAG_BYTES];
        stream.read_exact(&mut answer).await?;
        hmac::verify(&self.0, &Secret::signed("slave", &of_slave, &of_master), &answer).map_err(|_| Unproved::Wrong)
    }

    /// The slave's side.
    pub(crate) async fn prove(&self, stream: &mut TcpStream) -> Result<(), Unproved> {
        let of_slave = random()?;
        stream.write_all(&[&GREETING.to_be_bytes()[..], &of_slave].concat()).await?;
        let (mut of_master, mut answer) = ([0; RANDOM_BYTES], [0; TAG_BYTES]);
        stream.read_exact(&mut of_master).await?;
        stream.read_exact(&mut answer).await?;
        hmac::verify(&self.0, &Secret::signed("master", &of_slave, &of_master), &answer)
            .map_err(|_| Unproved::Wrong)?;
        let tag = hmac::sign(&self.0, &Secret::signed("slave", &of_slave, &of_master));
        Ok(stream.write_all(tag.as_ref()).await?)
    }
}

fn random() -> io::Result<[u8; RANDOM_BYTES]> {
    let mut bytes = [0; RANDOM_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("no random numbers can be had"))?;
    Ok(bytes)
}
