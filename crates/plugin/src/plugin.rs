//! `Plugin`: everything in one VM, behind the callbacks of proxy-wasm. Finds whom a callback is for and passes it on.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use crate::config::{Config, Source};
use crate::host::{Action, Buffer, Headers, Host, Level};
use crate::http::{Outlets, Selected, Stream};
use crate::limiter::Limiter;
use crate::log::event;
use crate::metrics::Metrics;
use crate::root::{Root, Rules, SlotKey, StaticRules, slot_key};
use crate::site::Site;
use crate::slot::{Slot, Vm};

/// The first tick after a configuration, in milliseconds.
const FIRST_TICK: u32 = 20;
/// The largest body of an answer that is looked at, in bytes.
const MAX_ANSWER: usize = 32 << 20;

/// One VM.
#[derive(Debug)]
pub struct Plugin<H> {
    host: H,
    /// This VM among those of the pod; drawn when it is first needed, for the host can't be asked before.
    vm: Option<u64>,
    roots: BTreeMap<u32, Root>,
    slots: BTreeMap<SlotKey, Shared>,
    streams: HashMap<u32, Open>,
    metrics: Metrics,
    limiter: Limiter,
    /// Whether it ever saw a request: the VM of Envoy's main thread never does.
    serves: bool,
}

/// A slot with those that use it.
#[derive(Debug)]
struct Shared {
    slot: Slot,
    /// The newest configuration, which polls; Envoy keeps earlier ones until their last stream is gone.
    newest: u32,
}

/// A stream with its root.
#[derive(Debug)]
struct Open {
    root: u32,
    stream: Stream,
}

impl<H: Host> Plugin<H> {
    /// A VM without configuration.
    #[must_use]
    pub fn new(host: H) -> Self {
        Self {
            host,
            vm: None,
            roots: BTreeMap::new(),
            slots: BTreeMap::new(),
            streams: HashMap::new(),
            metrics: Metrics::default(),
            limiter: Limiter::default(),
            serves: false,
        }
    }

    /// A stream begins, or (if `root` is 0) a configuration.
    pub fn on_context_create(&mut self, context: u32, root: u32) {
        if root != 0 {
            self.streams.insert(
                context,
                Open {
                    root,
                    stream: Stream::default(),
                },
            );
        }
    }

    /// A configuration. Refused only if its own rules are wrong: with rules of a cache, a later configuration must get through.
    pub fn on_configure(&mut self, root: u32, size: usize) -> bool {
        let json = match self.host.buffer(Buffer::Configuration, 0, size) {
            Ok(json) => json,
            Err(status) => {
                event(
                    &self.host,
                    Level::Critical,
                    "coraza_waf_configuration",
                    &[("error", &status.to_string())],
                );
                Vec::new()
            }
        };
        let (config, warnings) = Config::parse(&json);
        for warning in &warnings {
            event(
                &self.host,
                Level::Warn,
                "coraza_waf_configuration",
                &[("warning", warning)],
            );
        }
        let site = Arc::new(Site::new(&config));
        let key = slot_key(&config);
        let rules = match (config.source, key) {
            (Source::Cache(cache), Some(key)) => {
                self.use_slot(root, key.clone(), cache, &site);
                Rules::Slot(key)
            }
            (Source::Static(source), _) => match StaticRules::compile(&self.host, &source, site.work_limit) {
                Some(rules) => Rules::Static(rules),
                None => return false,
            },
            (Source::Cache(_), None) => return true,
        };
        self.release(root, Some(&rules));
        self.roots.insert(root, Root { site, rules });
        true
    }

    fn use_slot(&mut self, root: u32, key: SlotKey, cache: crate::config::Cache, site: &Arc<Site>) {
        let id = self.vm_id();
        let site = Arc::clone(site);
        let mut vm = Vm {
            host: &self.host,
            metrics: &mut self.metrics,
            id,
            serves: self.serves,
        };
        if let Some(shared) = self.slots.get_mut(&key) {
            shared.newest = root;
            shared.slot.reconfigure(cache, site);
        } else {
            let mut slot = Slot::new(cache, site);
            slot.restore(&mut vm);
            self.slots.insert(key, Shared { slot, newest: root });
        }
        // Only from a tick may anything be sent: the VM that tries a configuration out never gets there.
        let _ = self.host.set_tick_period(FIRST_TICK);
    }

    fn vm_id(&mut self) -> u64 {
        let host = &self.host;
        // 0 is nobody's lease.
        *self.vm.get_or_insert_with(|| host.random().max(1))
    }

    /// Time has passed.
    pub fn on_tick(&mut self, root: u32) {
        let id = self.vm_id();
        let period = match self.roots.get(&root).map(|root| &root.rules) {
            Some(Rules::Slot(key)) => match self.slots.get_mut(key) {
                Some(shared) if shared.newest == root => shared.slot.tick(&mut Vm {
                    host: &self.host,
                    metrics: &mut self.metrics,
                    id,
                    serves: self.serves,
                }),
                _ => 0,
            },
            _ => 0,
        };
        let _ = self.host.set_tick_period(period);
    }

