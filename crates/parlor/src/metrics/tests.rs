//! Counting, adding up and telling.

use super::{
    families::{DOOR, DROP, END, Kind, MEMBER_DOOR, REFUSAL},
    *,
};

#[test]
fn the_families_stand_side_by_side() {
    let mut end = 0;
    for family in FAMILIES {
        assert_eq!(family.first, end, "{}", family.name);
        end = family.end();
    }
    assert_eq!(end, SERIES);
    // The labels have a value for each variant.
    assert_eq!(DOOR.values[Door::Http as usize], "http");
    assert_eq!(MEMBER_DOOR.values[Door::Endpoint as usize], "endpoint");
    assert_eq!(END.values[End::Claimed as usize], "claimed");
    assert_eq!(END.values[End::Silent as usize], "silent");
    assert_eq!(REFUSAL.values[Refused::Handler as usize], "handler");
    assert_eq!(REFUSAL.values[Refused::Rate as usize], "rate");
    assert_eq!(DROP.values[Loss::SlowConsumer as usize], "slow_consumer");
}

#[test]
fn a_scrape_adds_up_what_the_shards_have_counted() {
    let metrics = Arc::new(Metrics::new(2));
    let mut counters = [Counters::default(), Counters::default()];
    for (shard, counters) in counters.iter_mut().enumerate() {
        counters.opened(Door::Sse);
        counters.opened(Door::Echo);
        counters.opened(Door::Sse);
        counters.closed(Door::Sse, End::SlowConsumer);
        counters.hold(Held {
            rooms: 3,
            outbox_bytes: 1000,
            ..Held::default()
        });
        metrics.publish(shard, counters);
        // Told again, it does not count twice.
        metrics.publish(shard, counters);
    }
    metrics.publish(2, &counters[0]);
    metrics.refused(Refused::Host);
    metrics.panicked();
    let text = Exposition::new(metrics).text().unwrap();
    for line in [
        "# TYPE parlor_connections_opened counter",
        "parlor_connections_opened_total{door=\"sse\"} 4",
        "parlor_connections_opened_total{door=\"echo\"} 2",
        "parlor_connections_opened_total{door=\"http\"} 0",
        "parlor_connections_closed_total{door=\"sse\",reason=\"slow_consumer\"} 2",
        "parlor_members{door=\"sse\"} 2",
        "parlor_rooms 6",
        "# UNIT parlor_outbox_bytes bytes",
        "parlor_outbox_bytes 2000",
        "parlor_refusals_total{reason=\"host\"} 1",
        "parlor_panics_total 1",
        concat!(
            "parlor_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains("parlor_members{door=\"echo\"}"), "{text}");
}

/// The row of each family in `docs/metrics.md`.
fn rows() -> String {
    let row = |family: &families::Family| {
        let unit = if family.unit { "_bytes" } else { "" };
        let total = match family.kind {
            Kind::Counter => "_total",
            Kind::Gauge => "",
        };
        let label = |label: &&families::Label| {
            let values = label.values.join("`, `");
            format!("{}: `{values}`", label.name)
        };
        let labels: Vec<String> = family.labels.iter().map(label).collect();
        let (name, help) = (family.name, family.help);
        format!(
            "| `{name}{unit}{total}` | {help}. | {} |\n",
            labels.join("; ")
        )
    };
    FAMILIES.iter().map(row).collect()
}

#[test]
fn the_documentation_has_every_number() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert!(
        page.contains(&rows()),
        "docs/metrics.md lacks these rows:\n{}",
        rows()
    );
}
