//! RocketMQ, rebuilt in Rust: one binary for every role and tool.
//!
//! `raptormq COMMAND …`; called by the name of one of RocketMQ's scripts (`mqbroker`, `mqnamesrv`) it is that role.
//! [`COMMANDS`] is the table of what there is: a row names the command and the function that runs it. The roles are
//! in [`role`], everyday tools in [`tool`]; [`argv`] reads option forms as RocketMQ's parser does.
#![forbid(unsafe_code)]

mod argv;
mod logging;
mod machine;
mod role;
mod stop;
mod tool;

use std::process::ExitCode;

use argv::Invocation;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A command of the binary.
struct Command {
    /// The word after `raptormq`.
    name: &'static str,
    /// The script of RocketMQ that is the same; empty when there is none.
    script: &'static str,
    /// What it does, in a few words.
    about: &'static str,
    /// Runs it to its end.
    run: fn(Invocation) -> ExitCode,
}

/// The command that has statuses of its own when it is not called as the original's script.
const ADMIN: &str = "admin";

/// Every command. A new one is one row.
const COMMANDS: &[Command] = &[
    Command {
        name: "standalone",
        script: "",
        about: "name server and broker in one process, on loopback",
        run: role::standalone::run,
    },
    Command { name: "namesrv", script: "mqnamesrv", about: "a name server", run: role::namesrv::run },
    Command { name: "broker", script: "mqbroker", about: "a broker", run: role::broker::run },
    Command {
        name: "quickstart",
        script: "",
        about: "send and consume 1,000 messages, in a cluster of its own unless -n names one",
        run: tool::quickstart::run,
    },
    Command {
        name: ADMIN,
        script: "mqadmin",
        about: "administration: topics, groups, brokers, messages",
        run: tool::admin::run,
    },
    Command { name: "send", script: "", about: "send messages", run: tool::send::run },
    Command { name: "recv", script: "", about: "print messages as they come", run: tool::recv::run },
    Command {
        name: "tools",
        script: "",
        about: "RocketMQ's sample and benchmark classes by their names",
        run: tool::classes::run,
    },
    Command {
        name: "store",
        script: "",
        about: "check a store's folder, or print its messages, without a broker",
        run: tool::store::run,
    },
    Command {
        name: "dist",
        script: "",
        about: "write an installation: scripts, sample configurations and this binary",
        run: tool::dist::run,
    },
    Command { name: "bench", script: "", about: "measure how fast a cluster takes messages", run: tool::bench::run },
];

/// Roles of RocketMQ that there are not yet, and what to do instead.
const LATER: &[(&str, &str)] = &[
    ("proxy", "run RocketMQ's in front of these brokers: its remoting port serves all that they have, gRPC only sends"),
    ("controller", "a master with slaves is set up by conf/2m-2s-sync"),
];

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let called = words.next().unwrap_or_default();
    let called = std::path::Path::new(&called).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let words: Vec<String> = words.collect();
    if let Some(command) = COMMANDS.iter().find(|command| !command.script.is_empty() && command.script == called) {
        return (command.run)(Invocation::new(command.script, words));
    }
    // System properties may stand anywhere, so also before the command.
    let at = words.iter().position(|word| !word.starts_with("-D")).unwrap_or(words.len());
    let Some(name) = words.get(at).cloned() else {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    };
    let mut rest = words;
    rest.remove(at);
    match COMMANDS.iter().find(|command| command.name == name || (command.script == name && !name.is_empty())) {
        Some(command) => {
            // Roles show the script's name whatever they are called by; tools go by what the user typed.
            let is_tool = command.script.is_empty() || command.name == ADMIN && name == ADMIN;
            let shown = if is_tool { format!("raptormq {name}") } else { command.script.into() };
            (command.run)(Invocation::new(&shown, rest))
        }
        None => other_word(&name),
    }
}

/// Help and version in their usual spellings; everything else is a mistake.
fn other_word(name: &str) -> ExitCode {
    match name {
        "help" | "-h" | "--help" => print!("{}", usage()),
        "version" | "-V" | "--version" => println!("raptormq {}", env!("CARGO_PKG_VERSION")),
        _ => {
            let wanted = name.strip_prefix("mq").unwrap_or(name);
            if let Some((role, instead)) = LATER.iter().find(|(role, _)| *role == wanted) {
                eprintln!("raptormq: RaptorMQ has no {role} yet; {instead}");
                return ExitCode::FAILURE;
            }
            let names = COMMANDS.iter().map(|command| command.name);
            let nearest = names.min_by_key(|known| strsim::damerau_levenshtein(name, known));
            let nearest = nearest.filter(|known| strsim::damerau_levenshtein(name, known) <= 2);
            let guess = nearest.map(|known| format!(", did you mean {known}?")).unwrap_or_default();
            eprintln!("raptormq: there is no command {name}{guess} `raptormq help` lists the commands");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn usage() -> String {
    let width = COMMANDS.iter().map(|command| command.name.len()).max().unwrap_or(0);
    let mut text = format!("RaptorMQ {}\n\nusage: raptormq COMMAND [options]\n\n", env!("CARGO_PKG_VERSION"));
    for command in COMMANDS {
        let script = if command.script.is_empty() { String::new() } else { format!(" ({})", command.script) };
        text.push_str(&format!("  {:width$}  {}{script}\n", command.name, command.about));
    }
    text.push_str("\n`raptormq COMMAND -h` shows the options of a command.\n");
    text
}
