//! The calls of proxy-wasm ABI 0.2.1, both ways, over bytes: the only unsafe code. No decision is made here.
//!
//! The host writes results into memory that it asks us for (`proxy_on_memory_allocate`); each result is then ours.

#![allow(unsafe_code, reason = "calls between WebAssembly and its host pass addresses")]

use std::alloc::{Layout, alloc, dealloc};
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

use super::{Action, Buffer, Call, Headers, Host, Level, LocalResponse, Metric, Pairs, Result, Side, Status};
use crate::plugin::Plugin;

/// The most that the host may ask memory for at once. The largest things that it passes are bodies of answers, which the
/// plugin asks for up to its limits.
const MAX_ALLOCATION: usize = 64 << 20;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(kind: u32, start: usize, length: usize, bytes: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_pairs(kind: u32, bytes: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, bytes: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        bytes: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, value_size: usize, cas: u32) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_close_stream(side: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
}

/// Envoy, or whatever else runs the module.
#[derive(Debug)]
pub(crate) struct Envoy;

fn status(number: u32) -> Result<()> {
    Err(match number {
        0 => return Ok(()),
        1 => Status::NotFound,
        2 => Status::BadArgument,
        7 => Status::Empty,
        8 => Status::CasMismatch,
        10 => Status::InternalFailure,
        other => Status::Other(other),
    })
}

/// What a call wrote into memory of ours.
struct Written {
    bytes: *mut u8,
    size: usize,
}

impl Written {
    const NOTHING: Self = Self {
        bytes: std::ptr::null_mut(),
        size: 0,
    };

    fn take(self) -> Vec<u8> {
        if self.bytes.is_null() {
            return Vec::new();
        }
        // SAFETY: the host gets its memory from `proxy_on_memory_allocate` alone, which makes exactly such allocations, and
        // forgets it when it has passed it.
        unsafe {
            if self.size == 0 {
                dealloc(self.bytes, Layout::new::<u8>());
                return Vec::new();
            }
            Vec::from_raw_parts(self.bytes, self.size, self.size)
        }
    }
}

impl Host for Envoy {
    fn log(&self, level: Level, message: &str) {
        // SAFETY: the host reads the message during the call. Here as in all calls below, lengths belong to their pointers.
        unsafe { proxy_log(level as u32, message.as_ptr(), message.len()) };
    }

    fn now(&self) -> u64 {
        let mut time = 0;
        // SAFETY: the host writes eight bytes.
        unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
        time
    }

    fn random(&self) -> u64 {
        // Seeded by the host (WASI's random_get).
        RandomState::new().hash_one(self.now())
    }

    fn memory(&self) -> u64 {
        const PAGE: usize = 64 << 10;
        u64::try_from(core::arch::wasm32::memory_size::<0>().saturating_mul(PAGE)).unwrap_or(u64::MAX)
    }

    fn set_tick_period(&self, milliseconds: u32) -> Result<()> {
        // SAFETY: a number.
        status(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
    }

    fn buffer(&self, buffer: Buffer, start: usize, length: usize) -> Result<Vec<u8>> {
        let mut written = Written::NOTHING;
        // SAFETY: the host writes an address and a size.
        let number = unsafe {
            proxy_get_buffer_bytes(
                buffer as u32,
                start,
                length,
                &raw mut written.bytes,
                &raw mut written.size,
            )
        };
        match status(number) {
            Err(Status::NotFound | Status::Empty) => Ok(Vec::new()),
            other => other.map(|()| written.take()),
        }
    }

    fn headers(&self, headers: Headers) -> Result<Pairs> {
        let mut written = Written::NOTHING;
        // SAFETY: the host writes an address and a size.
        status(unsafe { proxy_get_header_map_pairs(headers as u32, &raw mut written.bytes, &raw mut written.size) })?;
        Pairs::decode(written.take()).ok_or(Status::InternalFailure)
    }

    fn property(&self, path: &[&str]) -> Result<Vec<u8>> {
        let path = path.join("\0");
        let mut written = Written::NOTHING;
        // SAFETY: the host reads the path and writes an address and a size.
        status(unsafe {
            proxy_get_property(path.as_ptr(), path.len(), &raw mut written.bytes, &raw mut written.size)
        })?;
        Ok(written.take())
    }

    fn set_property(&self, path: &str, value: &[u8]) -> Result<()> {
        // SAFETY: the host reads both.
        status(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
    }

    fn shared(&self, key: &str) -> Result<(Vec<u8>, u32)> {
        let (mut written, mut cas) = (Written::NOTHING, 0);
        // SAFETY: the host reads the key and writes an address, a size and a number.
        status(unsafe {
            let (bytes, size) = (&raw mut written.bytes, &raw mut written.size);
            proxy_get_shared_data(key.as_ptr(), key.len(), bytes, size, &raw mut cas)
        })?;
        Ok((written.take(), cas))
    }

    fn set_shared(&self, key: &str, value: &[u8], cas: u32) -> Result<()> {
        // SAFETY: the host reads both.
        status(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) })
    }

    fn call(&self, call: &Call<'_>) -> Result<u32> {
        let headers = Pairs::encode(call.headers);
        let none = Pairs::encode(&[]);
        let mut token = 0;
        // SAFETY: the host reads all of it and writes a number.
        status(unsafe {
            proxy_http_call(
                call.cluster.as_ptr(),
                call.cluster.len(),
                headers.as_ptr(),
                headers.len(),
                std::ptr::null(),
                0,
                none.as_ptr(),
                none.len(),
                call.timeout,
                &raw mut token,
            )
        })?;
        Ok(token)
    }

    fn respond(&self, response: &LocalResponse<'_>) -> Result<()> {
        let headers = Pairs::encode(response.headers);
        // SAFETY: the host reads all of it.
        status(unsafe {
            proxy_send_local_response(
                response.status.into(),
                response.details.as_ptr(),
                response.details.len(),
                response.body.as_ptr(),
                response.body.len(),
                headers.as_ptr(),
                headers.len(),
                // Not a gRPC status: Envoy makes one of the HTTP status if the request is gRPC.
                -1,
            )
        })
    }

    fn close(&self, side: Side) -> Result<()> {
        // SAFETY: a number.
        status(unsafe { proxy_close_stream(side as u32) })
    }

    fn define_metric(&self, kind: Metric, name: &str) -> Result<u32> {
        let mut id = 0;
        // SAFETY: the host reads the name and writes a number.
        status(unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) })?;
        Ok(id)
    }

    fn add_metric(&self, metric: u32, by: u64) -> Result<()> {
        // SAFETY: numbers.
        status(unsafe { proxy_increment_metric(metric, i64::try_from(by).unwrap_or(i64::MAX)) })
    }

    fn set_metric(&self, metric: u32, to: u64) -> Result<()> {
        // SAFETY: numbers.
        status(unsafe { proxy_record_metric(metric, to) })
    }
}

