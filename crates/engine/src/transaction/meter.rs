//! `Meter`: the work of one transaction, counted and bounded, so that a request has the same verdict on every machine. No IO.

/// Counts up to a limit.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: u64,
    spent: u64,
    /// How often a regular expression was started.
    pub(crate) started: u64,
    /// Something other than the count reached its limit.
    exceeded: bool,
}

impl Meter {
    /// A meter that has counted nothing yet.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            spent: 0,
            started: 0,
            exceeded: false,
        }
    }

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
        self.exceeded || self.spent > self.limit
    }

    /// How much more work may be done.
    pub(crate) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.spent)
    }

    /// The work so far.
    pub(crate) fn spent(&self) -> u64 {
        self.spent
    }
}