    /// A cache answered.
    pub fn on_call_response(&mut self, root: u32, token: u32, size: usize) {
        let id = self.vm_id();
        let Some(Root {
            rules: Rules::Slot(key),
            ..
        }) = self.roots.get(&root)
        else {
            return;
        };
        let Some(shared) = self.slots.get_mut(key).filter(|shared| shared.newest == root) else {
            return;
        };
        let headers = self.host.headers(Headers::CallResponse).unwrap_or_default();
        let body = self
            .host
            .buffer(Buffer::CallResponse, 0, size.min(MAX_ANSWER))
            .unwrap_or_default();
        let mut vm = Vm {
            host: &self.host,
            metrics: &mut self.metrics,
            id,
            serves: self.serves,
        };
        shared.slot.answered(&mut vm, token, &headers, body);
        // Rules are compiled, and news fetched, as soon as a tick can be had.
        let _ = self.host.set_tick_period(5);
    }

    /// The request's head.
    pub fn on_request_headers(&mut self, context: u32, end: bool) -> Action {
        #[cfg(feature = "test-trap")]
        crate::trap::on_request(&self.host);
        let Self {
            roots,
            slots,
            streams,
            host,
            metrics,
            limiter,
            serves,
            ..
        } = self;
        *serves = true;
        let Some(open) = streams.get_mut(&context) else {
            return Action::Continue;
        };
        let Some(root) = roots.get(&open.root) else {
            return Action::Continue;
        };
        let select = |authority: &[u8]| match &root.rules {
            Rules::Static(rules) => rules.select(authority),
            Rules::Slot(key) => {
                let loaded = slots.get(key)?.slot.current()?;
                Some(Selected {
                    loaded: Rc::clone(loaded),
                    authority: None,
                })
            }
        };
        open.stream
            .request_headers(&mut Outlets { host, metrics, limiter }, &root.site, select, end)
    }

    /// A part of the request's body; `size` bytes are held.
    pub fn on_request_body(&mut self, context: u32, size: usize, end: bool) -> Action {
        self.with_stream(context, |stream, outlets| stream.request_body(outlets, size, end))
    }

    /// The request's trailers.
    pub fn on_request_trailers(&mut self, context: u32) -> Action {
        self.with_stream(context, Stream::request_trailers)
    }

    /// The response's head.
    pub fn on_response_headers(&mut self, context: u32, end: bool) -> Action {
        self.with_stream(context, |stream, outlets| stream.response_headers(outlets, end))
    }

    /// A part of the response's body; `size` bytes are held.
    pub fn on_response_body(&mut self, context: u32, size: usize, end: bool) -> Action {
        self.with_stream(context, |stream, outlets| stream.response_body(outlets, size, end))
    }

    /// The response's trailers.
    pub fn on_response_trailers(&mut self, context: u32) -> Action {
        self.with_stream(context, Stream::response_trailers)
    }

    /// The stream is over.
    pub fn on_log(&mut self, context: u32) {
        self.with_stream(context, |stream, outlets| {
            stream.log(outlets);
            Action::Continue
        });
    }

    /// A stream, or a configuration, is gone.
    pub fn on_delete(&mut self, context: u32) {
        if self.streams.remove(&context).is_none() {
            self.release(context, None);
        }
    }

    fn with_stream(
        &mut self,
        context: u32,
        callback: impl FnOnce(&mut Stream, &mut Outlets<'_, H>) -> Action,
    ) -> Action {
        let Some(open) = self.streams.get_mut(&context) else {
            return Action::Continue;
        };
        let outlets = &mut Outlets {
            host: &self.host,
            metrics: &mut self.metrics,
            limiter: &mut self.limiter,
        };
        callback(&mut open.stream, outlets)
    }

    /// A root takes other rules, or goes: a slot that nobody uses any more goes with it.
    fn release(&mut self, root: u32, next: Option<&Rules>) {
        let Some(Root {
            rules: Rules::Slot(key),
            ..
        }) = self.roots.remove(&root)
        else {
            return;
        };
        if matches!(next, Some(Rules::Slot(next)) if *next == key) {
            return;
        }
        let mut users = self
            .roots
            .iter()
            .filter(|(_, root)| matches!(&root.rules, Rules::Slot(used) if *used == key));
        match users.next_back() {
            // The newest of those that are left, should the newest of all go before them.
            Some((&left, _)) => {
                if let Some(shared) = self.slots.get_mut(&key).filter(|shared| shared.newest == root) {
                    shared.newest = left;
                }
            }
            None => {
                let id = self.vm_id();
                if let Some(mut shared) = self.slots.remove(&key) {
                    shared.slot.resign(&Vm {
                        host: &self.host,
                        metrics: &mut self.metrics,
                        id,
                        serves: self.serves,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
