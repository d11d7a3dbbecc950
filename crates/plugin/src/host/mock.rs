//! A host for tests: remembers what it is asked for, and fails where it is told to.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::{Buffer, Call, Headers, Host, Level, LocalResponse, Metric, Pairs, Result, Side, Status};

/// A response that was sent in the upstream's stead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// A call to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) cluster: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) timeout: u32,
}

impl Sent {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| &**value)
    }
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;
type SharedValues = HashMap<String, (Vec<u8>, u32)>;
type Hook = Box<dyn FnOnce(&MockHost)>;

#[derive(Default)]
pub(crate) struct MockHost {
    pub(crate) time: Cell<u64>,
    /// How many nanoseconds pass between two looks at the clock.
    pub(crate) slowness: Cell<u64>,
    vm: Cell<u64>,
    pub(crate) tick: Cell<u32>,
    pub(crate) logs: RefCell<Vec<(Level, String)>>,
    pub(crate) buffers: RefCell<HashMap<Buffer, Vec<u8>>>,
    pub(crate) header_maps: RefCell<HashMap<Headers, Fields>>,
    pub(crate) properties: RefCell<HashMap<String, Vec<u8>>>,
    pub(crate) filter_state: RefCell<BTreeMap<String, Vec<u8>>>,
    shared: Rc<RefCell<SharedValues>>,
    pub(crate) calls: RefCell<Vec<Sent>>,
    pub(crate) responses: RefCell<Vec<Response>>,
    pub(crate) closed: RefCell<Vec<Side>>,
    pub(crate) metrics: RefCell<Vec<(String, u64)>>,
    /// How many calls were made.
    pub(crate) asked: Cell<usize>,
    /// The call that fails, counted from 0, and whether all after it do too.
    pub(crate) failing: Cell<Option<(usize, bool)>>,
    hook: RefCell<Option<Hook>>,
}

impl MockHost {
    /// Another VM of the same Envoy: what is shared is shared with it.
    pub(crate) fn beside(&self) -> Self {
        Self {
            shared: Rc::clone(&self.shared),
            time: self.time.clone(),
            vm: Cell::new(self.vm.get() + 1),
            ..Self::default()
        }
    }

    pub(crate) fn shared_values(&self) -> Vec<Vec<u8>> {
        self.shared.borrow().values().map(|(value, _)| value.clone()).collect()
    }

    pub(crate) fn before_next_set_shared(&self, hook: impl FnOnce(&MockHost) + 'static) {
        *self.hook.borrow_mut() = Some(Box::new(hook));
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics.borrow();
        metrics
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| *value)
            .unwrap_or_default()
    }

    pub(crate) fn log_text(&self) -> String {
        self.logs.borrow().iter().map(|(_, line)| format!("{line}\n")).collect()
    }

    fn ask(&self) -> Result<()> {
        let asked = self.asked.get();
        self.asked.set(asked + 1);
        match self.failing.get() {
            Some((at, all)) if at == asked || (all && asked > at) => Err(Status::InternalFailure),
            _ => Ok(()),
        }
    }
}

impl Host for MockHost {
    fn log(&self, level: Level, message: &str) {
        self.logs.borrow_mut().push((level, message.to_owned()));
    }

    fn now(&self) -> u64 {
        self.time.set(self.time.get() + self.slowness.get());
        self.time.get()
    }

    fn random(&self) -> u64 {
        4 + self.vm.get()
    }

    fn memory(&self) -> u64 {
        1 << 20
    }

    fn set_tick_period(&self, milliseconds: u32) -> Result<()> {
        self.ask()?;
        self.tick.set(milliseconds);
        Ok(())
    }

    fn buffer(&self, buffer: Buffer, start: usize, length: usize) -> Result<Vec<u8>> {
        self.ask()?;
        let buffers = self.buffers.borrow();
        let bytes = buffers.get(&buffer).map(Vec::as_slice).unwrap_or_default();
        let rest = bytes.get(start..).unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest).to_vec())
    }

    fn headers(&self, headers: Headers) -> Result<Pairs> {
        self.ask()?;
        let maps = self.header_maps.borrow();
        let pairs = maps.get(&headers).map(Vec::as_slice).unwrap_or_default();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        Pairs::decode(Pairs::encode(&pairs)).ok_or(Status::InternalFailure)
    }

    fn property(&self, path: &[&str]) -> Result<Vec<u8>> {
        self.ask()?;
        self.properties
            .borrow()
            .get(&path.join("."))
            .cloned()
            .ok_or(Status::NotFound)
    }

    fn set_property(&self, path: &str, value: &[u8]) -> Result<()> {
        self.ask()?;
        self.filter_state.borrow_mut().insert(path.to_owned(), value.to_vec());
        Ok(())
    }

    fn shared(&self, key: &str) -> Result<(Vec<u8>, u32)> {
        self.ask()?;
        self.shared.borrow().get(key).cloned().ok_or(Status::NotFound)
    }

    fn set_shared(&self, key: &str, value: &[u8], cas: u32) -> Result<()> {
        let hook = self.hook.borrow_mut().take();
        if let Some(hook) = hook {
            hook(self);
        }
        self.ask()?;
        let mut shared = self.shared.borrow_mut();
        let known = shared.get(key).map(|(_, cas)| *cas).unwrap_or_default();
        if cas != 0 && cas != known {
            return Err(Status::CasMismatch);
        }
        shared.insert(key.to_owned(), (value.to_vec(), known + 1));
        Ok(())
    }

    fn call(&self, call: &Call<'_>) -> Result<u32> {
        self.ask()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut calls = self.calls.borrow_mut();
        calls.push(Sent {
            cluster: call.cluster.to_owned(),
            headers: call
                .headers
                .iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            timeout: call.timeout,
        });
        Ok(u32::try_from(calls.len()).expect("few calls"))
    }

    fn respond(&self, response: &LocalResponse<'_>) -> Result<()> {
        self.ask()?;
        let headers = response.headers.iter();
        self.responses.borrow_mut().push(Response {
            status: response.status,
            headers: headers
                .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
                .collect(),
            body: response.body.to_vec(),
        });
        Ok(())
    }

    fn close(&self, side: Side) -> Result<()> {
        self.ask()?;
        self.closed.borrow_mut().push(side);
        Ok(())
    }

    fn define_metric(&self, kind: Metric, name: &str) -> Result<u32> {
        crate::metrics::catalogue::check(kind, name);
        self.ask()?;
        let mut metrics = self.metrics.borrow_mut();
        if let Some(at) = metrics.iter().position(|(found, _)| found == name) {
            return Ok(u32::try_from(at).expect("few metrics"));
        }
        metrics.push((name.to_owned(), 0));
        Ok(u32::try_from(metrics.len() - 1).expect("few metrics"))
    }

    fn add_metric(&self, metric: u32, by: u64) -> Result<()> {
        self.ask()?;
        if let Some((_, value)) = self.metrics.borrow_mut().get_mut(metric as usize) {
            *value += by;
        }
        Ok(())
    }

    fn set_metric(&self, metric: u32, to: u64) -> Result<()> {
        self.ask()?;
        if let Some((_, value)) = self.metrics.borrow_mut().get_mut(metric as usize) {
            *value = to;
        }
        Ok(())
    }
}
