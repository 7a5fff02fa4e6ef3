//! The least that a broker on this crate can do: decodes each send, checks its body, appends all bodies of a turn to a
//! file with one `pwrite`, and answers when the turn ends. What it costs beyond a bare loop over sockets is what this
//! crate costs. `cargo run --release -p raptormq-remoting --example echo -- 127.0.0.1:10997 /tmp/echo.log [threads]`

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use raptormq_protocol::code::ResponseCode;
use raptormq_protocol::command::Command;
use raptormq_protocol::header::{SendMessageRequestHeaderV2, SendMessageResponseHeader};
use raptormq_remoting::{Connection, Exchange, IoThread, Listen, Outcome, Output, Server, ServerOptions, Service};

/// Bytes of the file, written over and over.
const FILE_BYTES: usize = 256 << 20;

struct Echo {
    file: File,
    position: Cell<usize>,
    turn: RefCell<Vec<u8>>,
}

impl Echo {
    fn create(path: PathBuf) -> Echo {
        let file = File::create(path).expect("the file can be created");
        let zeros = vec![0; 1 << 20];
        for offset in (0..FILE_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset as u64).expect("the file can be written");
        }
        Echo { file, position: Cell::new(0), turn: RefCell::new(Vec::with_capacity(1 << 20)) }
    }
}

impl Service for Echo {
    type Ticket = (Exchange, i32);

    fn handle(&self, _peer: &Connection, request: &Command<'_>, out: &mut Output) -> Outcome<Self::Ticket> {
        let header = match request.header::<SendMessageRequestHeaderV2<'_>>() {
            Ok(header) => header,
            Err(error) => {
                out.respond(request, ResponseCode::SYSTEM_ERROR, Some(&error.to_string()));
                return Outcome::Done;
            }
        };
        let mut turn = self.turn.borrow_mut();
        turn.extend_from_slice(&crc32fast::hash(request.body).to_be_bytes());
        turn.extend_from_slice(&[0; 96]);
        turn.extend_from_slice(header.topic.as_bytes());
        turn.extend_from_slice(header.properties.unwrap_or_default().as_bytes());
        turn.extend_from_slice(request.body);
        Outcome::Turn((request.into(), header.queue_id))
    }

    fn end_turn(&self) {
        let mut turn = self.turn.borrow_mut();
        if self.position.get() + turn.len() > FILE_BYTES {
            self.position.set(0);
        }
        self.file.write_all_at(&turn, self.position.get() as u64).expect("the file can be written");
        self.position.set(self.position.get() + turn.len());
        turn.clear();
    }

    fn finish(&self, _peer: &Connection, (exchange, queue_id): Self::Ticket, out: &mut Output) {
        let header = SendMessageResponseHeader {
            msg_id: "7F00000100002A9F0000000000000000",
            queue_id,
            ..SendMessageResponseHeader::default()
        };
        if let Some(writer) = out.answer(exchange, ResponseCode::SUCCESS, None) {
            writer.header(&header).finish(&[]);
        }
    }

    fn closed(&self, _peer: &Connection) {}
}

fn main() {
    let mut args = std::env::args().skip(1);
    let address: SocketAddr =
        args.next().unwrap_or_else(|| "127.0.0.1:10997".to_owned()).parse().expect("an address to listen on");
    let path = args.next().unwrap_or_else(|| "echo.log".to_owned());
    let io_threads = args.next().map_or(1, |text| text.parse().expect("a number of threads"));
    let options =
        ServerOptions { listen: vec![Listen { address, key: "the address" }], io_threads, ..Default::default() };
    let make = move |thread: IoThread| Echo::create(format!("{path}.{}", thread.index).into());
    let server = match Server::start(options, make) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    println!("listening on {}, process {}", server.local_addrs()[0], std::process::id());
    loop {
        std::thread::park();
    }
}
