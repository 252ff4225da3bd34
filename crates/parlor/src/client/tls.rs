//! TLS by rustls, for `wss:` and `https:`.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::{ConnectError, connect::BoxedIo};

/// What a connection with TLS needs to know.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) config: Option<Arc<ClientConfig>>,
    pub(super) server_name: Option<String>,
}

/// Does the TLS handshake.
pub(super) async fn handshake(
    io: BoxedIo,
    host: &str,
    settings: &Settings,
) -> Result<BoxedIo, ConnectError> {
    let config = match &settings.config {
        Some(config) => Arc::clone(config),
        None => system_config()?,
    };
    let name = settings.server_name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned()).map_err(|_| ConnectError::Unsupported {
        what: "this server name in TLS",
    })?;
    let stream = TlsConnector::from(config).connect(name, io).await?;
    Ok(Box::new(stream))
}

/// The roots of the system, read once.
fn system_config() -> Result<Arc<ClientConfig>, ConnectError> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let none = "the system has no root certificates";
        return Err(io::Error::new(io::ErrorKind::NotFound, none).into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}
