//! The pairings of `mqadmin`: ours and Java's, on clusters of ours and of Java's, against the recorded outputs.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use raptormq_testkit::free_broker_port;

/// Whose `mqadmin` on whose cluster; see `.ci/mqadmin`.
const PAIRINGS: [&str; 4] = ["ours", "java", "java4", "abroad"];
/// Servers of a comparison: name server, two masters, a slave.
const SERVERS: usize = 4;

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
        script.arg(name).arg(&folder).args(ports().map(|port| port.to_string()));
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

/// Free ports, of five digits, by which the comparison knows servers. None is a round number: a setting may be one.
fn ports() -> impl Iterator<Item = u16> {
    std::iter::repeat_with(free_broker_port).filter(|port| port % 1000 != 0).take(SERVERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_port_for_each_server_and_an_unknown_pairing_is_named() {
        let ports: Vec<u16> = ports().collect();
        assert!(ports.len() == SERVERS && ports.iter().all(|port| *port >= 10_000 && port % 1000 != 0), "{ports:?}");
        assert!(run(Path::new("/"), &["elsewhere"]).unwrap_err().to_string().contains("ours, java, java4, abroad"));
    }
}
