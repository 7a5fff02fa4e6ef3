//! What a run of `raptormq bench` prints.

use std::fmt;
use std::io::Write as _;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::consume::EndToEnd;
use super::{Options, Plan, Tally};

/// The result.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    version: &'static str,
    namesrv: String,
    topic: String,
    producers: u32,
    consumers: u32,
    /// Messages a second that were asked for.
    rate: Option<u32>,
    depth: u32,
    body_bytes: u32,
    threads: usize,
    cores: usize,
    warmup_seconds: u32,
    measured_seconds: usize,
    /// Acknowledged within the measured time; without producers, consumed.
    pub(super) messages: u64,
    failed: u64,
    /// Due within the measured time and not sent.
    unsent: u64,
    messages_per_second: f64,
    bytes_per_second: f64,
    /// Until the acknowledgement.
    latency_micros: Option<Latencies>,
    /// Messages of this run that were consumed, warm-up included.
    consumed: Option<u64>,
    /// Until a consumer's handler had it.
    end_to_end_micros: Option<Latencies>,
    per_second: Vec<u64>,
    /// Of this process, where the cluster is another one.
    pub(super) client_cpu_micros_per_message: Option<f64>,
}

/// Latencies in microseconds.
#[derive(Serialize)]
struct Latencies {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Latencies {
    /// Those of a histogram in nanoseconds that holds any.
    fn of(nanos: &Histogram<u64>) -> Option<Latencies> {
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let quantile = |quantile: f64| micros(nanos.value_at_quantile(quantile));
        (!nanos.is_empty()).then(|| Latencies {
            mean: nanos.mean() / 1000.0,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: micros(nanos.max()),
        })
    }

    fn rows(&self) -> [(&'static str, f64); 6] {
        let Latencies { mean, p50, p90, p99, p999, max } = *self;
        [("mean", mean), ("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("max", max)]
    }
}

impl Report {
    pub(super) fn new(
        options: &Options,
        namesrv: &str,
        threads: usize,
        (total, per_second): (&Tally, Vec<u64>),
    ) -> Report {
        let (measured, messages) = match options.producers {
            0 => (per_second.len(), per_second.iter().sum()),
            _ => (options.seconds as usize, total.latencies.len()),
        };
        // How long the bodies are that others sent is not known.
        let body_bytes = if options.producers == 0 { 0 } else { options.size };
        let per_second_mean = messages as f64 / measured.max(1) as f64;
        Report {
            version: env!("CARGO_PKG_VERSION"),
            namesrv: namesrv.to_owned(),
            topic: options.topic.clone(),
            producers: options.producers,
            consumers: options.consumers,
            rate: options.rate,
            depth: options.depth,
            body_bytes,
            threads,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            warmup_seconds: options.warmup,
            measured_seconds: measured,
            messages,
            failed: total.failed,
            unsent: total.unsent,
            messages_per_second: per_second_mean,
            bytes_per_second: per_second_mean * f64::from(body_bytes),
            latency_micros: Latencies::of(&total.latencies),
            consumed: None,
            end_to_end_micros: None,
            per_second,
            client_cpu_micros_per_message: None,
        }
    }

    /// Adds what the consumers have measured.
    pub(super) fn consumed(&mut self, plan: &Plan, end_to_end: Option<&EndToEnd>) {
        let Some(seen) = end_to_end else { return };
        let all = plan.consumed.load(Ordering::Relaxed);
        self.consumed = Some(if plan.is_stamped { seen.received } else { all });
        self.end_to_end_micros = Latencies::of(&seen.latencies);
    }

    pub(super) fn write(&self, file: &std::path::Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        if file.as_os_str() == "-" {
            return Ok(writeln!(std::io::stdout(), "{text}")?);
        }
        std::fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.bytes_per_second / f64::from(1 << 20);
        let what = if self.producers == 0 { "consumed" } else { "acknowledged" };
        writeln!(f, "messages   {:>12}   {what} in {} s", self.messages, self.measured_seconds)?;
        match self.producers {
            0 => writeln!(f, "rate       {:>12.0}   messages/s", self.messages_per_second)?,
            _ => writeln!(f, "rate       {:>12.0}   messages/s, {mebibytes:.1} MiB/s", self.messages_per_second)?,
        }
        for (name, micros) in self.latency_micros.iter().flat_map(Latencies::rows) {
            writeln!(f, "{name:<10} {:>12.3}   ms", micros / 1000.0)?;
        }
        if let (Some(consumed), 1..) = (self.consumed, self.producers) {
            writeln!(f, "consumed   {consumed:>12}   warm-up included")?;
        }
        for (name, micros) in self.end_to_end_micros.iter().flat_map(Latencies::rows) {
            writeln!(f, "{:<10} {:>12.3}   ms from producer to consumer", format!("to {name}"), micros / 1000.0)?;
        }
        if self.unsent > 0 {
            writeln!(f, "not sent   {:>12}   were due and found no room on the way", self.unsent)?;
        }
        if let Some(micros) = self.client_cpu_micros_per_message {
            writeln!(f, "client CPU {micros:>12.2}   us a message")?;
        }
        writeln!(f, "failed     {:>12}", self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn a_report_has_rates_and_percentiles() {
        let options = Options::parse_from(["bench", "--seconds", "2", "--size", "1000"]);
        let mut tally = Tally::new().unwrap();
        for micros in 1..=100 {
            tally.latencies.record(micros * 1000).unwrap();
        }
        let mut report = Report::new(&options, "a:1", 1, (&tally, vec![60, 40]));
        assert_eq!((report.messages_per_second, report.bytes_per_second), (50.0, 50_000.0));
        let sends = report.latency_micros.as_ref().unwrap();
        assert!((49.0..52.0).contains(&sends.p50) && (99.0..102.0).contains(&sends.max));
        let text = report.to_string();
        assert!(text.starts_with("messages            100   acknowledged in 2 s\n"), "{text}");
        assert!(text.contains("p99.9             0.1") && !text.contains("consumer"), "{text}");
        report.consumed = Some(120);
        report.end_to_end_micros = Latencies::of(&tally.latencies);
        let text = report.to_string();
        assert!(text.contains("consumed            120   warm-up included\nto mean "), "{text}");
    }

    #[test]
    fn without_producers_the_seconds_that_had_messages_count() {
        let options = Options::parse_from(["bench", "-p", "0", "-c", "1", "--seconds", "10"]);
        let report = Report::new(&options, "a:1", 1, (&Tally::new().unwrap(), vec![60, 40]));
        assert_eq!((report.messages, report.measured_seconds, report.messages_per_second), (100, 2, 50.0));
        assert!(
            report
                .to_string()
                .starts_with("messages            100   consumed in 2 s\nrate                 50   messages/s\n")
        );
    }
}
