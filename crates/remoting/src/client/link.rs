//! One connection of a client: the task that reads and writes it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::Command;
use raptormq_protocol::frame::Frame;
use tokio::time::{Instant, Sleep};

use super::pool::Pool;
use crate::inbox::{Flow, Inbox};
use crate::socket::Socket;
use crate::{Connection, Output};

/// Bytes read at once.
const INPUT_BYTES: usize = 64 << 10;
/// Reads before other tasks of the runtime have their turn.
const READS_MAX: usize = 16;

/// Carries one connection to its end.
pub(super) async fn drive(connection: Connection, socket: Socket, address: Box<str>, pool: Arc<Pool>) {
    let idle = pool.options.idle_timeout;
    // Dropped in any case, also with the runtime.
    let mut link = Link {
        output: connection.new_output(),
        connection,
        socket,
        inbox: Inbox::default(),
        input: Vec::new(),
        address,
        pool,
        active: true,
        idle_at: Instant::now() + idle,
        behind: false,
        closing: None,
        end: None,
    };
    let mut timer = Box::pin(tokio::time::sleep(idle));
    let reason = poll_fn(|context| link.poll(timer.as_mut(), context)).await;
    link.end = Some(reason);
}

struct Link {
    connection: Connection,
    socket: Socket,
    inbox: Inbox,
    input: Vec<u8>,
    output: Output,
    address: Box<str>,
    pool: Arc<Pool>,
    /// Something was read or written since the idle time began.
    active: bool,
    idle_at: Instant,
    /// Nothing is read until what waits is sent.
    behind: bool,
    /// Why it shall end when everything is sent.
    closing: Option<String>,
    /// Why it ended.
    end: Option<String>,
}

impl Drop for Link {
    fn drop(&mut self) {
        let reason = self.end.as_deref().unwrap_or("the runtime that carried it has ended");
        // First out of the pool, so that nobody is handed what takes no calls.
        self.pool.forget(&self.address, &self.connection);
        self.connection.ended(reason);
        self.pool.inbound.closed(&self.address, reason);
    }
}

impl Link {
    /// One pass; why the connection ends, when it does.
    fn poll(&mut self, timer: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<String> {
        self.connection.listen(context.waker());
        if let Poll::Ready(reason) = self.read(context) {
            return Poll::Ready(reason);
        }
        match self.connection.collect(&mut self.output) {
            Some(close) if close.at_once => return Poll::Ready(close.reason),
            Some(close) => drop(self.closing.get_or_insert(close.reason)),
            None => {}
        }
        if let Poll::Ready(reason) = self.send(context) {
            return Poll::Ready(reason);
        }
        if self.output.is_empty() && self.connection.is_rung() {
            // More was left in the outbox, or has come.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.closing.is_none() {
            self.closing = self.connection.close_if_quiet();
        }
        if let Some(reason) = self.closing.take_if(|_| self.output.is_empty()) {
            // The peer may be gone already.
            let _ = self.socket.finish(context);
            return Poll::Ready(reason);
        }
        self.watch(timer, context)
    }

    fn read(&mut self, context: &mut Context<'_>) -> Poll<String> {
        if self.input.is_empty() {
            self.input = vec![0; INPUT_BYTES];
        }
        // A server that asks and does not read has its answers bounded.
        self.behind = self.output.len() > self.pool.options.outbox_bytes_max;
        if self.behind {
            return Poll::Pending;
        }
        for _ in 0..READS_MAX {
            match self.socket.poll_read(context, &mut self.input) {
                Poll::Ready(Ok(0)) => return Poll::Ready("closed by the server".to_owned()),
                Poll::Ready(Ok(count)) => {
                    self.active = true;
                    if let Err(reason) = self.handle(count) {
                        tracing::warn!(address = %self.address, reason, "connection closed: the server sent what is no command");
                        return Poll::Ready(reason);
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(error.to_string()),
                Poll::Pending => return Poll::Pending,
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn handle(&mut self, count: usize) -> Result<(), String> {
        let Link { connection, inbox, input, output, pool, address, .. } = self;
        let mut bad = None;
        let mut scratch = Vec::new();
        let max = pool.options.frame_bytes_max;
        let found = inbox.drain(&input[..count], max, &mut |bytes: &[u8], frame: &Frame| {
            let mut command = Command::empty();
            if let Err(error) = command.read(bytes, frame, &mut scratch) {
                bad = Some(error.to_string());
                return Flow::Stop;
            }
            if !command.is_response() {
                pool.inbound.handle(connection, &command, output);
                return Flow::Continue;
            }
            if command.code == ResponseCode::GO_AWAY.0 {
                // First, so that whoever asks again does so on another connection.
                pool.retire(address, connection);
            }
            if !connection.answered(&command) {
                tracing::debug!(server = %connection.peer_addr(), opaque = command.opaque, "an answer too late");
            }
            Flow::Continue
        });
        match (found, bad) {
            (Ok(_), None) => Ok(()),
            (Ok(_), Some(error)) => Err(error),
            (Err(error), _) => Err(error.to_string()),
        }
    }

    fn send(&mut self, context: &mut Context<'_>) -> Poll<String> {
        while !self.output.is_empty() || self.socket.has_unsent() {
            match self.socket.send(&mut self.output) {
                Ok(sent) => {
                    self.active = true;
                    if sent {
                        self.output.trim();
                        if self.behind {
                            context.waker().wake_by_ref();
                        }
                        break;
                    }
                }
                Err(error) => return Poll::Ready(error.to_string()),
            }
            match self.socket.poll_write_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(error.to_string()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    /// Keeps the times: of the calls, and of the connection when nothing happens on it.
    fn watch(&mut self, mut timer: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<String> {
        loop {
            let next_call = self.connection.next_deadline();
            let wake_at = next_call.map_or(self.idle_at, |call| call.min(self.idle_at));
            if timer.deadline() != wake_at {
                timer.as_mut().reset(wake_at);
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if self.connection.expire(now) {
                // A retired connection may have waited for these.
                context.waker().wake_by_ref();
            }
            if now >= self.idle_at {
                if !std::mem::take(&mut self.active) && !self.connection.has_calls() {
                    return Poll::Ready(format!("idle for {} s", self.pool.options.idle_timeout.as_secs()));
                }
                self.idle_at = now + self.pool.options.idle_timeout.max(Duration::from_millis(1));
            }
        }
    }
}
