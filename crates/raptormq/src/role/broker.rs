//! `mqbroker`: a broker as a process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use raptormq_config::{BrokerConfig, BrokerSettings, ConfigError, Properties, Remarks};

use crate::argv::Invocation;
use crate::logging::Destination;
use crate::stop::{Stop, finish};

/// What the command line can say.
#[derive(clap::Parser)]
#[command(disable_help_flag = true, disable_version_flag = true)]
struct Options {
    /// Broker config properties file
    #[arg(short = 'c', long = "configFile")]
    config_file: Option<PathBuf>,
    /// Name servers as host:port;host:port
    #[arg(short = 'n', long = "namesrvAddr")]
    namesrv_addr: Option<String>,
    /// Print all config items
    #[arg(short = 'p', long = "printConfigItem")]
    print_config: bool,
    /// Print important config items
    #[arg(short = 'm', long = "printImportantConfig")]
    print_important: bool,
    /// Print help
    #[arg(short = 'h', long = "help")]
    _help: bool,
}

/// Runs a broker until it is told to stop.
pub(crate) fn run(invocation: Invocation) -> ExitCode {
    let options: Options = match super::options(&invocation) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let program = invocation.program.as_str();
    let environment = super::environment(&invocation);
    let mut settings = BrokerSettings::new(&environment);
    let remarks = match load(&mut settings, &options, &invocation.system_properties).and_then(|remarks| {
        take_system_properties(&mut settings, &invocation.system_properties)?;
        Ok(remarks)
    }) {
        Ok(remarks) => remarks,
        Err(refusal) => return super::refuse(program, &refusal),
    };
    if options.print_config || options.print_important {
        super::say_pairs(&settings.printed(!options.print_config));
        return ExitCode::SUCCESS;
    }
    let destination = Destination::of_role("broker", &environment.home);
    super::run_logged(program, &destination, &remarks, || serve(settings))
}

fn load(
    settings: &mut BrokerSettings,
    options: &Options,
    properties: &BTreeMap<String, String>,
) -> Result<Remarks, ConfigError> {
    let mut remarks = settings.load(&super::tls_properties(properties))?;
    if let Some(file) = &options.config_file {
        remarks = settings.load(&Properties::load(file)?)?;
        settings.broker.broker_config_path = file.to_string_lossy().into_owned();
    }
    settings.tls.load_file()?;
    if let Some(namesrv_addr) = &options.namesrv_addr {
        settings.broker.namesrv_addr.clone_from(namesrv_addr);
    }
    settings.settle()?;
    Ok(remarks)
}

/// Takes what the original reads from system properties: the file of accounts, and the thresholds as parts of the disk from
/// 0 to 1. They override the keys. Java: `PlainPermissionManager`, `DefaultMessageStore.CleanCommitLogService`.
fn take_system_properties(
    settings: &mut BrokerSettings,
    properties: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    if let Some(file) = properties.get("rocketmq.acl.plain.file") {
        settings.broker.plain_acl_file.clone_from(file);
    }
    let store = &mut settings.store;
    let thresholds = [
        ("rocketmq.broker.diskSpaceWarningLevelRatio", &mut store.disk_space_warning_level_ratio),
        ("rocketmq.broker.diskSpaceCleanForciblyRatio", &mut store.disk_space_clean_forcibly_ratio),
    ];
    for (key, percent) in thresholds {
        match properties.get(key).map(|value| value.parse::<f64>()) {
            None => {}
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => *percent = (ratio * 100.0).round() as u32,
            Some(_) => {
                let reason = "not a part of the disk; expected a number from 0 to 1, as 0.85";
                return Err(ConfigError::Refused { key: format!("-D{key}"), reason });
            }
        }
    }
    Ok(())
}

/// The line that tells scripts that the broker is up; `address` is the one that it registers.
pub(crate) fn boot_line(broker: &BrokerConfig, address: &str) -> String {
    let line = format!("The broker[{}, {address}] boot success. serializeType=JSON", broker.broker_name);
    match broker.namesrv_addr.as_str() {
        "" => line,
        namesrv_addr => format!("{line} and name server is {namesrv_addr}"),
    }
}

fn serve(settings: BrokerSettings) -> anyhow::Result<()> {
    let stop = Stop::catch()?;
    let (config, addresses) = (settings.broker.clone(), settings.address_choice());
    let running = raptormq_broker::start(settings)?;
    for line in [addresses, boot_line(&config, running.broker_addr())] {
        tracing::info!("{line}");
        super::say(&format!("{line}\n"));
    }
    let signal = stop.wait();
    tracing::info!(signal, "stopping");
    finish(running.shutdown());
    tracing::info!("stopped");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_come_from_system_properties_too() {
        let taken = |value: &str| {
            let mut settings = BrokerSettings::new(&raptormq_config::Environment::default());
            let key = "rocketmq.broker.diskSpaceWarningLevelRatio".to_owned();
            take_system_properties(&mut settings, &BTreeMap::from([(key, value.to_owned())])).ok()?;
            Some((settings.store.disk_space_warning_level_ratio, settings.store.disk_space_clean_forcibly_ratio))
        };
        assert_eq!((taken("0.8"), taken("1")), (Some((80, 85)), Some((100, 85))));
        for wrong in ["", "x", "80", "-0.1", "NaN"] {
            assert_eq!(taken(wrong), None, "{wrong:?}");
        }
    }
}
