//! `GET /metrics`: what the server has counted, for a scraper.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::metrics::{Exposition, MEDIA_TYPE};

/// `/metrics`.
pub(crate) fn routes(exposition: Arc<Exposition>) -> Router {
    Router::new().route("/metrics", get(show).with_state(exposition))
}

/// `/healthz` and `/readyz`. `draining` is true once the server stops.
pub(crate) fn health(draining: Arc<AtomicBool>) -> Router {
    Router::new()
        .route("/healthz", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(ready).with_state(draining))
}

/// Everything on a listener for operators only.
pub(crate) fn router(exposition: Arc<Exposition>, draining: Arc<AtomicBool>) -> Router {
    routes(exposition).merge(health(draining))
}

async fn show(State(exposition): State<Arc<Exposition>>, asked: HeaderMap) -> Response {
    let Ok(text) = exposition.text() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let (kind, text) = if wants_text_format(&asked) {
        (TEXT_FORMAT, text_format(&text))
    } else {
        (MEDIA_TYPE, text)
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::VARY, HeaderValue::from_static("accept")),
    ];
    (headers, text).into_response()
}

/// Whether the older format is asked for by its name, and OpenMetrics is not.
fn wants_text_format(asked: &HeaderMap) -> bool {
    let names = |kind: &str| {
        let mut values = asked.get_all(header::ACCEPT).iter();
        values.any(|value| {
            let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
            value
                .split(',')
                .any(|range| range.split(';').next().map(str::trim) == Some(kind))
        })
    };
    names("text/plain") && !names("application/openmetrics-text")
}

/// The same in the text format 0.0.4 of Prometheus, which has neither `info`, units nor an end
/// mark, and describes a counter by the name of its samples.
fn text_format(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            for line in [
                format!("# HELP {name}{suffix} {help}\n"),
                format!("# TYPE {name}{suffix} {kind}\n"),
            ] {
                text.push_str(&line);
            }
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The media type of the text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn ready(State(draining): State<Arc<AtomicBool>>) -> (StatusCode, &'static str) {
    if draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format_is_for_those_who_ask_for_no_other() {
        let prometheus = "application/openmetrics-text;version=1.0.0,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, expected) in [
            (None, false),
            (Some("*/*"), false),
            (Some("text/html"), false),
            (Some(prometheus), false),
            (Some("text/plain"), true),
            (Some("Text/Plain; version=0.0.4, */*;q=0.1"), true),
        ] {
            let mut asked = HeaderMap::new();
            if let Some(accept) = accept {
                asked.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(wants_text_format(&asked), expected, "{accept:?}");
        }
    }

    #[test]
    fn names_and_kinds_are_those_of_the_text_format() {
        let open_metrics = "# HELP a_build Which.\n# TYPE a_build info\na_build_info{v=\"1\"} 1\n\
             # HELP a_seen How many.\n# TYPE a_seen counter\na_seen_total{b=\"c d\"} 2\n\
             # HELP a_bytes Size.\n# TYPE a_bytes gauge\n# UNIT a_bytes bytes\na_bytes 3\n# EOF\n";
        let expected = "# HELP a_build_info Which.\n# TYPE a_build_info gauge\na_build_info{v=\"1\"} 1\n\
             # HELP a_seen_total How many.\n# TYPE a_seen_total counter\na_seen_total{b=\"c d\"} 2\n\
             # HELP a_bytes Size.\n# TYPE a_bytes gauge\na_bytes 3\n";
        assert_eq!(text_format(open_metrics), expected);
    }
}
