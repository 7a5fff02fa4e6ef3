//! The client: one connection an address, shared by all who call.
//!
//! [`pool`] opens connections and keeps them; [`link`] is the task that reads and writes one.

mod link;
mod pool;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::{Command, Language};
use raptormq_protocol::frame::{FRAME_BYTES_MAX, Serialization};
use tokio::time::Instant;

use self::pool::Pool;
use crate::calls::Pending;
use crate::connection::{Refusal, Settings};
use crate::tls::ClientTls;
use crate::{CallError, Connection, Inquiry, Output, Request, Response};

/// Takes what servers send of their own accord.
pub trait Inbound: Send + Sync + 'static {
    /// Handles a request of the server: answers into `out` or keeps a [`Responder`](crate::Responder). Must not block.
    fn handle(&self, server: &Connection, request: &Command<'_>, out: &mut Output) {
        let _ = server;
        let remark = format!(" request type {} not supported", request.code);
        out.respond(request, ResponseCode::REQUEST_CODE_NOT_SUPPORTED, Some(&remark));
    }

    /// A connection has ended; `address` is what the caller named it by. The next call opens another.
    fn closed(&self, address: &str, reason: &str) {
        tracing::debug!(address, reason, "connection ended");
    }
}

/// Adds to requests what says who sends them.
pub trait Signer: Send + Sync + 'static {
    /// The fields to add to a request, which has all others.
    fn sign(&self, request: &Request) -> Vec<(&'static str, String)>;
}

impl std::fmt::Debug for dyn Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

/// Supports no request of a server.
impl Inbound for () {}

/// How a client is set up.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The form of header that is written.
    pub serialization: Serialization,
    /// The language that requests name.
    pub language: Language,
    /// Connections are encrypted; by default they are not.
    pub tls: Option<ClientTls>,
    /// Signs every request that is sent; by default nobody does.
    pub signer: Option<Arc<dyn Signer>>,
    /// How long a connection may take to come about; by default 3 s, as Java's.
    pub connect_timeout: Duration,
    /// A connection on which nothing was read or written for so long is closed; by default 120 s, as Java's.
    pub idle_timeout: Duration,
    /// After a failed attempt, an address is not tried again for this time, twice as long after each further one …
    pub retry_min: Duration,
    /// … and no longer than this. By default 50 ms and 1 s.
    pub retry_max: Duration,
    /// The longest frame taken and sent, its length word included; by default 16 MiB, as Java's.
    pub frame_bytes_max: usize,
    /// Unsent bytes for one address above which calls are refused; by default 64 MiB.
    pub outbox_bytes_max: usize,
    /// Calls to one address that wait for an answer; more are refused. By default 65,535, as Java's.
    pub calls_max: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            serialization: Serialization::Json,
            language: Language::RUST,
            tls: None,
            signer: None,
            connect_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(120),
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_secs(1),
            frame_bytes_max: FRAME_BYTES_MAX,
            outbox_bytes_max: 64 << 20,
            calls_max: 65_535,
        }
    }
}

impl ClientOptions {
    fn settings(&self) -> Settings {
        Settings {
            serialization: self.serialization,
            language: self.language,
            frame_bytes_max: self.frame_bytes_max,
            outbox_bytes_max: self.outbox_bytes_max,
            calls_max: self.calls_max,
        }
    }
}

/// Calls servers by their address. Cheap to clone; the last clone closes the connections. Usable from any tokio runtime
/// with I/O and time; a connection lives on the runtime of the call that opened it.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Arc<Pool>,
}

impl Client {
    /// A client that hands the servers' requests to `inbound`. Connections are opened when they are needed.
    pub fn new(options: ClientOptions, inbound: Arc<dyn Inbound>) -> Client {
        Client { shared: Arc::new(Shared { pool: Arc::new(Pool::new(options, inbound)) }) }
    }

    /// Sends a request to `address` (`host:port`) and waits for the answer, at most for `timeout`, which includes the
    /// time a connection takes. A server that tells us to go away, or whose connection ended just before the request was
    /// sent, is asked again on a new connection, once.
    pub async fn call(&self, address: &str, request: Request, timeout: Duration) -> Result<Response, CallError> {
        let deadline = Instant::now() + timeout;
        match self.attempt(address, &request, timeout, deadline).await {
            Ok(response) if response.code == ResponseCode::GO_AWAY => {}
            Err(CallError::Lost { sent: false, .. }) => {}
            result => return result,
        }
        self.attempt(address, &request, timeout, deadline).await
    }

    async fn attempt(
        &self,
        address: &str,
        request: &Request,
        timeout: Duration,
        deadline: Instant,
    ) -> Result<Response, CallError> {
        self.begin_by(address, request, timeout, deadline).await?.await
    }

    /// Puts a request on its way to `address` and returns at once when a connection is open: requests that follow each
    /// other travel together. The call waits for the answer, at most until `timeout` has passed from now on. A server
    /// that tells us to go away gets no further request on that connection, and who called decides whether to ask again.
    pub async fn begin(&self, address: &str, request: &Request, timeout: Duration) -> Result<PendingCall, CallError> {
        let deadline = Instant::now() + timeout;
        match self.begin_by(address, request, timeout, deadline).await {
            Err(CallError::Lost { sent: false, .. }) => self.begin_by(address, request, timeout, deadline).await,
            result => result,
        }
    }

