//! libmodsecurity through its C functions: the engine that verdicts and speed are compared with. Loads a shared library, writes rules
//! to a temporary folder. The only unsafe code beside the tests: none of it is part of the engine.

#![allow(unsafe_code, reason = "foreign functions")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

use libloading::Library;

/// A request, its response, and who speaks with whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) client: (&'a str, u16),
    pub(crate) server: (&'a str, u16),
    pub(crate) method: &'a [u8],
    pub(crate) uri: &'a [u8],
    /// `HTTP/1.1`.
    pub(crate) protocol: &'a [u8],
    pub(crate) headers: &'a [(Vec<u8>, Vec<u8>)],
    pub(crate) body: &'a [u8],
    pub(crate) response_status: u16,
    pub(crate) response_headers: &'a [(Vec<u8>, Vec<u8>)],
    pub(crate) response_body: &'a [u8],
}

/// What came of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The status of the first intervention.
    pub(crate) status: Option<u16>,
    /// The phase that it came from, 1 to 4.
    pub(crate) phase: Option<u8>,
    /// What was logged, and what the intervention said: it isn't among the former.
    pub(crate) log: Vec<String>,
}

impl Outcome {
    /// The ids of the rules that the log names, in order.
    pub(crate) fn ids(&self) -> Vec<u64> {
        let id = |line: &String| line.split_once("[id \"")?.1.split_once('"')?.0.parse().ok();
        self.log.iter().filter_map(id).collect()
    }
}

/// `ModSecurityIntervention` of `modsecurity/intervention.h`.
#[repr(C)]
struct Intervention {
    status: c_int,
    pause: c_int,
    url: *mut c_char,
    log: *mut c_char,
    disruptive: c_int,
}

type LogCallback = unsafe extern "C" fn(*mut c_void, *const c_void);
type Headers = unsafe extern "C" fn(*mut c_void, *const u8, usize, *const u8, usize) -> c_int;
type Bytes = unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int;
type Step = unsafe extern "C" fn(*mut c_void) -> c_int;

/// The functions that are used, as `modsecurity/{modsecurity,rules_set,transaction}.h` declare them.
struct Functions {
    cleanup: unsafe extern "C" fn(*mut c_void),
    set_log_callback: unsafe extern "C" fn(*mut c_void, LogCallback),
    create_rules: unsafe extern "C" fn() -> *mut c_void,
    add_file: unsafe extern "C" fn(*mut c_void, *const c_char, *mut *const c_char) -> c_int,
    cleanup_rules: Step,
    new_transaction: unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void) -> *mut c_void,
    connection: unsafe extern "C" fn(*mut c_void, *const c_char, c_int, *const c_char, c_int) -> c_int,
    uri: unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, *const c_char) -> c_int,
    add_request_header: Headers,
    request_headers: Step,
    append_request_body: Bytes,
    request_body: Step,
    add_response_header: Headers,
    response_headers: unsafe extern "C" fn(*mut c_void, c_int, *const c_char) -> c_int,
    append_response_body: Bytes,
    response_body: Step,
    logging: Step,
    intervention: unsafe extern "C" fn(*mut c_void, *mut Intervention) -> c_int,
    cleanup_intervention: unsafe extern "C" fn(*mut Intervention),
    cleanup_transaction: unsafe extern "C" fn(*mut c_void),
}

/// libmodsecurity with a set of rules.
pub(crate) struct LibModSecurity {
    functions: Functions,
    engine: *mut c_void,
    rules: *mut c_void,
    // Last, so that its code is there until the others are gone.
    _library: Library,
}

