//! `raptormq standalone`: name server and broker in one process, on loopback, with their data in one folder.
//!
//! It is the same code as the roles, with settings for a first try: nothing leaves the machine, a trial never mixes
//! with a real broker's `~/store`, and commit log files are small.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use raptormq_config::{BrokerConfig, BrokerSettings, ConfigError, Environment, NamesrvSettings, Properties, Remarks};

use crate::argv::Invocation;
use crate::logging::{self, Destination};
use crate::machine;
use crate::stop::{Stop, finish};

/// Only this machine reaches it.
const LOOPBACK: &str = "127.0.0.1";

/// Bytes of a commit log file: a trial needs no files of 1 GiB.
const COMMIT_LOG_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// How the settings that messages speak of are set here.
const HOW_TO_SET: &str = "in standalone, -o sets other ports and -d another data folder";

/// What the command line can say.
#[derive(clap::Parser)]
#[command(disable_help_flag = true, disable_version_flag = true)]
struct Options {
    /// Broker config properties file, applied over the settings of standalone
    #[arg(short = 'c', long = "configFile")]
    config_file: Option<PathBuf>,
    /// Folder of the data (default: raptormq-data)
    #[arg(short = 'd', long = "data")]
    data: Option<PathBuf>,
    /// Added to the ports 9876 and 10911
    #[arg(short = 'o', long = "portOffset")]
    port_offset: Option<u16>,
    /// Print help
    #[arg(short = 'h', long = "help")]
    _help: bool,
}

/// Settings of both halves.
pub(crate) struct Standalone {
    /// Of the name server.
    pub(crate) namesrv: NamesrvSettings,
    /// Of the broker.
    pub(crate) broker: BrokerSettings,
}

impl Standalone {
    /// Settings with all data in `data`, the name server on port 9876 and the broker on 10911, each plus `port_offset`.
    pub(crate) fn new(environment: &Environment, data: &Path, port_offset: u16) -> Standalone {
        let environment = Environment {
            home: data.to_string_lossy().into_owned(),
            ip: LOOPBACK.into(),
            host_name: "broker-a".into(),
            namesrv_addr: String::new(),
            ..environment.clone()
        };
        let mut namesrv = NamesrvSettings::new(&environment);
        namesrv.server.bind_address = LOOPBACK.into();
        namesrv.server.listen_port = namesrv.server.listen_port.saturating_add(port_offset);
        let mut broker = BrokerSettings::new(&environment);
        broker.server.bind_address = LOOPBACK.into();
        broker.server.listen_port = broker.server.listen_port.saturating_add(port_offset);
        broker.broker.listen_port = broker.server.listen_port;
        broker.broker.namesrv_addr = format!("{LOOPBACK}:{}", namesrv.server.listen_port);
        broker.store.mapped_file_size_commit_log = COMMIT_LOG_FILE_BYTES;
        Standalone { namesrv, broker }
    }

    /// Takes the config file, for the broker, and the keys of TLS, for both.
    fn load(&mut self, options: &Options, tls: &Properties) -> Result<Remarks, ConfigError> {
        let mut remarks = self.broker.load(tls)?;
        if let Some(file) = &options.config_file {
            remarks = self.broker.load(&Properties::load(file)?)?;
        }
        self.broker.tls.load_file()?;
        self.broker.settle()?;
        self.namesrv.tls = self.broker.tls.clone();
        self.namesrv.client.use_tls = self.broker.client.use_tls;
        Ok(remarks)
    }

    /// Starts the name server, then the broker, and waits until the broker is registered. When the broker cannot
    /// start, the name server is stopped again.
    ///
    /// # Errors
    /// What keeps one of them from starting.
    pub(crate) fn start(self) -> anyhow::Result<Running> {
        let config = self.broker.broker.clone();
        let namesrv = raptormq_namesrv::start(self.namesrv, Arc::new(machine::now_ms))?;
        match raptormq_broker::start(self.broker) {
            Ok(broker) => {
                finish(broker.registered());
                Ok(Running { config, namesrv, broker })
            }
            Err(reason) => {
                finish(namesrv.shutdown());
                Err(reason.into())
            }
        }
    }
}

/// A standalone that serves.
pub(crate) struct Running {
    config: BrokerConfig,
    namesrv: raptormq_namesrv::RunningNamesrv,
    broker: raptormq_broker::RunningBroker,
}

impl Running {
    /// Where clients find it.
    pub(crate) fn namesrv_addr(&self) -> &str {
        &self.config.namesrv_addr
    }

    /// The lines that RocketMQ's roles print when they are up, the name server's first.
    fn boot_lines(&self) -> [String; 2] {
        [
            super::namesrv::boot_line(LOOPBACK, self.namesrv.local_addr().port()),
            super::broker::boot_line(&self.config, self.broker.broker_addr()),
        ]
    }

    /// Stops the broker, which leaves its data as after a clean end, then the name server.
    pub(crate) fn shutdown(self) {
        finish(self.broker.shutdown());
        finish(self.namesrv.shutdown());
    }
}

/// Runs both until they are told to stop.
pub(crate) fn run(invocation: Invocation) -> ExitCode {
    let options: Options = match super::options(&invocation) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let program = invocation.program.as_str();
    let data = options.data.clone().unwrap_or_else(|| PathBuf::from("raptormq-data"));
    let mut settings =
        Standalone::new(&super::environment(&invocation), &data, options.port_offset.unwrap_or_default());
    let remarks = match settings.load(&options, &super::tls_properties(&invocation.system_properties)) {
        Ok(remarks) => remarks,
        Err(refusal) => return super::refuse(program, &refusal),
    };
    let served = logging::start(&Destination::Stdout, "info").and_then(|_logging| {
        super::warn(&remarks);
        serve(settings)
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => super::fail(program, &format_args!("{reason} ({HOW_TO_SET})")),
    }
}

fn serve(settings: Standalone) -> anyhow::Result<()> {
    let stop = Stop::catch()?;
    let begun = std::time::Instant::now();
    let store = settings.broker.store.store_path_root_dir.clone();
    let running = settings.start()?;
    super::say(&format!(
        "RaptorMQ {} is ready after {} ms. Clients: namesrvAddr={}. Data: {store}\n{}\n",
        env!("CARGO_PKG_VERSION"),
        begun.elapsed().as_millis(),
        running.namesrv_addr(),
        running.boot_lines().join("\n"),
    ));
    let signal = stop.wait();
    let begun = std::time::Instant::now();
    running.shutdown();
    super::say(&format!("stopped after {signal} in {} ms\n", begun.elapsed().as_millis()));
    Ok(())
}
