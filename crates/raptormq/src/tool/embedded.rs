//! A name server and a broker in this process, for a tool that was given no cluster.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::argv::Invocation;
use crate::machine;
use crate::role::standalone::{Running, Standalone};

/// Ports of a standalone at offset 0: name server, and the broker's with those it takes beside it.
const PORTS: [u16; 4] = [9876, 10909, 10911, 10912];
/// Step between the offsets that are tried.
const OFFSET_STEP: u16 = 100;
/// Offsets that are tried.
const OFFSETS_MAX: u16 = 100;

/// A cluster that ends with this value.
pub(super) struct Embedded {
    running: Option<Running>,
    /// Where clients find it.
    pub(super) namesrv: String,
}

impl Embedded {
    /// Starts one with its data in `data`, in commit log files of `file_bytes`, on ports that nobody uses.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub(super) fn start(invocation: &Invocation, data: &Path, file_bytes: u64) -> anyhow::Result<Embedded> {
        std::fs::create_dir_all(data).map_err(|error| {
            anyhow::anyhow!("cannot make the folder {}: {error}; choose another with --data", data.display())
        })?;
        let environment = machine::environment(&invocation.system_properties);
        let mut offsets = (0..OFFSETS_MAX).map(|step| step * OFFSET_STEP);
        while let Some(offset) = offsets.find(|offset| is_free(*offset)) {
            let mut settings = Standalone::new(&environment, data, offset);
            settings.broker.store.mapped_file_size_commit_log = file_bytes;
            settings.broker.settle()?;
            match settings.start() {
                Ok(running) => {
                    let namesrv = running.namesrv_addr().to_owned();
                    return Ok(Embedded { running: Some(running), namesrv });
                }
                // Somebody else took one of the ports just now.
                Err(_) if !is_free(offset) => {}
                Err(error) => return Err(error),
            }
        }
        anyhow::bail!("no free ports for a name server and a broker; name a running cluster with -n HOST:PORT")
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown();
        }
    }
}

/// Whether all ports are free at an offset.
fn is_free(offset: u16) -> bool {
    PORTS.iter().all(|port| TcpListener::bind(("127.0.0.1", port + offset)).is_ok())
}

/// A folder below `raptormq-data` that no run before had.
pub(super) fn fresh_folder(tool: &str) -> PathBuf {
    let now = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    let folder = |suffix: &str| PathBuf::from("raptormq-data").join(format!("{tool}-{now}{suffix}"));
    let unused = (2..).map(|number| folder(&format!("-{number}"))).find(|folder| !folder.exists());
    match folder("") {
        first if !first.exists() => first,
        first => unused.unwrap_or(first),
    }
}
