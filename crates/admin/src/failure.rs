//! Why a command did not do what it should, in one line: the cause, where, and what to do.

use std::io;

use raptormq_client::{Error, ErrorKind};

/// A `Result` with [`Failure`].
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A name server or broker, or the way there.
    #[error("{}{}", .0, remedy(.0))]
    Cluster(#[from] Error),
    /// What the user gave, or what is there is not what was asked for. The text says what to do.
    #[error("{0}")]
    Said(String),
    /// A file could not be written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// Standard output cannot be written: nobody reads it any more.
    #[error("standard output cannot be written: {0}")]
    Output(io::Error),
    /// The options do not say what to do it with: the usage text is shown.
    #[error("the options do not say what to do it with")]
    Usage,
}

impl Failure {
    /// Something that was given cannot be right.
    pub(crate) fn argument(text: impl Into<String>) -> Failure {
        Failure::Said(text.into())
    }

    /// The code that a server answered with.
    pub(crate) fn code(&self) -> Option<raptormq_client::ResponseCode> {
        match self {
            Failure::Cluster(error) => error.code(),
            _ => None,
        }
    }

    /// The text in one line.
    pub(crate) fn line(&self) -> String {
        let text = self.to_string();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// What to do about it.
fn remedy(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidArgument if error.to_string().starts_with("No name server") => {
            " Name it with -n HOST:PORT or in NAMESRV_ADDR"
        }
        ErrorKind::Unreachable => "; check the address and that the server runs",
        ErrorKind::Timeout => "; check that the server runs and is not overloaded, then try again",
        ErrorKind::Busy => "; try again a little later",
        ErrorKind::TopicNotExist => "; topicList shows the topics that there are",
        _ => "",
    }
}
