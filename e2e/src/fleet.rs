//! Controllers and caches that belong together: one authority, one Lease.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};

use crate::certificates::{self, Authority};
use crate::environment::checkout;
use crate::mount::Mount;
use crate::namespace::operator_namespace;
use crate::{Cache, Controller, cache, cluster, controller, environment};

/// Flags of controllers whose Lease changes hands in seconds: the default's 15 s would only be waited for.
pub const QUICK_LEASE: [&str; 3] = [
    "--leader-elect-lease-duration=4s",
    "--leader-elect-renew-deadline=3s",
    "--leader-elect-retry-period=500ms",
];

/// Flags of controllers with a CA of their own, as `deploy/` has them. Processes read their files every five seconds, and mounts follow at once.
const OWN_CA: [&str; 4] = [
    "--self-signed-ca-secret=coraza-self-signed-ca",
    "--self-signed-controller-secret=coraza-controller-tls",
    "--self-signed-cache-secret=coraza-cache-tls",
    "--self-signed-propagation-delay=8s",
];

/// How many processes, and with which flags.
#[derive(Debug, Clone)]
pub struct Size {
    /// Controllers: one leads, the others stand by.
    pub controllers: usize,
    /// Caches.
    pub caches: usize,
    /// Flags for each controller.
    pub controller_flags: Vec<String>,
    /// Flags for each cache.
    pub cache_flags: Vec<String>,
    /// Whether the controller makes the certificates.
    pub own_ca: bool,
    /// Whether caches serve rules over TLS.
    pub http_tls: bool,
}

impl Size {
    /// So many, with default flags.
    #[must_use]
    pub fn of(controllers: usize, caches: usize) -> Self {
        Self {
            controllers,
            caches,
            controller_flags: Vec::new(),
            cache_flags: Vec::new(),
            own_ca: false,
            http_tls: false,
        }
    }

    /// Has caches serve rules over TLS.
    #[must_use]
    pub const fn http_tls(mut self) -> Self {
        self.http_tls = true;
        self
    }

    /// Has the controller make the certificates, in the Secrets of `deploy/`, which processes have as files.
    #[must_use]
    pub fn own_ca(mut self) -> Self {
        self.own_ca = true;
        self.controller_flags(&OWN_CA)
    }

    /// Adds flags for each controller.
    #[must_use]
    pub fn controller_flags(mut self, flags: &[&str]) -> Self {
        self.controller_flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    /// Adds flags for each cache.
    #[must_use]
    pub fn cache_flags(mut self, flags: &[&str]) -> Self {
        self.cache_flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }
}

/// Running controllers and caches. Dropping it kills them.
#[derive(Debug)]
pub struct Fleet {
    /// The first one was started first, and leads unless the test changed that.
    pub controllers: Vec<Controller>,
    /// In the order in which they were started.
    pub caches: Vec<Cache>,
    /// Who signed their certificates: for peers that a test plays itself.
    pub authority: Authority,
    /// The namespace of their Lease.
    pub namespace: String,
    size: Size,
    /// How many caches were ever started: names are not used twice.
    started: usize,
    /// What keeps folders of certificates at what Secrets hold.
    mounts: Vec<Mount>,
    /// All controllers watch all namespaces: two fleets at a time would fight over every status.
    _only: Option<OwnedMutexGuard<()>>,
}

static SHARED: OnceCell<Fleet> = OnceCell::const_new();

impl Fleet {
    /// The one controller and two caches that the tests of a *shared* file have in common; ready.
    pub async fn shared() -> &'static Self {
        let fleet = SHARED.get_or_init(|| async {
            let fleet = Self::launch(Size::of(1, 2), None).await;
            fleet.ready().await;
            fleet
        });
        fleet.await
    }

