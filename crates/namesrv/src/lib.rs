//! Knows which broker serves which topic.
