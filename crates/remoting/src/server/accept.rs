//! Takes connections and deals them to the I/O threads.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::Common;
use super::absence::Absence;
use super::thread::Control;
use crate::connection::Ends;

/// How long to wait when the system has no descriptor or memory for another connection.
const REST: Duration = Duration::from_millis(200);

/// Deals connections to the threads that have the fewest.
#[derive(Clone)]
pub(super) struct Dealer {
    common: Arc<Common>,
    threads: Arc<[Place]>,
}

/// A thread that connections are dealt to.
pub(super) struct Place {
    control: mpsc::UnboundedSender<Control>,
    /// How many it has.
    load: Arc<AtomicUsize>,
    absence: Absence,
    is_spare: bool,
}

impl Place {
    pub(super) fn new(control: mpsc::UnboundedSender<Control>, absence: Absence, is_spare: bool) -> Place {
        Place { control, load: Arc::default(), absence, is_spare }
    }
}

/// A connection on its way to its thread.
pub(super) struct Dealt {
    pub(super) stream: TcpStream,
    pub(super) ends: Ends,
    pub(super) seat: Seat,
}

/// As long as it is held, a connection counts.
pub(super) struct Seat {
    common: Arc<Common>,
    load: Arc<AtomicUsize>,
}

impl Seat {
    fn take(common: &Arc<Common>, load: &Arc<AtomicUsize>) -> Seat {
        load.fetch_add(1, Ordering::Relaxed);
        common.connections.fetch_add(1, Ordering::Relaxed);
        Seat { common: common.clone(), load: load.clone() }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.common.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Dealer {
    pub(super) fn new(common: Arc<Common>, threads: Vec<Place>) -> Dealer {
        Dealer { common, threads: threads.into() }
    }

    /// Accepts on one listener until its task is dropped.
    pub(super) async fn accept(self, listener: TcpListener, index: usize) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => self.deal(stream, address, index),
                // The peer has gone while it waited.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if let Some(suppressed) = self.common.warnings.allow() {
                        tracing::warn!(%error, suppressed, "cannot accept a connection; trying again soon");
                    }
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    fn deal(&self, stream: tokio::net::TcpStream, address: SocketAddr, listener: usize) {
        let max = self.common.options.connections_max;
        if self.common.connections.load(Ordering::Relaxed) >= max {
            if let Some(suppressed) = self.common.warnings.allow() {
                tracing::warn!(peer = %address, connections_max = max, suppressed, "connection refused: too many");
            }
            return;
        }
        let now = Instant::now();
        let price = |place: &&Place| (place.absence.is_long(now), place.is_spare, place.load.load(Ordering::Relaxed));
        let Some(Place { control, load, .. }) = self.threads.iter().min_by_key(price) else { return };
        // A connection that ends in between has nothing to be told.
        let Ok(local) = stream.local_addr() else { return };
        let Ok(stream) = stream.into_std() else { return };
        let id = self.common.next_id.fetch_add(1, Ordering::Relaxed);
        let ends = Ends { id, address, local, listener };
        // Waiting orders are bounded by connections_max. A thread that takes none has ended, and so will this one.
        let _ = control.send(Control::Serve(Dealt { stream, ends, seat: Seat::take(&self.common, load) }));
    }
}
