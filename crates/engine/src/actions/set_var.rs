//! `setvar`: changes of TX. No IO.

use coraza_seclang::rules::{Change, SetVar, Variable};

use crate::operators::number;
use crate::transaction::State;

/// How many bytes TX may hold, keys and values: a rule that stores each argument must not let a client fill the memory.
const MAX_TX_BYTES: usize = 8 << 20;

impl State {
    pub(super) fn set_var(&mut self, set_var: &SetVar) {
        let key = self.expand(&set_var.key);
        let value = match &set_var.change {
            Change::Remove => {
                self.variables.collection_mut(Variable::Tx).remove(&key);
                return;
            }
            Change::Set(value) => self.expand_whole(value),
            Change::Add(amount) => self.sum(&key, number::parse(&self.expand(amount))),
            Change::Subtract(amount) => self.sum(&key, number::parse(&self.expand(amount)).saturating_neg()),
        };
        self.tx_bytes = self.tx_bytes.saturating_add(key.len() + value.len());
        // The key is looked for among all others.
        let held = self.variables.collection_mut(Variable::Tx).iter().len();
        self.meter.charge((key.len() + value.len() + held) as u64);
        if self.tx_bytes > MAX_TX_BYTES {
            self.meter.exceed();
            return;
        }
        self.variables.collection_mut(Variable::Tx).set(&key, value);
    }

    /// The number under a key, and one more; what isn't there or is no number counts as 0.
    fn sum(&self, key: &[u8], amount: i64) -> Vec<u8> {
        let now = self
            .variables
            .find(Variable::Tx, key)
            .map_or(0, |value| number::parse(value));
        now.saturating_add(amount).to_string().into_bytes()
    }
}
