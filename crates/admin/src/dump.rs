//! `dumpCompactionLog`: the messages in a file of a compacted topic, or in any other file of records. No server is asked.

use std::fs::File;
use std::io::{BufReader, Read};

use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::record::{RecordHead, RecordView};

use crate::command::{Arguments, Command, Kind, Opt, Run};
use crate::failure::{Failure, Result};
use crate::message::fields_of;
use crate::session::{Session, line};

/// Bytes of a record's first two fields.
const HEAD_BYTES: usize = 8;
/// Largest record that is read, in bytes: brokers take messages of 4 MiB unless they are told otherwise.
const RECORD_BYTES_MAX: u64 = 256 << 20;

pub(crate) const COMMAND: Command = Command {
    name: "dumpCompactionLog",
    about: "Print the messages in a file of a compacted topic, or of a commit log",
    kind: Kind::Shows,
    options: &[Opt::value("f", "file", "The file")],
    run: Run::By(|session, arguments| Box::pin(dump(session, arguments))),
};

async fn dump(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let Some(path) = arguments.get("f") else {
        line!(session, "miss dump log file name");
        return Err(Failure::argument("there is no file; name it with -f FILE"));
    };
    let failed = |error| Failure::File { path: path.to_owned(), error };
    let file = std::fs::metadata(path).map_err(failed)?;
    if !file.is_file() {
        return Err(Failure::argument(format!("{path}: a file is expected")));
    }
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let (mut at, mut record) = (0, Vec::new());
    loop {
        match read_record(&mut reader, file.len() - at, &mut record).map_err(failed)? {
            Next::Message(message, body_bytes) => print(session, &message, body_bytes)?,
            Next::End => return Ok(()),
            Next::Wrong(why) => {
                return Err(Failure::argument(format!(
                    "{path}: no message at byte {at}, nothing is read behind: {why}"
                )));
            }
        }
        at += record.len() as u64;
        session.progress(|| format!("byte {at} of {}", file.len()));
    }
}

fn print(session: &Session<'_>, message: &MessageExt, body_bytes: usize) -> Result<()> {
    if session.is_json() {
        let mut fields = fields_of(message);
        fields.retain(|(name, _)| *name != "brokerName" && *name != "bodySize");
        fields.push(("bodySize", body_bytes.into()));
        return session.record(&fields);
    }
    line!(session, "{message}");
    Ok(())
}

/// What stands at a place of the file.
#[derive(Debug)]
enum Next {
    /// A message without its body, and the bytes of that.
    Message(Box<MessageExt>, usize),
    /// Nothing was written from here on: brokers make files longer than what is in them.
    End,
    Wrong(String),
}

/// Reads the next record, of a file that has so many bytes left; its bytes are in `record` then.
fn read_record(reader: &mut impl Read, left: u64, record: &mut Vec<u8>) -> std::io::Result<Next> {
    record.clear();
    reader.by_ref().take(left.min(HEAD_BYTES as u64)).read_to_end(record)?;
    match RecordHead::read(record) {
        RecordHead::Record(size) if size as u64 > RECORD_BYTES_MAX => {
            return Ok(Next::Wrong(format!("a record of {size} bytes, {RECORD_BYTES_MAX} are read at most")));
        }
        RecordHead::Record(size) => {
            reader.take((size - HEAD_BYTES) as u64).read_to_end(record)?;
        }
        RecordHead::Blank(_) => return Ok(Next::End),
        RecordHead::Nothing if record.iter().all(|byte| *byte == 0) => return Ok(Next::End),
        RecordHead::Nothing => {}
    }
    Ok(match RecordView::parse(record) {
        // The original shows nothing of the body, and names no broker.
        Ok(view) => {
            let message = MessageExt { broker_name: "null".to_owned(), ..MessageExt::bare(&view) };
            Next::Message(Box::new(message), view.body.len())
        }
        Err(error) => Next::Wrong(error.to_string()),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use raptormq_protocol::message::record::{RecordParts, blank, encode};

    use super::*;

    /// Offsets within a record, for damage: the high byte of its magic, and of its body's length.
    const MAGIC_AT: usize = 4;
    const BODY_LENGTH_AT: usize = 84;

    /// A record of a message.
    pub(crate) fn record() -> Vec<u8> {
        let mut bytes = Vec::new();
        let parts = RecordParts {
            topic: "Prices",
            queue_id: 1,
            flag: 0,
            sys_flag: 0,
            born_timestamp_ms: 1_795_264_112_177,
            born_host: "127.0.0.1:36036".parse().unwrap(),
            store_host: "127.0.0.1:20911".parse().unwrap(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"7",
            properties: &["KEYS\u{1}bread\u{2}"],
        };
        encode(&parts, &mut bytes).unwrap();
        bytes
    }

    /// Keys of the messages in a file, and why it is not read further.
    fn read(mut file: &[u8]) -> (Vec<String>, Option<String>) {
        let (mut keys, mut record) = (Vec::new(), Vec::new());
        loop {
            let left = file.len() as u64;
            match read_record(&mut file, left, &mut record).unwrap() {
                Next::Message(message, _) => keys.push(message.keys().unwrap().to_owned()),
                Next::End => return (keys, None),
                Next::Wrong(why) => return (keys, Some(why)),
            }
        }
    }

    #[test]
    fn a_file_ends_where_nothing_was_written() {
        let both = vec!["bread".to_owned(); 2];
        for end in [&[][..], &[0; 3], &[0; 100], &blank(100)] {
            assert_eq!(read(&[&record()[..], &record(), end].concat()), (both.clone(), None), "{end:?}");
        }
    }

    #[test]
    fn what_is_no_message_is_said() {
        let whole = record();
        for at in 1..whole.len() {
            let (keys, why) = read(&[&whole[..], &whole[..at]].concat());
            // Three bytes of a size may be zeros.
            assert!(keys.len() == 1 && (why.is_some() || at < MAGIC_AT), "{at}: {why:?}");
        }
        for (at, expected) in [(0, "are read at most"), (MAGIC_AT, "no record starts here"), (BODY_LENGTH_AT, "body")] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            let (keys, why) = read(&[&whole[..], &damaged].concat());
            assert!(keys.len() == 1 && why.as_ref().is_some_and(|why| why.contains(expected)), "{at}: {why:?}");
        }
    }
}
