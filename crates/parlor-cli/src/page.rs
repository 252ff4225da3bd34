//! The page at `/`, built into the binary.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use parlor::Config;

/// The page and what it needs, each at its own path.
pub(crate) fn routes(config: &Config) -> Router {
    let doors = doors(config);
    let router = Router::new().route(
        DOORS,
        get(move || async move { answer("application/json", doors.clone()) }),
    );
    FILES.iter().fold(router, |router, file| {
        router.route(
            file.path,
            get(move || async move { answer(file.kind, file.text) }),
        )
    })
}

/// What the page has to know of the settings, in JSON.
fn doors(config: &Config) -> String {
    let path = config.socketio.path.trim_end_matches('/');
    let path = config.socketio.served.then(|| format!("{path}/"));
    serde_json::json!({ "socketio": path }).to_string()
}

fn answer(kind: &'static str, text: impl IntoResponse) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}

struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

/// Nothing from elsewhere, nothing inline, no frame around the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Where the page asks which doors there are.
const DOORS: &str = "/_parlor/doors.json";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! file {
    ($name:literal, $kind:expr) => {
        File {
            path: concat!("/_parlor/", $name),
            kind: $kind,
            text: include_str!(concat!("../pages/demo/", $name)),
        }
    };
}

static FILES: &[File] = &[
    File {
        path: "/",
        kind: HTML,
        text: include_str!("../pages/demo/index.html"),
    },
    file!("style.css", CSS),
    file!("icon.svg", SVG),
    file!("demo.js", SCRIPT),
    file!("pane.js", SCRIPT),
    file!("doors.js", SCRIPT),
    file!("socketio.js", SCRIPT),
    file!("room.js", SCRIPT),
    file!("connection.js", SCRIPT),
    file!("snippets.js", SCRIPT),
    file!("measure.js", SCRIPT),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands between the two texts, at each place where they occur in this order.
    fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
        let rests = text.split(before).skip(1);
        rests
            .filter_map(|rest| rest.split_once(after))
            .map(|(inside, _)| inside)
            .collect()
    }

    fn is_served(path: &str) -> bool {
        FILES.iter().any(|file| file.path == path)
    }

    #[test]
    fn every_file_that_the_page_names_is_served() {
        let page = FILES[0].text;
        let named = [
            between(page, "src=\"", "\""),
            between(page, "<link rel=\"", ">"),
        ]
        .concat();
        let mut count = 0;
        for name in named
            .iter()
            .map(|name| name.rsplit("href=\"").next().unwrap_or(name))
        {
            let name = name.split('"').next().unwrap_or(name);
            assert!(is_served(&format!("/{name}")), "{name}");
            count += 1;
        }
        assert!(count >= 4);
        for file in FILES.iter().filter(|file| file.kind == SCRIPT) {
            for name in between(file.text, "from './", "'") {
                assert!(
                    is_served(&format!("/_parlor/{name}")),
                    "{name} in {}",
                    file.path
                );
            }
        }
    }

    #[test]
    fn the_page_is_told_where_socket_io_is() {
        let mut config = Config::default();
        assert_eq!(doors(&config), r#"{"socketio":"/socket.io/"}"#);
        for path in ["/live/", "/live"] {
            config.socketio.path = path.to_owned();
            assert_eq!(doors(&config), r#"{"socketio":"/live/"}"#);
        }
        config.socketio.served = false;
        assert_eq!(doors(&config), r#"{"socketio":null}"#);
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_or_read_as_markup() {
        for file in FILES {
            for part in [
                "https://",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "eval(",
            ] {
                assert!(!file.text.contains(part), "{part} in {}", file.path);
            }
            // The name of SVG, and an address that the page replaces by this server's.
            let names = ["http://www.w3.org/2000/svg", "http://localhost:8080"];
            let text = names
                .iter()
                .fold(file.text.to_owned(), |text, name| text.replace(name, ""));
            assert!(!text.contains("http://"), "{}", file.path);
        }
    }
}
