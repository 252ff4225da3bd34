//! What a test found, as a table for people or as JSON.

use std::fmt::Write as _;

use serde_json::Value;

use super::histogram::Histogram;
use super::ledger::Ledger;
use super::process::{Cpu, Memory};
use super::time::Nanos;
use crate::terminal;

/// Rows of the table and members of the JSON object, in the order in which they were added.
#[derive(Debug)]
pub(super) struct Report {
    title: String,
    rows: Vec<(&'static str, String)>,
    facts: Vec<(String, Value)>,
    clean: bool,
}

/// A point in the test: figures are differences between two of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) at: Nanos,
    /// Deliveries, messages or connections so far.
    pub(super) units: u64,
    server: Option<Cpu>,
    own: Cpu,
}

/// The memory of the server before and after the connections were opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth {
    pub(super) before: Memory,
    pub(super) after: Memory,
    pub(super) connections: u64,
}

impl Mark {
    pub(super) fn new(at: Nanos, units: u64, pid: Option<u32>) -> Self {
        let server = pid.and_then(|pid| Cpu::of(pid).ok());
        Self {
            at,
            units,
            server,
            own: Cpu::own(),
        }
    }
}

impl Report {
    pub(super) fn new(command: &str, url: &str) -> Self {
        let facts = vec![
            ("command".to_owned(), Value::from(command)),
            ("url".to_owned(), Value::from(url)),
        ];
        Self {
            title: format!("{command} {url}"),
            rows: Vec::new(),
            facts,
            clean: true,
        }
    }

    /// Whether nothing was lost, repeated, reordered or closed.
    pub(super) const fn is_clean(&self) -> bool {
        self.clean
    }

    pub(super) fn row(&mut self, name: &'static str, text: impl Into<String>) {
        self.rows.push((name, text.into()));
    }

