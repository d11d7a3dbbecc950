//! `Host`: what Envoy offers to the plugin, as a trait, so that everything but the calls themselves is tested natively.
//!
//! The calls are in [`abi`], which is compiled for WebAssembly only: the one file with unsafe code. Every call may fail at any
//! time with any status, and whatever it gives is bytes.

#[cfg(target_arch = "wasm32")]
mod abi;
#[cfg(test)]
pub(crate) mod mock;
mod pairs;

pub use pairs::Pairs;

/// Why a call failed, by the ABI's numbers (proxy-wasm 0.2.1, `proxy_status_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Status {
    /// There is nothing of this name.
    #[error("not found")]
    NotFound,
    /// An argument can't be; also a call that the phase doesn't allow, or an unknown cluster.
    #[error("bad argument")]
    BadArgument,
    /// There is nothing in it.
    #[error("empty")]
    Empty,
    /// Somebody else wrote first.
    #[error("changed by somebody else")]
    CasMismatch,
    /// The host failed; also a circuit breaker that is open.
    #[error("internal failure")]
    InternalFailure,
    /// Another number.
    #[error("status {0}")]
    Other(u32),
}

/// What a call gives, or why it doesn't.
pub type Result<T> = std::result::Result<T, Status>;

/// The level of a log line, by the ABI's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For developers.
    Debug = 1,
    /// Nothing to do.
    Info = 2,
    /// Somebody may want to know.
    Warn = 3,
    /// Somebody must act.
    Error = 4,
    /// As the Go plugin has it for rules of severity CRITICAL and worse.
    Critical = 5,
}

/// Bytes that the host holds, by the ABI's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Buffer {
    /// The request's body, as far as it is held.
    RequestBody = 0,
    /// The response's body, as far as it is held.
    ResponseBody = 1,
    /// The body of an answer to one of our calls.
    CallResponse = 4,
    /// The plugin's configuration.
    Configuration = 7,
}

/// Headers that the host holds, by the ABI's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Headers {
    /// Of the request.
    Request = 0,
    /// Of the response.
    Response = 2,
    /// Of an answer to one of our calls.
    CallResponse = 6,
}

/// The side of a stream, by the ABI's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Towards the client, while the request is on its way.
    Request = 0,
    /// Towards the client, while the response is on its way.
    Response = 1,
}

/// The kind of a metric, by the ABI's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Only grows.
    Counter = 0,
    /// Is set.
    Gauge = 1,
}

/// Whether Envoy goes on with what it called us for, by the ABI's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It does.
    Continue = 0,
    /// It holds it.
    Pause = 1,
}

/// An answer in the upstream's stead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalResponse<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Header fields beside those that the host adds.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// The body.
    pub body: &'a [u8],
    /// What access logs show as `%RESPONSE_CODE_DETAILS%`.
    pub details: &'a str,
}

/// What a call to a cluster says: a GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Envoy's name of the cluster.
    pub cluster: &'a str,
    /// Header fields, pseudo header fields first.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// How long the answer may take, in milliseconds.
    pub timeout: u32,
}

/// Envoy. Calls mean the context (stream or root) that the callback in progress is for.
pub trait Host {
    /// Writes a line to Envoy's log.
    fn log(&self, level: Level, message: &str);
    /// The time since 1970 in nanoseconds; 0 if the host doesn't say.
    fn now(&self) -> u64;
    /// A number that others can't foresee.
    fn random(&self) -> u64;
    /// How large the VM's memory is, in bytes. It never shrinks.
    fn memory(&self) -> u64;
    /// Asks for a tick each so many milliseconds; 0 for none.
    fn set_tick_period(&self, milliseconds: u32) -> Result<()>;
    /// At most `length` bytes of a buffer from `start` on; nothing if it is empty.
    fn buffer(&self, buffer: Buffer, start: usize, length: usize) -> Result<Vec<u8>>;
    /// All header fields.
    fn headers(&self, headers: Headers) -> Result<Pairs>;
    /// A property of the stream or of Envoy.
    fn property(&self, path: &[&str]) -> Result<Vec<u8>>;
    /// Sets `wasm.<path>` in the stream's filter state.
    fn set_property(&self, path: &str, value: &[u8]) -> Result<()>;
    /// A shared value, with the number that a write must name to be the next one.
    fn shared(&self, key: &str) -> Result<(Vec<u8>, u32)>;
    /// Writes a shared value if nobody else did since `cas` was read; 0 writes in any case.
    fn set_shared(&self, key: &str, value: &[u8], cas: u32) -> Result<()>;
    /// Calls a cluster; the answer comes to `on_http_call_response` with this number.
    fn call(&self, call: &Call<'_>) -> Result<u32>;
    /// Answers the client in the upstream's stead.
    fn respond(&self, response: &LocalResponse<'_>) -> Result<()>;
    /// Ends the stream without an answer, or in the middle of one.
    fn close(&self, side: Side) -> Result<()>;
    /// The number of the metric of this name.
    fn define_metric(&self, kind: Metric, name: &str) -> Result<u32>;
    /// Adds to a counter.
    fn add_metric(&self, metric: u32, by: u64) -> Result<()>;
    /// Sets a gauge.
    fn set_metric(&self, metric: u32, to: u64) -> Result<()>;
}
