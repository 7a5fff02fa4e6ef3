//! `raptormq store`: looks at the folder of a store that no broker runs on, and changes nothing.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use raptormq_protocol::message::MessageExt;
use raptormq_store::disk::read_only::ReadOnlyDisk;
use raptormq_store::disk::real::RealDisk;
use raptormq_store::{Finding, Offline, OpenError, StoreOptions, Summary, Unit};

use crate::argv::Invocation;

/// Exit status when the folder cannot be read.
const EXIT_UNREADABLE: u8 = 2;
/// Findings that are printed one by one.
const FINDINGS_MAX: u64 = 1_000;

/// Looks at the folder of a store that no broker runs on, and changes nothing.
#[derive(clap::Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Check every record, queue and index entry; status 1 when something is wrong
    Check {
        #[command(flatten)]
        store: Folder,
    },
    /// Print the messages of a topic
    Dump {
        #[command(flatten)]
        store: Folder,
        /// Topic to print
        #[arg(short, long)]
        topic: String,
        /// Only this queue
        #[arg(short, long)]
        queue: Option<i32>,
        /// Offset in each queue to begin at
        #[arg(short, long, default_value_t = 0)]
        offset: i64,
        /// Stop after so many messages of a queue
        #[arg(short, long, default_value_t = i64::MAX)]
        count: i64,
    },
}

/// Where the store is.
#[derive(clap::Args)]
struct Folder {
    /// Folder of the store (storePathRootDir)
    path: PathBuf,
    /// Folders of the commit log, when they are others (storePathCommitLog)
    #[arg(long, value_delimiter = ',')]
    commitlog: Vec<PathBuf>,
    /// Slots of an index file, when they are others (maxHashSlotNum)
    #[arg(long)]
    index_slots: Option<u32>,
}

/// Runs it.
pub(crate) fn run(invocation: Invocation) -> ExitCode {
    let options: Options = match super::options(&invocation) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let folder = match &options.what {
        What::Check { store } | What::Dump { store, .. } => store,
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done = match folder.open() {
        Err(error @ OpenError::Unfit(raptormq_store::Unfit::Wrong { .. })) => {
            // A file that does not fit is what a check is for.
            writeln!(out, "{error}\nresult    1 violation; the rest could not be looked at").map(|()| ExitCode::FAILURE)
        }
        Err(error) => {
            eprintln!("{}: {error}", invocation.program);
            return ExitCode::from(EXIT_UNREADABLE);
        }
        Ok(store) => match &options.what {
            What::Check { .. } => check(&store, &mut out),
            What::Dump { topic, queue, offset, count, .. } => {
                let offsets = *offset..offset.saturating_add(*count);
                dump(&store, &Wanted { topic, queue: *queue, offsets }, &mut out)
            }
        },
    };
    match done.and_then(|status| out.flush().map(|()| status)) {
        Ok(status) => status,
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", invocation.program);
            ExitCode::from(EXIT_UNREADABLE)
        }
    }
}

impl Folder {
    fn open(&self) -> Result<Offline, OpenError> {
        let mut options = StoreOptions::new(&self.path);
        if !self.commitlog.is_empty() {
            options.commit_log_folders.clone_from(&self.commitlog);
        }
        options.index_slots = self.index_slots.unwrap_or(options.index_slots);
        // A store without a folder is an empty one elsewhere; here it is a mistake.
        let is_folder = std::fs::metadata(&self.path).map(|data| data.is_dir());
        let unfit = |error| raptormq_store::Unfit::Io { path: self.path.clone(), error };
        if !is_folder.map_err(unfit)? {
            return Err(unfit(std::io::ErrorKind::NotADirectory.into()).into());
        }
        Offline::open(options, Arc::new(ReadOnlyDisk(RealDisk)))
    }
}

fn check(store: &Offline, out: &mut impl Write) -> std::io::Result<ExitCode> {
    let mut printed = 0;
    let mut failed = Ok(());
    let summary = store.check(&mut |finding: &Finding| {
        printed += 1;
        if printed <= FINDINGS_MAX && failed.is_ok() {
            let kind = if finding.is_repaired { "repaired by the next start: " } else { "" };
            failed = writeln!(out, "{kind}{finding}");
        }
    })?;
    failed?;
    if printed > FINDINGS_MAX {
        writeln!(out, "and {} more", printed - FINDINGS_MAX)?;
    }
    print_summary(&summary, out)?;
    Ok(if summary.violation_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_summary(summary: &Summary, out: &mut impl Write) -> std::io::Result<()> {
    let stored = match summary.stored_ms {
        Some((first_ms, last_ms)) => format!(", stored {} to {}", time(first_ms), time(last_ms)),
        None => String::new(),
    };
    writeln!(out, "log       {} to {}, {} messages{stored}", summary.log_min, summary.log_end, summary.record_count)?;
    writeln!(out, "queues    {}, {} units", summary.queue_count, summary.unit_count)?;
    writeln!(out, "index     {} files, {} keys", summary.index_count, summary.key_count)?;
    let stop = if summary.was_clean { "in order" } else { "not in order, or a broker runs: abort is there" };
    writeln!(out, "stopped   {stop}")?;
    match summary.violation_count {
        0 => writeln!(out, "result    nothing wrong"),
        1 => writeln!(out, "result    1 violation"),
        count => writeln!(out, "result    {count} violations"),
    }
}

/// What is to be printed.
struct Wanted<'a> {
    topic: &'a str,
    queue: Option<i32>,
    offsets: std::ops::Range<i64>,
}

fn dump(store: &Offline, wanted: &Wanted<'_>, out: &mut impl Write) -> std::io::Result<ExitCode> {
    let mut queues = store.queues_of(wanted.topic);
    queues.retain(|queue| wanted.queue.is_none_or(|queue_id| queue.queue_id == queue_id));
    if queues.is_empty() {
        eprintln!("no such queue; the store has no messages of topic {}", wanted.topic);
        return Ok(ExitCode::FAILURE);
    }
    for queue in queues {
        let begin = wanted.offsets.start.max(queue.min_offset());
        let end = wanted.offsets.end.saturating_add(begin.saturating_sub(wanted.offsets.start));
        store.read(&queue, begin..end, |offset, unit, message| {
            let place = format!("{}-{} {offset}", queue.topic, queue.queue_id);
            writeln!(out, "{place}  {}", line(&unit, message.as_ref()))
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A message in a line.
fn line(unit: &Unit, message: Option<&MessageExt>) -> String {
    let Some(message) = message else {
        return format!("log {}, {} bytes: no good record lies there", unit.log_offset, unit.size);
    };
    let mut text = format!("log {}, {} bytes, {}", unit.log_offset, unit.size, time(message.store_timestamp_ms));
    for name in ["TAGS", "KEYS", "UNIQ_KEY"] {
        if let Some(value) = message.property(name) {
            text.push_str(&format!(", {name} {value}"));
        }
    }
    text + ": " + &String::from_utf8_lossy(&message.body).escape_debug().to_string()
}

/// A time of the store in UTC.
fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}
