//! The files of a Socket.IO client, for pages that load it from the server: those of npm
//! `socket.io-client` where the operator has them, otherwise a small client of our own.

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::coding::{Coding, Effort};
use crate::config::ClientFiles;
use crate::front::CLIENT_FILES;

/// Files by their names, all of them from [`CLIENT_FILES`].
#[derive(Debug)]
pub(crate) struct Bundle(Vec<Arc<File>>);

#[derive(Debug)]
struct File {
    name: &'static str,
    etag: HeaderValue,
    plain: Bytes,
    /// The file in each of [`CODINGS`], made when the first client asks for it.
    coded: [OnceLock<Bytes>; CODINGS.len()],
}

/// How files are compressed; of those that a client likes equally the first.
const CODINGS: [Coding; 3] = [Coding::Brotli, Coding::Gzip, Coding::Deflate];

impl Bundle {
    /// Opens what a setting names. The directories of packages are relative to the working
    /// directory.
    ///
    /// # Errors
    ///
    /// The error of the file system where a directory that was named has no `socket.io.js`, or a
    /// file cannot be read or has over [`FILE_BYTES_MAX`].
    pub(crate) fn of(setting: &ClientFiles) -> io::Result<Self> {
        match setting {
            ClientFiles::Dir(directory) => Self::open(directory),
            ClientFiles::Auto if Path::new(PACKAGE).join(MAIN).is_file() => {
                Self::open(Path::new(PACKAGE))
            }
            ClientFiles::Auto | ClientFiles::Own => Ok(Self::own()),
            ClientFiles::Off => Ok(Self(Vec::new())),
        }
    }

    fn own() -> Self {
        let files = [
            ("socket.io.js", OWN),
            ("socket.io.min.js", OWN_MINIFIED),
            ("socket.io.esm.min.js", OWN_MODULE),
        ];
        let etag = etag(&format!("parlor-{:016x}", hash(OWN.as_bytes())));
        Self(
            files
                .into_iter()
                .map(|(name, text)| File::new(name, etag.clone(), text.into()))
                .collect(),
        )
    }

    fn open(directory: &Path) -> io::Result<Self> {
        let mut found = Vec::new();
        for name in CLIENT_FILES {
            match read(&directory.join(name)) {
                Ok(bytes) => found.push((name, bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound && name != MAIN => {}
                Err(error) => return Err(error),
            }
        }
        let version = version(directory).unwrap_or_else(|| {
            let hashes = found.iter().map(|(_, bytes)| hash(bytes));
            format!("{:016x}", hashes.fold(0, u64::wrapping_add))
        });
        let etag = etag(&version);
        Ok(Self(
            found
                .into_iter()
                .map(|(name, bytes)| File::new(name, etag.clone(), bytes))
                .collect(),
        ))
    }
}

impl File {
    fn new(name: &'static str, etag: HeaderValue, plain: Bytes) -> Arc<Self> {
        Arc::new(Self {
            name,
            etag,
            plain,
            coded: Default::default(),
        })
    }

    fn kind(&self) -> HeaderValue {
        HeaderValue::from_static(match self.name.ends_with(".map") {
            true => "application/json; charset=utf-8",
            false => "application/javascript; charset=utf-8",
        })
    }

    fn body(&self, coding: Option<Coding>) -> Bytes {
        let mut held = CODINGS.iter().zip(&self.coded);
        let held = held.find(|(known, _)| Some(**known) == coding);
        let body = held.map_or(&self.plain, |(coding, held)| {
            held.get_or_init(|| {
                let coded = coding.encode(&self.plain, Effort::Kept);
                coded.expect("a Vec takes every byte").into()
            })
        });
        body.clone()
    }

    /// Whether the client says that it has this version; compared without the strength, for the
    /// body is the same however it was compressed on its way.
    fn is_held(&self, fields: &HeaderMap) -> bool {
        let ours = self.etag.as_bytes();
        let held = fields.get_all(header::IF_NONE_MATCH).into_iter();
        held.flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == ours)
    }
}

/// The routes of the files below `path`, which begins with a slash. A file that there is not is
/// 404, whatever the protocol at the same path says of names that it does not know; where none is
/// served that is left to the protocol.
pub(crate) fn routes(path: &str, bundle: &Bundle) -> Router {
    if bundle.0.is_empty() {
        return Router::new();
    }
    let path = path.trim_end_matches('/');
    CLIENT_FILES.iter().fold(Router::new(), |router, name| {
        let file = bundle.0.iter().find(|file| file.name == *name);
        let method = match file {
            Some(file) => get(serve).with_state(Arc::clone(file)),
            None => get(|| std::future::ready((StatusCode::NOT_FOUND, "not found\n"))),
        };
        router.route(&format!("{path}/{name}"), method)
    })
}

async fn serve(State(file): State<Arc<File>>, fields: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let held = file.is_held(&fields);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, file.etag.clone());
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=0"),
    );
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if held {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(header::CONTENT_TYPE, file.kind());
    let coding = Coding::preferred(&fields, &CODINGS);
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, coding.name());
    }
    // The first one of its kind takes some milliseconds, which this thread has not.
    match tokio::task::spawn_blocking(move || file.body(coding)).await {
        Ok(body) => *response.body_mut() = body.into(),
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}

/// A whole file, no larger than is sensible.
fn read(path: &Path) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(named)?;
    { file.take(FILE_BYTES_MAX + 1) }
        .read_to_end(&mut bytes)
        .map_err(named)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "{} has more than {FILE_BYTES_MAX} bytes",
            path.display()
        )));
    }
    Ok(bytes.into())
}

/// The version of the npm package that a directory of it belongs to.
fn version(directory: &Path) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Package {
        version: String,
    }
    let package = directory
        .canonicalize()
        .ok()?
        .parent()?
        .join("package.json");
    let package: Package = serde_json::from_slice(&read(&package).ok()?).ok()?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-+".contains(letter);
    let fits = !package.version.is_empty() && package.version.chars().all(plain);
    fits.then_some(package.version)
}

fn etag(version: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("\"unknown\""))
}

/// FNV-1a: tells one build from the next, and guards nothing.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Where npm puts the package.
const PACKAGE: &str = "node_modules/socket.io-client/dist";
/// The file that every version of the package has.
const MAIN: &str = "socket.io.js";
/// The largest file of a package, in bytes: 4 MiB. The largest map has 0.4.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Our own client as it was written.
const OWN: &str = concat!(
    include_str!("bundle/head.js"),
    "(() => {\n",
    include_str!("bundle/engine.js"),
    "\n",
    include_str!("bundle/socket.js"),
    "\n",
    include_str!("bundle/tail.js"),
    "})();\n"
);
/// The same without spaces and long names.
const OWN_MINIFIED: &str = include_str!("bundle/socket.io.min.js");
/// The same as a module.
const OWN_MODULE: &str = include_str!("bundle/socket.io.esm.min.mjs");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_files_are_different_and_small() {
        let Bundle(files) = Bundle::own();
        let names: Vec<_> = files.iter().map(|file| file.name).collect();
        assert_eq!(
            names,
            ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js"]
        );
        assert!(OWN_MINIFIED.len() < 20_000 && OWN_MODULE.len() < 20_000);
        assert!(OWN_MODULE.contains("export{"));
    }
}
