//! Ports that nobody uses.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports dealt out: below those that Linux gives to connections by itself, which begin at 32768.
const FIRST: u16 = 20_000;
const COUNT: u32 = 12_000;

/// A broker's ports: its own, two below for VIP clients, one above for slaves; and one more, so that neighbours do not
/// touch.
const STRIDE: u32 = 4;

/// A port for a broker, whose neighbours two below and one above are free, too. No other call in this process gets it;
/// another process may be faster to listen on it, so be ready to ask again.
///
/// # Panics
/// All are taken, which a machine that runs tests never is.
pub fn free_broker_port() -> u16 {
    static DEALT: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time begin at different places.
    let start = std::process::id().wrapping_mul(61);
    for _ in 0..COUNT / STRIDE {
        let number = start.wrapping_add(DEALT.fetch_add(1, Ordering::Relaxed)) % (COUNT / STRIDE);
        // Below FIRST + COUNT, which is a u16.
        let port = FIRST + 2 + (number * STRIDE) as u16;
        if [port - 2, port, port + 1].into_iter().all(is_free) {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_lie_apart_and_occupied_neighbours_are_passed_over() {
        let first = free_broker_port();
        let next = first + STRIDE as u16;
        // The next one loses its VIP port. Another test may have been dealt it already; then this holds as well.
        let _taken = TcpListener::bind(("0.0.0.0", next - 2));
        let dealt: Vec<u16> = (0..10).map(|_| free_broker_port()).collect();
        assert!(!dealt.contains(&next) && !dealt.contains(&first), "{next} in {dealt:?}");
        assert!(dealt.windows(2).all(|pair| pair[0].abs_diff(pair[1]) >= STRIDE as u16), "{dealt:?}");
    }
}
