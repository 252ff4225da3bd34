//! The operator's own files, beside the doors.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use axum::body::Body;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use tower::ServiceExt;
use tower_http::services::ServeDir;

/// A directory whose files are served.
///
/// Nothing outside of it is: dot files and dot directories are not there, and a symbolic link that
/// leads out of it is not followed. `index.html` stands for its directory.
#[derive(Clone)]
pub(crate) struct Assets {
    root: PathBuf,
    files: ServeDir,
}

impl fmt::Debug for Assets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assets")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// What a request path comes to.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// A file that may be served, or a directory with an index.
    Here,
    /// Nothing that may be served.
    Nothing,
    /// No path at all: 400.
    Malformed,
}

impl Assets {
    /// Opens the directory; symbolic links in its own path are followed, once, here.
    ///
    /// # Errors
    ///
    /// The error of the file system where there is no such directory or it cannot be read.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        // Reading it now tells the operator at start, not the visitor later.
        drop(std::fs::read_dir(&root)?);
        let files = ServeDir::new(&root);
        Ok(Self { root, files })
    }

    /// Answers a GET or HEAD from the directory; gives the request back where it has no such file,
    /// or the request is another one.
    pub(super) async fn serve(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Body>, Request<Body>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(request);
        }
        let (root, path) = (self.root.clone(), request.uri().path().to_owned());
        let found = tokio::task::spawn_blocking(move || find(&root, &path)).await;
        match found {
            Ok(Found::Here) => {}
            Ok(Found::Malformed) => return Ok(status(StatusCode::BAD_REQUEST)),
            Ok(Found::Nothing) | Err(_) => return Err(request),
        }
        let last = request.uri().path().rsplit('/').next().unwrap_or_default();
        // Whoever has routed it here may have taken the beginning of its path away.
        let relative = match request.uri().query() {
            Some(query) => format!("./{last}/?{query}"),
            None => format!("./{last}/"),
        };
        match self.files.clone().oneshot(request).await {
            Ok(mut response) => {
                if response.headers().contains_key(header::LOCATION)
                    && let Ok(relative) = HeaderValue::from_str(&relative)
                {
                    response.headers_mut().insert(header::LOCATION, relative);
                }
                Ok(with_charset(response.map(Body::new)))
            }
            Err(never) => match never {},
        }
    }
}

/// Looks a request path up below `root`, which is canonical.
fn find(root: &Path, path: &str) -> Found {
    let Some(relative) = relative_path(path) else {
        return Found::Malformed;
    };
    if relative.iter().any(|segment| segment.starts_with('.')) {
        return Found::Nothing;
    }
    let mut wanted = root.to_owned();
    wanted.extend(&relative);
    match inside(root, &wanted) {
        Some(meta) if meta.is_dir() => match inside(root, &wanted.join("index.html")) {
            Some(meta) if meta.is_file() => Found::Here,
            _ => Found::Nothing,
        },
        // A pipe or a device would block its reader, or never end.
        Some(meta) if meta.is_file() && !path.ends_with('/') => Found::Here,
        _ => Found::Nothing,
    }
}

/// What the path really names, where that is below `root` and in no dot file or directory.
fn inside(root: &Path, path: &Path) -> Option<std::fs::Metadata> {
    let real = path.canonicalize().ok()?;
    let below = real.strip_prefix(root).ok()?;
    let dotted = below
        .iter()
        .any(|part| part.as_encoded_bytes().starts_with(b"."));
    if dotted { None } else { real.metadata().ok() }
}

/// The decoded segments of a request path. `None` for a path that names no file on any system:
/// broken percent-encoding, text that is not UTF-8, an empty segment, `..`, a slash or backslash
/// or control character within a segment.
fn relative_path(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('/')?;
    if path.is_empty() {
        return Some(Vec::new());
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/')
        .map(|segment| {
            let whole = segment.split('%').skip(1).all(|rest| {
                matches!(rest.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
            });
            let text = percent_decode_str(segment).decode_utf8().ok()?;
            let bad = |character: char| matches!(character, '/' | '\\') || character.is_control();
            let named = !matches!(&*text, "" | "." | "..") && !text.contains(bad);
            (whole && named).then(|| text.into_owned())
        })
        .collect()
}

/// Says that text is UTF-8: nearly every text file is, and a browser that is not told guesses.
fn with_charset(mut response: Response<Body>) -> Response<Body> {
    if let Some(kind) = response.headers().get(header::CONTENT_TYPE)
        && let Ok(text) = kind.to_str()
        && text.starts_with("text/")
        && !text.contains("charset")
        && let Ok(kind) = HeaderValue::from_str(&format!("{text}; charset=utf-8"))
    {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_paths_segment_by_segment() {
        let segments = |path| relative_path(path).map(|segments| segments.join("|"));
        assert_eq!(segments("/").as_deref(), Some(""));
        assert_eq!(segments("/a/b.html").as_deref(), Some("a|b.html"));
        assert_eq!(segments("/a/").as_deref(), Some("a"));
        assert_eq!(segments("/%C3%A4%20b").as_deref(), Some("\u{e4} b"));
        assert_eq!(segments("/...").as_deref(), Some("..."));
        for path in [
            "a",
            "*",
            "//",
            "//etc/passwd",
            "/a//b",
            "/../a",
            "/a/..",
            "/%2e%2e/a",
            "/.%2E/a",
            "/./a",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/..%5ca",
            "/%00",
            "/a%00.html",
            "/%0a",
            "/%ff",
            "/%c0%ae%c0%ae/a",
            "/%",
            "/%2",
            "/%zz",
            "/%2%65",
        ] {
            assert_eq!(segments(path), None, "{path}");
        }
    }
}