impl LibModSecurity {
    /// Loads the library and the rules: texts as one, with the data files that they name.
    pub(crate) fn load(library: &Path, texts: &[String], files: &BTreeMap<String, Vec<u8>>) -> Result<Self, String> {
        let failed = |error: libloading::Error| format!("{}: {error}", library.display());
        // SAFETY: the library is libmodsecurity, whose initialisers have no requirements.
        let library = unsafe { Library::new(library) }.map_err(failed)?;
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the field's type is the function's in libmodsecurity 3.0's headers.
                *unsafe { library.get($name) }.map_err(failed)?
            };
        }
        let functions = Functions {
            cleanup: function!("msc_cleanup"),
            set_log_callback: function!("msc_set_log_cb"),
            create_rules: function!("msc_create_rules_set"),
            add_file: function!("msc_rules_add_file"),
            cleanup_rules: function!("msc_rules_cleanup"),
            new_transaction: function!("msc_new_transaction"),
            connection: function!("msc_process_connection"),
            uri: function!("msc_process_uri"),
            add_request_header: function!("msc_add_n_request_header"),
            request_headers: function!("msc_process_request_headers"),
            append_request_body: function!("msc_append_request_body"),
            request_body: function!("msc_process_request_body"),
            add_response_header: function!("msc_add_n_response_header"),
            response_headers: function!("msc_process_response_headers"),
            append_response_body: function!("msc_append_response_body"),
            response_body: function!("msc_process_response_body"),
            logging: function!("msc_process_logging"),
            intervention: function!("msc_intervention"),
            cleanup_intervention: function!("msc_intervention_cleanup"),
            cleanup_transaction: function!("msc_transaction_cleanup"),
        };
        let init: unsafe extern "C" fn() -> *mut c_void = function!("msc_init");
        // SAFETY: both functions take nothing, or what the other made.
        let (engine, rules) = unsafe {
            let engine = init();
            (functions.set_log_callback)(engine, note);
            (engine, (functions.create_rules)())
        };
        let loaded = Self {
            functions,
            engine,
            rules,
            _library: library,
        };
        loaded.add(texts, files)?;
        Ok(loaded)
    }

    /// Adds rules from a folder with the data files, since it looks for those beside the rules. All in one file: of settings in
    /// several, the first would win.
    fn add(&self, texts: &[String], files: &BTreeMap<String, Vec<u8>>) -> Result<(), String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).map_err(|error| error.to_string())?;
        }
        let path = folder.path().join("rules.conf");
        let spaced: String = texts.iter().map(|text| spaced(text)).collect();
        std::fs::write(&path, spaced).map_err(|error| error.to_string())?;
        let path = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())?;
        let mut error: *const c_char = ptr::null();
        // SAFETY: the rules are alive, the path ends with a NUL, the error is written only if there is one.
        let added = unsafe { (self.functions.add_file)(self.rules, path.as_ptr(), &raw mut error) };
        if added >= 0 {
            return Ok(());
        }
        // It leaks, once before the program ends.
        Err(text(error).unwrap_or_else(|| "libmodsecurity refuses the rules".to_owned()))
    }

    /// Runs an exchange. `stop`: it ends with the first intervention, as in a server; otherwise all phases run.
    pub(crate) fn run(&self, exchange: &Exchange<'_>, stop: bool) -> Outcome {
        let mut log: Vec<String> = Vec::new();
        // SAFETY: engine and rules are alive; the log outlives the transaction, which ends in this function.
        let transaction =
            unsafe { (self.functions.new_transaction)(self.engine, self.rules, (&raw mut log).cast::<c_void>()) };
        let mut outcome = Outcome::default();
        self.phases(transaction, exchange, stop, &mut outcome);
        // SAFETY: the transaction is alive, and isn't used afterwards.
        unsafe {
            (self.functions.logging)(transaction);
            (self.functions.cleanup_transaction)(transaction);
        }
        outcome.log.splice(0..0, log);
        outcome
    }

    fn phases(&self, transaction: *mut c_void, exchange: &Exchange<'_>, stop: bool, outcome: &mut Outcome) {
        let functions = &self.functions;
        let (client, server) = (c_string(exchange.client.0), c_string(exchange.server.0));
        let (method, uri) = (c_string(exchange.method), c_string(exchange.uri));
        let protocol = exchange.protocol;
        let version = c_string(protocol.strip_prefix(b"HTTP/").unwrap_or(protocol));
        let add = |add: Headers, headers: &[(Vec<u8>, Vec<u8>)]| {
            for (name, value) in headers {
                // SAFETY: the transaction is alive, and copies what it is given.
                unsafe { add(transaction, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
            }
        };
        let append = |append: Bytes, body: &[u8]| {
            // SAFETY: as above.
            unsafe { append(transaction, body.as_ptr(), body.len()) };
        };
        let phases: [&dyn Fn(); 4] = [
            &|| {
                // SAFETY: as above; the strings end with a NUL.
                unsafe {
                    let ports = (c_int::from(exchange.client.1), c_int::from(exchange.server.1));
                    (functions.connection)(transaction, client.as_ptr(), ports.0, server.as_ptr(), ports.1);
                    (functions.uri)(transaction, uri.as_ptr(), method.as_ptr(), version.as_ptr());
                }
                add(functions.add_request_header, exchange.headers);
                // SAFETY: as above.
                unsafe { (functions.request_headers)(transaction) };
            },
            &|| {
                append(functions.append_request_body, exchange.body);
                // SAFETY: as above.
                unsafe { (functions.request_body)(transaction) };
            },
            &|| {
                add(functions.add_response_header, exchange.response_headers);
                let status = c_int::from(exchange.response_status);
                // SAFETY: as above.
                unsafe { (functions.response_headers)(transaction, status, c"HTTP/1.1".as_ptr()) };
            },
            &|| {
                append(functions.append_response_body, exchange.response_body);
                // SAFETY: as above.
                unsafe { (functions.response_body)(transaction) };
            },
        ];
        for (phase, run) in (1..).zip(phases) {
            run();
            let Some((status, log)) = self.intervention(transaction) else {
                continue;
            };
            if outcome.status.is_none() {
                outcome.status = Some(status);
                outcome.phase = Some(phase);
            }
            outcome.log.extend(log);
            if stop {
                return;
            }
        }
    }

    /// The intervention that is due, if any: its status and what it says.
    fn intervention(&self, transaction: *mut c_void) -> Option<(u16, Option<String>)> {
        let mut intervention = Intervention {
            status: 200,
            pause: 0,
            url: ptr::null_mut(),
            log: ptr::null_mut(),
            disruptive: 0,
        };
        // SAFETY: the transaction is alive; texts that it allocates are copied, then freed by the library that made them.
        unsafe {
            let due = (self.functions.intervention)(transaction, &raw mut intervention);
            // Cleaning up resets the status too.
            let status = u16::try_from(intervention.status).unwrap_or_default();
            let log = text(intervention.log);
            (self.functions.cleanup_intervention)(&raw mut intervention);
            (due != 0).then_some((status, log))
        }
    }
}

impl Drop for LibModSecurity {
    fn drop(&mut self) {
        // SAFETY: all transactions have ended; neither is used afterwards.
        unsafe {
            (self.functions.cleanup_rules)(self.rules);
            (self.functions.cleanup)(self.engine);
        }
    }
}

/// Takes a line of the log.
unsafe extern "C" fn note(log: *mut c_void, line: *const c_void) {
    // SAFETY: `run` passes a vector that lives as long as the transaction, and nothing else refers to it meanwhile.
    let log = unsafe { &mut *log.cast::<Vec<String>>() };
    log.extend(text(line.cast()));
}

/// A text of the library's, if there is one.
fn text(text: *const c_char) -> Option<String> {
    // SAFETY: it is null or ends with a NUL; it lives while it is copied.
    let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })?;
    Some(text.to_string_lossy().into_owned())
}

/// A text for the library, up to its first NUL: that is what it would read.
fn c_string(text: impl AsRef<[u8]>) -> CString {
    let bytes = text.as_ref().split(|byte| *byte == 0).next().unwrap_or_default();
    CString::new(bytes).unwrap_or_default()
}

/// Directives that it refuses, and that change no verdict.
const REFUSED: [&str; 1] = ["SecRequestBodyInMemoryLimit"];

/// Rules with an empty line after each directive: without one the parser takes some directives for a part of those before.
fn spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() * 2);
    for line in text.lines() {
        if REFUSED.iter().any(|directive| line.starts_with(directive)) {
            continue;
        }
        spaced.push_str(line);
        spaced.push('\n');
        if !line.trim_end().ends_with('\\') {
            spaced.push('\n');
        }
    }
    spaced
}
