//! Answers every request of producers, consumers and admins over one store.
