//! Turns bytes into RocketMQ commands and messages and back; no I/O.
