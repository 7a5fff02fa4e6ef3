//! Keeps the log, the queues and the indexes on one disk, and gets them back after a crash.
//!
//! A message on its way in: an I/O thread encodes it into its [`Staging`], and at the end of the turn [`Store::append`]
//! writes everything staged with one write to the [commit log](commit_log), adds a unit to each message's
//! [consume queue](consume_queue) and its keys to the [index]. On its way out: [`Store::get`] reads units from a queue,
//! lets the caller's filter look at their tags codes, and answers slices of the log.
//!
//! State is a few offsets on one log, each a [`Watermark`]: what was appended, flushed and dispatched. The files are the
//! original's, byte for byte (`docs/formats.md`); what is only in memory is rebuilt from the log by [`recover`].
//! Everything that touches the disk goes through [`disk`], and the time comes from a [`Clock`].

mod background;
mod check;
mod checkpoint;
mod clean;
pub mod clock;
mod commit_log;
mod consume_queue;
mod copy;
pub mod disk;
mod figures;
mod get;
mod hash;
mod index;
mod late;
mod open;
mod options;
mod put;
mod query;
mod recover;
mod staging;
mod time;
mod unfit;
mod visible;
mod watermark;

pub use check::{Finding, Offline, Summary};
pub use checkpoint::Checkpoint;
pub use clean::{CleanOptions, DoomedQueues, Hours, HoursError};
pub use clock::{Clock, SystemClock};
pub use commit_log::ReadError;
pub use consume_queue::ext::{BitMaps, Extension};
pub use consume_queue::table::QueueNameError;
pub use consume_queue::unit::{BATCH_UNIT_BYTES, BatchUnit, UNIT_BYTES, Unit};
pub use consume_queue::{Puts, Queue, QueueType};
pub use copy::{CopyError, LogCopy};
pub use figures::Figures;
pub use get::{Filter, GetLimits, GetResult, GetStatus, WantsExtended, WantsRecord};
pub use open::{OpenError, Store, Watermarks};
pub use options::{DELAY_LEVELS, OptionsError, StoreOptions, TransferLimits, in_memory_bytes, parse_delay_levels};
pub use query::QueryResult;
pub use recover::Recovered;
pub use staging::{Arrival, NewBatch, NewMessage, Placed, PutError, PutStatus, Slot, Staging};
pub use time::Boundary;
pub use unfit::Unfit;
pub use watermark::{Reached, Stopped, Watermark};
