//! Clusters in one process, foreign clients, crash images, for tests only.
