//! Keeps the log, the queues and the indexes on one disk, and gets them back after a crash.
