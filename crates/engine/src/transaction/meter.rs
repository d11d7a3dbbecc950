//! `Meter`: the work of one transaction, counted and bounded, so that a request has the same verdict on every machine. No IO.

/// The most work of one transaction, in bytes that an operator or a transformation looks at. About a quarter of a second in
/// WebAssembly: past it, one request would stall all others of its worker for longer than people wait.
const LIMIT: u64 = 200_000_000;

/// Counts up to a limit.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    spent: u64,
    /// Something other than the count reached its limit.
    exceeded: bool,
}

impl Meter {
    /// Counts work.
    pub(crate) fn charge(&mut self, bytes: u64) {
        self.spent = self.spent.saturating_add(bytes);
    }

    /// Says that a limit of its own kind is reached.
    pub(crate) fn exceed(&mut self) {
        self.exceeded = true;
    }

    /// Whether no more work is to be done.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.exceeded || self.spent > LIMIT
    }

    /// The work so far.
    pub(crate) fn spent(&self) -> u64 {
        self.spent
    }
}
