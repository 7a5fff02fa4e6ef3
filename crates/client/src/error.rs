//! The one error of this crate: what kind it is, what the broker said, and whether trying again makes sense.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use raptormq_protocol::code::ResponseCode;
use raptormq_remoting::CallError;

use crate::producer::SendReceipt;

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something did not happen. Cheap to clone.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    text: String,
    /// What to do about it.
    advice: Option<&'static str>,
    code: Option<ResponseCode>,
    broker: Option<String>,
    outcome_unknown: bool,
    receipt: Option<Box<SendReceipt>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What a caller can tell errors apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for cannot be: an empty body, a topic with forbidden characters, a group that is taken.
    InvalidArgument,
    /// The body, a property text or a batch is over its limit.
    TooLarge,
    /// The client, producer or consumer has been shut down.
    Closed,
    /// No connection to the name servers or to the broker.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The topic is known nowhere because no broker is registered with the name servers.
    NoRoute,
    /// The topic does not exist, and nobody creates it.
    TopicNotExist,
    /// The broker, the topic or the group does not allow it.
    NotPermitted,
    /// The broker has too much to do; it has not taken the message.
    Busy,
    /// The broker cannot serve now: disk full, a slave, shutting down.
    ServiceUnavailable,
    /// The message is stored, but was not on disk in time; [`Error::receipt`] says where it is.
    FlushDiskTimeout,
    /// The message is stored, but was not on the slave in time; [`Error::receipt`] says where it is.
    FlushSlaveTimeout,
    /// The message is stored, but there is no slave to copy it to; [`Error::receipt`] says where it is.
    SlaveNotAvailable,
    /// The broker or name server refused for another reason; [`Error::code`] says which.
    Refused,
    /// An answer that is not what the protocol says.
    Protocol,
    /// A local file could not be read or written.
    Storage,
}

/// What stands in the words of a broker whose access control refuses.
const ACCESS_REFUSED: &str = "AclException";

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        let inner = Inner {
            kind,
            text: text.into(),
            advice: None,
            code: None,
            broker: None,
            outcome_unknown: false,
            receipt: None,
            source: None,
        };
        Error { inner: Arc::new(inner) }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidArgument, text)
    }

    /// What a [`ProducerHook`](crate::ProducerHook) says that does not let a message pass; of kind
    /// [`ErrorKind::NotPermitted`].
    pub fn refused_by_hook(reason: impl Into<String>) -> Error {
        Error::new(ErrorKind::NotPermitted, reason)
    }

    pub(crate) fn closed(what: &str) -> Error {
        Error::new(ErrorKind::Closed, format!("the {what} has been shut down"))
    }

    pub(crate) fn protocol(text: impl Into<String>) -> Error {
        Error::new(ErrorKind::Protocol, text)
    }

    /// What an answer other than success means.
    pub(crate) fn refused(code: i32, remark: Option<&str>, broker: &str) -> Error {
        let code = ResponseCode(code);
        let kind = match code {
            ResponseCode::SYSTEM_BUSY | ResponseCode::FLOW_CONTROL => ErrorKind::Busy,
            ResponseCode::SERVICE_NOT_AVAILABLE | ResponseCode::GO_AWAY => ErrorKind::ServiceUnavailable,
            ResponseCode::NO_PERMISSION => ErrorKind::NotPermitted,
            ResponseCode::TOPIC_NOT_EXIST => ErrorKind::TopicNotExist,
            _ if remark.is_some_and(|remark| remark.contains(ACCESS_REFUSED)) => ErrorKind::NotPermitted,
            _ => ErrorKind::Refused,
        };
        // Brokers add the address of a page of general advice to many of their words.
        let remark = remark.and_then(|remark| remark.split("\nSee http").next()).map(str::trim);
        let remark = remark.filter(|remark| !remark.is_empty()).unwrap_or("no reason given");
        let error = Error::new(kind, format!("{broker} answered {code}: {remark}")).with_code(code).with_broker(broker);
        match remark.contains(ACCESS_REFUSED) {
            true => error.with_advice("check the access key, its secret, and what its account may do"),
            false => error,
        }
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Error {
        change(Arc::make_mut(&mut self.inner));
        self
    }

    pub(crate) fn with_code(self, code: ResponseCode) -> Error {
        self.change(|inner| inner.code = Some(code))
    }

    pub(crate) fn with_broker(self, broker: &str) -> Error {
        self.change(|inner| inner.broker = Some(broker.to_owned()))
    }

    pub(crate) fn with_kind(self, kind: ErrorKind) -> Error {
        self.change(|inner| inner.kind = kind)
    }

    pub(crate) fn with_outcome_unknown(self) -> Error {
        self.change(|inner| inner.outcome_unknown = true)
    }

    pub(crate) fn with_receipt(self, receipt: SendReceipt) -> Error {
        self.change(|inner| inner.receipt = Some(Box::new(receipt)))
    }

    pub(crate) fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.change(|inner| inner.source = Some(Arc::new(source)))
    }

    /// The same error with what was being done in front of its text.
    pub(crate) fn during(self, what: impl fmt::Display) -> Error {
        self.change(|inner| inner.text = format!("{what}: {}", inner.text))
    }

    /// The same error with what to do about it.
    pub(crate) fn with_advice(self, advice: &'static str) -> Error {
        self.change(|inner| inner.advice = Some(advice))
    }

    /// What happened and where, without the advice that the whole text ends with.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// What to do about it, where that can be said.
    pub fn advice(&self) -> Option<&'static str> {
        self.inner.advice
    }

    /// Whether nothing listens there, or nobody goes there.
    pub(crate) fn is_refused_connection(&self) -> bool {
        let source = self.inner.source.as_ref().and_then(|source| source.downcast_ref::<CallError>());
        source.is_some_and(|source| matches!(source, CallError::Connect { .. } | CallError::Address { .. }))
    }

    /// What happened, for decisions in code.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The code that the broker or name server answered with, when one answered.
    pub fn code(&self) -> Option<ResponseCode> {
        self.inner.code
    }

    /// Address of the broker or name server that this is about.
    pub fn broker(&self) -> Option<&str> {
        self.inner.broker.as_deref()
    }

    /// Where a message lies whose acknowledgement was weaker than asked for.
    pub fn receipt(&self) -> Option<&SendReceipt> {
        self.inner.receipt.as_deref()
    }

    /// Whether the same call may succeed a little later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.inner.kind,
            ErrorKind::Unreachable
                | ErrorKind::Timeout
                | ErrorKind::NoRoute
                | ErrorKind::Busy
                | ErrorKind::ServiceUnavailable
        )
    }

    /// Whether the request may have been carried out all the same: it was sent, and no answer came. Sending such a
    /// message again can double it.
    pub fn outcome_unknown(&self) -> bool {
        self.inner.outcome_unknown
    }
}

