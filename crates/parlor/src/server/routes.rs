//! What a server answers by HTTP, on its own listeners and inside a server of the embedder's.

use std::sync::Arc;

use super::{Server, settings::http_limits};
use crate::{
    door::{self, engineio::Mount},
    embed::Door,
    http::{self, Entrance, Patience, Reception, Site},
    metrics::{self, Exposition},
    policy::Policy,
};

impl Server {
    /// The routes, with a policy for their requests; with metrics where these are told here.
    pub(super) fn http_router(
        &self,
        policy: &Policy,
        limits: &http::Limits,
        metrics: Option<Arc<Exposition>>,
    ) -> axum::Router {
        let endpoints = Arc::clone(&self.endpoints);
        let routes = http::Routes {
            doors: self.door_routes(),
            polled: self.polled_routes(policy),
            assets: self.assets.clone(),
            pages: self.routes.clone(),
            metrics,
            endpoints: Arc::new(move |path| endpoints.has(path)),
            draining: Arc::clone(&self.draining),
        };
        http::router(routes, policy, limits)
    }

    /// What answers requests that somebody else has read.
    pub(super) fn reception(&self) -> Reception {
        let limits = http_limits(&self.config);
        let doors = self.door_settings();
        let mounts = Arc::clone(&self.mounts);
        let places = Arc::clone(&self.mounts);
        Reception {
            handle: self.handle.clone(),
            claims: Box::new(move |head| door::claims(&doors, head)),
            session: Box::new(move |target| door::session_at(&places, target)),
            site: Site {
                policy: self.visit_policy.clone(),
                checks: Box::new(move |path| door::checks(&mounts, path)),
                router: self.http_router(&self.visit_policy, &limits, None),
                metrics: Arc::clone(&self.metrics),
            },
            limits,
        }
    }

    /// What doors have that hyper serves.
    fn door_routes(&self) -> axum::Router {
        let mut router = axum::Router::new();
        if self.doors.has(Door::Publish) {
            router = router.merge(http::rooms::routes(self.handle.clone()));
        }
        router
    }

    /// What polling of Engine.IO has.
    fn polled_routes(&self, policy: &Policy) -> axum::Router {
        let mut router = axum::Router::new();
        let patience = Patience::new(
            (self.config.head_timeout, self.config.connection_limit()),
            Arc::clone(&self.metrics),
            self.stopping.subscribe(),
        );
        let entrance = |mount: &Arc<Mount>| Entrance {
            mount: Arc::clone(mount),
            policy: policy.clone(),
            patience: patience.clone(),
        };
        let speaks = |mount: &&Arc<Mount>| mount.door == metrics::Door::SocketIo;
        if let Some(mount) = self.mounts.iter().find(speaks) {
            let files = http::bundle_routes(&mount.path, &self.bundle);
            router = router.merge(entrance(mount).layer(files));
        }
        for (place, mount) in self.mounts.iter().enumerate() {
            let entrance = entrance(mount);
            let polled = http::polling::Polled {
                path: mount.path.to_string(),
                place,
                entrance,
                body_bytes_max: mount.options.limits.payload_bytes_max,
                compress_from: mount.compress_from,
            };
            let routes = http::polling::routes(polled, self.handle.clone());
            router = router.merge(routes);
        }
        router
    }
}
