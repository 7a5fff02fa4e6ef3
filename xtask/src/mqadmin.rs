//! The pairings of `mqadmin`: ours and Java's, on clusters of ours and of Java's, against the recorded outputs.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// Whose `mqadmin` on whose cluster; see `.ci/mqadmin`.
const PAIRINGS: [&str; 3] = ["ours", "java", "abroad"];
/// Servers of a comparison: name server, two masters, a slave.
const SERVERS: usize = 4;
/// The comparison knows servers by ports of five digits.
const PORT_MIN: u16 = 10_000;
/// Ports beside its own that a server takes, below and above.
const NEIGHBOURS: u16 = 10;

/// Runs some pairings, or all of them, one after the other: each takes some minutes.
pub(crate) fn run(root: &Path, wanted: &[&str]) -> anyhow::Result<()> {
    let wanted = if wanted.is_empty() { &PAIRINGS } else { wanted };
    let unknown = wanted.iter().find(|name| !PAIRINGS.contains(name));
    anyhow::ensure!(unknown.is_none(), "{}: the pairings are {}", unknown.unwrap_or(&""), PAIRINGS.join(", "));
    let mut failed = Vec::new();
    for name in wanted {
        println!("{name}:");
        let folder = std::env::temp_dir().join(format!("raptormq-mqadmin-{}-{name}", std::process::id()));
        let mut script = Command::new(root.join(".ci/mqadmin"));
        script.arg(name).arg(&folder).args(ports()?.iter().map(u16::to_string));
        let status = script.status().context("cannot run .ci/mqadmin")?;
        if status.success() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        } else {
            println!("the records are in {}", folder.display());
            failed.push(*name);
        }
    }
    anyhow::ensure!(
        failed.is_empty(),
        "lines differ without a row in golden/mqadmin/differences.tsv: {}",
        failed.join(", ")
    );
    Ok(())
}

/// Free ports that are apart from each other. None is a round number: a setting may be one.
fn ports() -> anyhow::Result<BTreeSet<u16>> {
    let mut ports: BTreeSet<u16> = BTreeSet::new();
    while ports.len() < SERVERS {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let is_apart = ports.iter().all(|other| other.abs_diff(port) > NEIGHBOURS);
        if port >= PORT_MIN && port % 1000 != 0 && is_apart {
            ports.insert(port);
        }
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_do_not_stand_in_each_others_way() {
        let ports: Vec<u16> = ports().unwrap().into_iter().collect();
        assert_eq!(ports.len(), SERVERS);
        assert!(ports.windows(2).all(|pair| pair[1] - pair[0] > NEIGHBOURS));
        assert!(run(Path::new("/"), &["elsewhere"]).unwrap_err().to_string().contains("ours, java, abroad"));
    }
}
