//! The project's own chores: `cargo xtask CHORE`.
#![forbid(unsafe_code)]

mod docs;
mod faults;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask CHORE

  docs           print the generated pages (docs/config.md) anew
  docs --check   fail when a generated page is not what would be printed
  faults         let each call to the disk fail in turn: nothing acknowledged may be missing; takes minutes";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["docs"] => docs::write(root()),
        ["docs", "--check"] => docs::check(root()),
        ["faults"] => faults::run(root()),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace's folder")
}