    pub(super) fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.push((name.to_owned(), value.into()));
    }

    /// Quantiles of times.
    pub(super) fn times(&mut self, name: &'static str, key: &str, times: &Histogram) {
        let mut text = String::new();
        for (share, label, suffix) in QUANTILES {
            let value = times.per_mille(share);
            let _infallible = write!(text, "{label} {}  ", duration(value));
            self.fact(&format!("{key}_{suffix}_us"), micros(value));
        }
        let _infallible = write!(text, "max {}", duration(times.max()));
        self.fact(&format!("{key}_max_us"), micros(times.max()));
        self.row(name, text);
    }

    /// How many units there were between two marks, how many a second, and what they cost.
    pub(super) fn between(&mut self, unit: Unit, first: Mark, last: Mark) {
        let units = last.units.saturating_sub(first.units);
        let seconds = seconds(last.at.saturating_sub(first.at));
        let rate = units as f64 / seconds;
        self.fact("seconds", round(seconds));
        self.fact(unit.plural, units);
        self.fact(&format!("{}_per_s", unit.plural), round(rate));
        self.row(
            unit.label,
            format!("{}  ({}/s)", grouped(units), grouped_f(rate)),
        );
        let share = |micros: u64| micros as f64 / 1e4 / seconds;
        if let Some((before, after)) = first.server.zip(last.server) {
            let used = after.micros.saturating_sub(before.micros);
            let each = used as f64 / units.max(1) as f64;
            self.fact(&format!("server_cpu_us_per_{}", unit.singular), round(each));
            self.fact("server_cpu_percent", round(share(used)));
            let text = format!(
                "{each:.3} us a {}, {:.0} % of a core",
                unit.spoken,
                share(used)
            );
            self.row("server CPU", text);
        }
        let own = share(last.own.micros.saturating_sub(first.own.micros));
        self.fact("generator_cpu_percent", round(own));
        let limit = if own > 95.0 {
            ", which was the limit"
        } else {
            ""
        };
        self.row("own CPU", format!("{own:.0} % of a core{limit}"));
    }

    /// What nothing at all cost between two marks.
    pub(super) fn idle(&mut self, first: Mark, last: Mark) {
        let seconds = seconds(last.at.saturating_sub(first.at));
        self.fact("seconds", round(seconds));
        if let Some((before, after)) = first.server.zip(last.server) {
            let used = after.micros.saturating_sub(before.micros) as f64 / seconds;
            self.fact("server_cpu_us_per_s", round(used));
            self.row("server CPU", format!("{used:.0} us a second, idle"));
        }
    }

    /// How long connections took to open.
    pub(super) fn opened(&mut self, count: u64, took: Nanos, times: &Histogram) {
        let rate = count as f64 / seconds(took).max(1e-9);
        self.fact("opened_per_s", round(rate));
        let took = duration(took);
        self.row(
            "opened",
            format!("{} in {took}  ({}/s)", grouped(count), grouped_f(rate)),
        );
        self.times("opening took", "open", times);
    }

    /// What the connections cost in memory.
    pub(super) fn memory(&mut self, growth: Growth) {
        let each = |after: u64, before: u64| {
            (after as f64 - before as f64) / growth.connections.max(1) as f64
        };
        let resident = each(growth.after.resident, growth.before.resident);
        let anonymous = each(growth.after.anonymous, growth.before.anonymous);
        self.fact("server_resident_bytes_before", growth.before.resident);
        self.fact("server_resident_bytes_after", growth.after.resident);
        self.fact("server_resident_bytes_per_connection", round(resident));
        self.fact("server_anonymous_bytes_per_connection", round(anonymous));
        let [resident, anonymous] = [resident, anonymous].map(grouped_f);
        let text = format!("{resident} B a connection resident, {anonymous} B of it anonymous");
        self.row("server memory", text);
    }

    /// What the books say.
    pub(super) fn checked(&mut self, ledger: &Ledger, sent: &[u32]) {
        let lost = ledger.lost(sent);
        let faults = [
            ("lost", lost),
            ("repeated", ledger.repeated),
            ("reordered", ledger.reordered),
            ("foreign", ledger.foreign),
        ];
        for (name, count) in faults {
            self.fact(name, count);
        }
        self.fact("returned", ledger.returned);
        let mut text = faults[..3]
            .iter()
            .map(|(name, count)| format!("{} {name}", grouped(*count)))
            .collect::<Vec<_>>()
            .join(", ");
        for (count, what) in [
            (ledger.foreign, "not of this test"),
            (ledger.returned, "came back to their sender"),
        ] {
            if count > 0 {
                let _infallible = write!(text, ", {} {what}", grouped(count));
            }
        }
        self.clean &= faults[..3].iter().all(|(_, count)| *count == 0);
        self.row("checked", text);
    }

    /// Connections that the server ended, and why it ended the first one.
    pub(super) fn closed(&mut self, count: u64, first: Option<&str>) {
        self.fact("closed", count);
        self.fact("first_closed", first.map_or(Value::Null, Value::from));
        if count > 0 {
            self.clean = false;
            let first = first.unwrap_or_default();
            self.row(
                "closed",
                format!("{} by the server, the first: {first}", grouped(count)),
            );
        }
    }

    /// Sessions that did not come back.
    pub(super) fn missing(&mut self, count: u64) {
        self.fact("missing", count);
        if count > 0 {
            self.clean = false;
            self.row("missing", format!("{} did not come back", grouped(count)));
        }
    }

    /// Writes it to standard output.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        terminal::print(if json { self.json()? } else { self.table() });
        Ok(())
    }

    fn json(&self) -> anyhow::Result<String> {
        let mut members = Vec::with_capacity(self.facts.len());
        for (name, value) in &self.facts {
            members.push(format!("{}:{}", serde_json::to_string(name)?, value));
        }
        Ok(format!("{{{}}}", members.join(",")))
    }

    fn table(&self) -> String {
        let width = self
            .rows
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or_default();
        let mut text = self.title.clone();
        for (name, row) in &self.rows {
            let _infallible = write!(text, "\n  {name:width$}  {row}");
        }
        text
    }
}

/// What is counted between two marks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit {
    /// In the table.
    pub(super) label: &'static str,
    /// In the keys of the JSON object.
    pub(super) singular: &'static str,
    pub(super) plural: &'static str,
    /// After "us a".
    pub(super) spoken: &'static str,
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn grouped_f(number: f64) -> String {
    let whole = format!("{:.0}", number.abs()).parse().unwrap_or(u64::MAX);
    let sign = if number <= -0.5 { "-" } else { "" };
    format!("{sign}{}", grouped(whole))
}

/// A time in the unit that suits it.
pub(super) fn duration(nanos: Nanos) -> String {
    match nanos {
        0..1_000_000 => format!("{:.1} us", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", nanos as f64 / 1e6),
        _ => format!("{:.2} s", nanos as f64 / 1e9),
    }
}

fn micros(nanos: Nanos) -> f64 {
    nanos as f64 / 1e3
}

fn seconds(nanos: Nanos) -> f64 {
    nanos.max(1) as f64 / 1e9
}

/// To four decimals: more would be noise.
fn round(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

const QUANTILES: [(u64, &str, &str); 4] = [
    (500, "p50", "p50"),
    (900, "p90", "p90"),
    (990, "p99", "p99"),
    (999, "p99.9", "p999"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(grouped_f(-1234.6), "-1,235");
        assert_eq!(grouped_f(-0.2), "0");
    }

    #[test]
    fn json_is_one_object_in_order() {
        let mut report = Report::new("echo", "ws://127.0.0.1:1/\"");
        report.fact("lost", 0);
        let text = report.json().expect("writable");
        assert_eq!(
            text,
            r#"{"command":"echo","url":"ws://127.0.0.1:1/\"","lost":0}"#
        );
    }
}
