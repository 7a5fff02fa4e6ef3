//! Producers, consumers and the admin API of RocketMQ, async.
