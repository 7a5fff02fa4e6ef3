//! Carries commands over TCP: server, client, calls in flight, limits.