/// What to do about a call that failed; the others' texts say it.
fn advice(error: &CallError) -> Option<&'static str> {
    match error {
        CallError::Connect { reason, .. } if reason.contains("certificate") => Some(
            "renew the server's certificate, or trust the one that signed it (tls.client.trustCertPath); without \
             tls.client.authServer none is checked",
        ),
        CallError::Connect { .. } => {
            Some("is it running, and does this machine reach that address (a broker's is its brokerIP1)?")
        }
        CallError::Timeout { sent: true, .. } => Some(
            "it may have been done all the same: look at the server's log and load, allow more time, or check that the port \
             is the right one",
        ),
        CallError::Lost { .. } => {
            Some("when that repeats, something else may listen there, or only one of the two sides uses TLS")
        }
        _ => None,
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Error {
        let (kind, address) = match &error {
            CallError::Address { address, .. }
            | CallError::Connect { address, .. }
            | CallError::Lost { address, .. } => (ErrorKind::Unreachable, address),
            CallError::Timeout { address, .. } => (ErrorKind::Timeout, address),
            CallError::Busy { address, .. } => (ErrorKind::Busy, address),
            CallError::TooLong { address, .. } => (ErrorKind::TooLarge, address),
            CallError::Closed { address, .. } => (ErrorKind::Closed, address),
        };
        let described = Error::new(kind, error.to_string()).with_broker(address);
        let described = if error.outcome_unknown() { described.with_outcome_unknown() } else { described };
        let described = match advice(&error) {
            Some(advice) => described.with_advice(advice),
            None => described,
        };
        described.with_source(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.text)?;
        self.inner.advice.map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("text", &self.inner.text)
            .field("code", &self.inner.code)
            .field("broker", &self.inner.broker)
            .field("outcome_unknown", &self.inner.outcome_unknown)
            .field("receipt", &self.inner.receipt)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_kinds() {
        for (code, kind, retryable) in [
            (2, ErrorKind::Busy, true),
            (14, ErrorKind::ServiceUnavailable, true),
            (16, ErrorKind::NotPermitted, false),
            (17, ErrorKind::TopicNotExist, false),
            (29, ErrorKind::Refused, false),
            (777, ErrorKind::Refused, false),
        ] {
            let error = Error::refused(code, Some("why "), "b:1");
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{code}");
            assert_eq!((error.code(), error.broker()), (Some(ResponseCode(code)), Some("b:1")));
        }
        assert_eq!(
            Error::refused(16, Some(" no \nSee https://example.org for further details."), "b:1")
                .during("sending")
                .to_string(),
            "sending: b:1 answered NO_PERMISSION (16): no"
        );
    }
}