thread_local! {
    static PLUGIN: RefCell<Plugin<Envoy>> = RefCell::new(Plugin::new(Envoy));
}

/// Runs a callback. Envoy defers what would call us while we are called; should another host not, the inner call does nothing.
fn with<T>(otherwise: T, callback: impl FnOnce(&mut Plugin<Envoy>) -> T) -> T {
    PLUGIN.with(|plugin| match plugin.try_borrow_mut() {
        Ok(mut plugin) => callback(&mut plugin),
        Err(_) => otherwise,
    })
}

unsafe extern "C" {
    fn __wasm_call_ctors();
}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the linker makes it, and this is its one call.
    unsafe { __wasm_call_ctors() };
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    if size > MAX_ALLOCATION {
        return std::ptr::null_mut();
    }
    let Ok(layout) = Layout::array::<u8>(size.max(1)) else {
        return std::ptr::null_mut();
    };
    // SAFETY: the layout is not empty.
    unsafe { alloc(layout) }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    with((), |plugin| plugin.on_context_create(context, root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _size: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
    with(true, |plugin| plugin.on_configure(root, size)).into()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    with((), |plugin| plugin.on_tick(root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(root: u32, token: u32, _headers: usize, body: usize, _trailers: usize) {
    with((), |plugin| plugin.on_call_response(root, token, body));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _headers: usize, end: u32) -> u32 {
    with(Action::Continue, |plugin| plugin.on_request_headers(context, end != 0)) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, size: usize, end: u32) -> u32 {
    with(Action::Continue, |plugin| {
        plugin.on_request_body(context, size, end != 0)
    }) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, _trailers: usize) -> u32 {
    with(Action::Continue, |plugin| plugin.on_request_trailers(context)) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _headers: usize, end: u32) -> u32 {
    with(Action::Continue, |plugin| plugin.on_response_headers(context, end != 0)) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: u32, size: usize, end: u32) -> u32 {
    with(Action::Continue, |plugin| {
        plugin.on_response_body(context, size, end != 0)
    }) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: u32, _trailers: usize) -> u32 {
    with(Action::Continue, |plugin| plugin.on_response_trailers(context)) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(_context: u32) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(context: u32) {
    with((), |plugin| plugin.on_log(context));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    with((), |plugin| plugin.on_delete(context));
}