    /// The shared one, if a test has asked for it.
    pub(crate) fn shared_if_started() -> Option<&'static Self> {
        SHARED.get()
    }

    /// A fleet of the test's own, ready. Waits until no other test has one.
    pub async fn start(size: Size) -> Self {
        let fleet = Self::start_unready(size).await;
        fleet.ready().await;
        fleet
    }

    /// As [`start`](Self::start), without waiting for anything of it.
    pub async fn start_unready(size: Size) -> Self {
        static ONE: std::sync::LazyLock<Arc<Mutex<()>>> = std::sync::LazyLock::new(Arc::default);
        assert!(
            SHARED.get().is_none(),
            "a test with a fleet of its own can't be in a file whose tests share one"
        );
        let only = Arc::clone(&ONE).lock_owned().await;
        Self::launch(size, Some(only)).await
    }

    pub(crate) async fn launch(size: Size, only: Option<OwnedMutexGuard<()>>) -> Self {
        cluster::install().await;
        let namespace = operator_namespace().await;
        if size.own_ca {
            let secrets = checkout("deploy/certificates.yaml").display().to_string();
            cluster::kubectl(&[
                "apply",
                "--server-side",
                "--namespace",
                &namespace,
                "--filename",
                &secrets,
            ]);
        }
        if size.http_tls {
            cluster::kubectl(&["create", "configmap", "coraza-cache-ca", "--namespace", &namespace]);
        }
        let (controllers, caches) = (size.controllers, size.caches);
        let mut fleet = Self {
            controllers: Vec::new(),
            caches: Vec::new(),
            authority: Authority::new(),
            namespace,
            size,
            started: 0,
            mounts: Vec::new(),
            _only: only,
        };
        for _ in 0..controllers {
            fleet.add_controller(environment().cluster.controller_kubeconfig.clone());
            // The first one leads.
            if let [first] = fleet.controllers.as_slice()
                && controllers > 1
            {
                first.ready().await;
            }
        }
        for _ in 0..caches {
            fleet.add_cache();
        }
        fleet
    }

    /// Waits until every process says that it is ready.
    pub async fn ready(&self) {
        for controller in &self.controllers {
            controller.ready().await;
        }
        for cache in &self.caches {
            cache.ready().await;
        }
    }

    /// Starts one more controller, with a kubeconfig of the test's own. Caches that run already don't know its address.
    pub fn add_controller(&mut self, kubeconfig: PathBuf) -> &mut Controller {
        let settings = controller::Settings {
            name: format!("controller-{}", self.controllers.len()),
            namespace: self.namespace.clone(),
            identity: (!self.size.own_ca).then(|| self.authority.issue(certificates::CONTROLLER)),
            kubeconfig,
            flags: self.size.controller_flags.clone(),
        };
        let controller = Controller::start(settings);
        self.mount("coraza-controller-tls", controller.tls_dir.clone());
        self.controllers.push(controller);
        self.controllers.last_mut().expect("just added")
    }

    /// Starts one more cache; it isn't ready yet.
    pub fn add_cache(&mut self) -> &mut Cache {
        let settings = self.cache_settings();
        let cache = Cache::start(settings);
        self.mount("coraza-cache-tls", cache.tls_dir.clone());
        self.caches.push(cache);
        self.caches.last_mut().expect("just added")
    }

    /// The settings of one more cache, for a test that changes them.
    pub fn cache_settings(&mut self) -> cache::Settings {
        self.started += 1;
        cache::Settings {
            name: format!("cache-{}", self.started - 1),
            namespace: self.namespace.clone(),
            identity: (!self.size.own_ca).then(|| self.authority.issue(certificates::CACHE)),
            controllers: self.controllers.iter().map(|controller| controller.grpc).collect(),
            kubeconfig: environment().cluster.cache_kubeconfig.clone(),
            http_tls: self.size.http_tls,
            flags: self.size.cache_flags.clone(),
        }
    }

    fn mount(&mut self, secret: &str, folder: PathBuf) {
        if self.size.own_ca {
            let mount = Mount::start(&self.namespace, secret, folder);
            self.mounts.push(mount);
        }
    }

    /// Shows what its processes said about a namespace, for a test that failed.
    pub(crate) fn show_logs_about(&self, namespace: &str) {
        let processes = self
            .controllers
            .iter()
            .map(|controller| &controller.process)
            .chain(self.caches.iter().map(|cache| &cache.process));
        for process in processes {
            process.show_log_about(namespace);
        }
    }
}
