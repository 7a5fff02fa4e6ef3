//! What defaults depend on: the machine, the user and the process's surroundings, handed in as a value.

/// What the defaults of some keys depend on. The binary fills it from the machine; tests and docs make their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The user's home folder: `user.home`.
    pub home: String,
    /// `ROCKETMQ_HOME` or `-Drocketmq.home.dir`; empty when neither is set.
    pub rocketmq_home: String,
    /// `NAMESRV_ADDR` or `-Drocketmq.namesrv.addr`; empty when neither is set.
    pub namesrv_addr: String,
    /// The machine's host name: the default broker name.
    pub host_name: String,
    /// The address of this machine that others can reach: the first that is not loopback, IPv4 before IPv6.
    pub ip: String,
    /// Why that address: in words for whoever starts the process.
    pub ip_reason: String,
    /// Processors that this process may use, at least one.
    pub cores: u32,
}

impl Environment {
    /// The surroundings that documentation shows: placeholders for what differs between machines, and two cores.
    pub fn example() -> Environment {
        Environment {
            home: "${user.home}".into(),
            rocketmq_home: "${rocketmq.home}".into(),
            namesrv_addr: String::new(),
            host_name: "${host}".into(),
            ip: "${ip}".into(),
            ip_reason: String::new(),
            cores: 2,
        }
    }
}

impl Default for Environment {
    /// Surroundings that name nothing of this machine: loopback, the current folder, one core.
    fn default() -> Environment {
        Environment {
            home: ".".into(),
            rocketmq_home: String::new(),
            namesrv_addr: String::new(),
            host_name: "DEFAULT_BROKER".into(),
            ip: "127.0.0.1".into(),
            ip_reason: "no interface was looked at".into(),
            cores: 1,
        }
    }
}
