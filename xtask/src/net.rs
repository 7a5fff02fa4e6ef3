//! Network namespaces: each process with an address of its own, which can be cut off from the others.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::process::Place;

/// A bridge and the namespaces at it; gone when this is dropped.
pub(crate) struct Net {
    /// What all names begin with: an interface's has 15 letters at most.
    name: String,
    places: Vec<Place>,
}

impl Net {
    /// So many places.
    ///
    /// # Errors
    /// This user may not make them, or there is no `ip`.
    pub(crate) fn new(count: usize) -> anyhow::Result<Net> {
        let id = std::process::id();
        let mut net = Net { name: format!("rq{id}"), places: Vec::new() };
        let (bridge, subnet) = (net.bridge(), format!("10.213.{}", id % 250));
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        ip(&["addr", "add", &format!("{subnet}.1/24"), "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        for number in 0..count {
            let (namespace, link) = (format!("{}n{number}", net.name), net.link(number));
            let host = format!("{subnet}.{}", number + 10);
            ip(&["netns", "add", &namespace])?;
            net.places.push(Place { host: host.clone(), namespace: Some(namespace.clone()) });
            ip(&["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &namespace])?;
            ip(&["link", "set", &link, "master", &bridge, "up"])?;
            ip(&["-n", &namespace, "addr", "add", &format!("{host}/24"), "dev", "eth0"])?;
            ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        }
        Ok(net)
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Cuts a place off.
    pub(crate) fn cut(&self, number: usize) -> anyhow::Result<()> {
        ip(&["link", "set", &self.link(number), "down"])
    }

    /// And joins it again.
    pub(crate) fn heal(&self, number: usize) -> anyhow::Result<()> {
        ip(&["link", "set", &self.link(number), "up"])
    }

    fn bridge(&self) -> String {
        format!("{}b", self.name)
    }

    fn link(&self, number: usize) -> String {
        format!("{}v{number}", self.name)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in self.places.iter().filter_map(|place| place.namespace.as_ref()) {
            // What cannot be removed does not exist, or will not for long.
            let _ = ip(&["netns", "delete", namespace]);
        }
        let _ = ip(&["link", "delete", &self.bridge()]);
    }
}

fn ip(words: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(words).stdin(Stdio::null()).output().context("no ip command")?;
    if !output.status.success() {
        bail!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
