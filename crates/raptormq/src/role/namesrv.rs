//! `mqnamesrv`: a name server as a process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use raptormq_config::{ConfigError, NamesrvSettings, Properties, Remarks};

use crate::argv::Invocation;
use crate::logging::Destination;
use crate::machine;
use crate::stop::{Stop, finish};

/// What the command line can say.
#[derive(clap::Parser)]
#[command(disable_help_flag = true, disable_version_flag = true)]
struct Options {
    /// Name server config properties file
    #[arg(short = 'c', long = "configFile")]
    config_file: Option<PathBuf>,
    /// Name servers, accepted for RocketMQ's sake
    #[arg(short = 'n', long = "namesrvAddr")]
    _namesrv_addr: Option<String>,
    /// Print all config items
    #[arg(short = 'p', long = "printConfigItem")]
    print_config: bool,
    /// Print help
    #[arg(short = 'h', long = "help")]
    _help: bool,
}

/// Runs a name server until it is told to stop.
pub(crate) fn run(invocation: Invocation) -> ExitCode {
    let options: Options = match super::options(&invocation) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let program = invocation.program.as_str();
    let environment = super::environment(&invocation);
    let mut settings = NamesrvSettings::new(&environment);
    let remarks = match load(&mut settings, &options, &invocation.system_properties) {
        Ok(remarks) => remarks,
        Err(refusal) => return super::refuse(program, &refusal),
    };
    if options.print_config {
        super::say_pairs(&settings.printed());
        return ExitCode::SUCCESS;
    }
    let destination = Destination::of_role("namesrv", &environment.home);
    super::run_logged(program, &destination, &remarks, || serve(settings))
}

fn load(
    settings: &mut NamesrvSettings,
    options: &Options,
    properties: &BTreeMap<String, String>,
) -> Result<Remarks, ConfigError> {
    let mut remarks = settings.load(&super::tls_properties(properties))?;
    if let Some(file) = &options.config_file {
        remarks = settings.load(&Properties::load(file)?)?;
        settings.namesrv.config_store_path = file.to_string_lossy().into_owned();
        super::say(&format!("load config properties file OK, {}\n", file.display()));
    }
    settings.tls.load_file()?;
    Ok(remarks)
}

/// The line that tells scripts that the name server is up.
pub(crate) fn boot_line(bind_address: &str, port: u16) -> String {
    let address = format!("{bind_address}:{port}");
    format!("The Name Server boot success. serializeType=JSON, address {address}")
}

fn serve(settings: NamesrvSettings) -> anyhow::Result<()> {
    let stop = Stop::catch()?;
    let bind_address = settings.server.bind_address.clone();
    let running = raptormq_namesrv::start(settings, Arc::new(machine::now_ms))?;
    let line = boot_line(&bind_address, running.local_addr().port());
    tracing::info!("{line}");
    super::say(&format!("{line}\n"));
    let signal = stop.wait();
    tracing::info!(signal, "stopping");
    finish(running.shutdown());
    tracing::info!("stopped");
    Ok(())
}