    async fn begin_by(
        &self,
        address: &str,
        request: &Request,
        timeout: Duration,
        deadline: Instant,
    ) -> Result<PendingCall, CallError> {
        let link = self.link(address, request.code, timeout, deadline).await?;
        let pending = link
            .begin(&self.signed(request), deadline)
            .map_err(|refusal| self.explain(refusal, address, request.code))?;
        Ok(PendingCall { address: address.into(), code: request.code, timeout, pending })
    }

    /// As [`Client::begin`], for somebody who takes the answer where it is read, without a copy of it and without a task
    /// that waits; `timeout` counts from `began` on. An inquiry that was not sent is given back.
    pub async fn begin_inquiry<T: Inquiry>(
        &self,
        address: &str,
        mut inquiry: Box<T>,
        began: Instant,
        timeout: Duration,
    ) -> Result<(), (CallError, Box<T>)> {
        let (code, deadline) = (inquiry.code(), began + timeout);
        let mut is_second = false;
        loop {
            let link = match self.link(address, code, timeout, deadline).await {
                Ok(link) => link,
                Err(error) => return Err((error, inquiry)),
            };
            let begun = match &self.shared.pool.options.signer {
                None => link.begin_inquiry(inquiry, deadline),
                Some(signer) => {
                    let request = Request::new(code).header(&inquiry.header()).body(inquiry.body().clone());
                    link.begin_signed_inquiry(inquiry, &with_signature(signer, request), deadline)
                }
            };
            match begun {
                Ok(()) => return Ok(()),
                // It ended in between.
                Err((Refusal::Ended(_), back)) if !is_second => (inquiry, is_second) = (back, true),
                Err((refusal, back)) => return Err((self.explain(refusal, address, code), back)),
            }
        }
    }

    fn explain(&self, refusal: Refusal, address: &str, code: RequestCode) -> CallError {
        refusal.explain(address.to_owned(), code, self.shared.pool.options.frame_bytes_max)
    }

    /// Sends a request that wants no answer. An error says that it was not sent; nobody learns whether it arrives.
    pub async fn oneway(&self, address: &str, request: &Request) -> Result<(), CallError> {
        let timeout = self.shared.pool.options.connect_timeout;
        let deadline = Instant::now() + timeout;
        let signed = self.signed(request);
        match self.link(address, request.code, timeout, deadline).await?.oneway(&signed) {
            // It ended in between.
            Err(CallError::Lost { .. }) => self.link(address, request.code, timeout, deadline).await?.oneway(&signed),
            result => result,
        }
    }

    /// Sends a request that wants no answer on the connection that a server's request came over.
    pub fn oneway_on(&self, connection: &Connection, request: &Request) -> Result<(), CallError> {
        connection.oneway(&self.signed(request))
    }

    /// The request with its signature, where requests are signed.
    fn signed<'r>(&self, request: &'r Request) -> Cow<'r, Request> {
        let Some(signer) = &self.shared.pool.options.signer else { return Cow::Borrowed(request) };
        Cow::Owned(with_signature(signer, request.clone()))
    }

    async fn link(
        &self,
        address: &str,
        code: RequestCode,
        timeout: Duration,
        deadline: Instant,
    ) -> Result<Connection, CallError> {
        let pool = &self.shared.pool;
        if let Some(link) = pool.open_link(address) {
            return Ok(link);
        }
        let late = |_| CallError::Timeout { address: address.to_owned(), code, timeout, sent: false };
        tokio::time::timeout_at(deadline, pool.connect(address, code)).await.map_err(late)?
    }

    /// The connection to `address`, if one is open.
    pub fn connection(&self, address: &str) -> Option<Connection> {
        self.shared.pool.open_link(address)
    }

    /// This end of the connection to `address`, if one is open.
    pub fn local_addr(&self, address: &str) -> Option<SocketAddr> {
        self.connection(address).map(|link| link.local_addr())
    }

    /// Closes the connection to `address` after what was said on it is sent.
    pub fn disconnect(&self, address: &str) {
        if let Some(link) = self.connection(address) {
            self.shared.pool.retire(address, &link);
        }
    }

    /// Closes all connections after what was said on them is sent. Calls from now on fail.
    pub fn close(&self) {
        self.shared.pool.close();
    }
}

/// The request with the fields that its signer adds.
fn with_signature(signer: &Arc<dyn Signer>, request: Request) -> Request {
    let add = |request: Request, (key, value): (&str, String)| request.field(key, &value);
    signer.sign(&request).into_iter().fold(request, add)
}

/// A call on its way: a future of its answer. Dropping it forgets the call; the request goes its way.
#[must_use = "the answer is known only here"]
pub struct PendingCall {
    address: Box<str>,
    code: RequestCode,
    timeout: Duration,
    pending: Pending,
}

impl Future for PendingCall {
    type Output = Result<Response, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.pending).poll(context));
        Poll::Ready(answer.map_err(|why| why.explain(&*self.address, self.code, self.timeout)))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pool.close();
    }
}
