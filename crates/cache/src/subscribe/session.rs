//! One subscription, from the publisher's Welcome on. *Pure*: a message and a clock's value in; changes to the store, and replies, out.

use std::time::{Instant, SystemTime};

use coraza_proto::convert::InvalidResponse;
use coraza_proto::{Body, Request, Response, Welcome};
use coraza_ruleset::CompiledRuleSet;

use super::fence::{Fence, StaleEpoch};
use crate::auth::grants::{Grants, TooMany};
use crate::store::{Applied, Store, StoreUpdate};
use coraza_runtime::log::chain;

/// A subscription.
#[derive(Debug)]
pub struct Session {
    fence: Fence,
    max_ruleset_bytes: u64,
    progress: Progress,
    last_nonce: u64,
}

/// How far a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Hello was sent.
    Greeting,
    /// The publisher is obeyed.
    Snapshot {
        /// The publisher's.
        epoch: u64,
    },
    /// All that there was at the time of subscription is here.
    Complete {
        /// The publisher's.
        epoch: u64,
    },
}

/// Why this subscription ends: another controller is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was deposed.
    #[error(transparent)]
    StaleEpoch(#[from] StaleEpoch),
    /// It doesn't speak this protocol.
    #[error("the publisher began with something else than Welcome")]
    WelcomeExpected,
}

/// Why a message is refused.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Invalid(InvalidResponse),
    #[error("Welcome was said already")]
    SecondWelcome,
    #[error("ruleset {key} has {bytes} bytes, and this cache takes {limit} (--max-ruleset-bytes)")]
    Oversized { key: String, bytes: u64, limit: u64 },
    #[error("ruleset {key} of {timestamp} is older than the one of {held} that is served")]
    Stale {
        key: String,
        timestamp: String,
        held: String,
    },
    #[error(transparent)]
    Grants(#[from] TooMany),
}

/// What a publisher's messages change.
#[derive(Debug, Clone)]
pub struct Held {
    /// What is served.
    pub store: Store,
    /// Who may read it.
    pub grants: Grants,
}

impl Session {
    /// A subscription whose Hello was sent.
    #[must_use]
    pub fn new(fence: Fence, max_ruleset_bytes: u64) -> Self {
        Self {
            fence,
            max_ruleset_bytes,
            progress: Progress::Greeting,
            last_nonce: 0,
        }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Which publisher is obeyed: to be remembered for the next subscription.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Takes in a message, applies it to `held`, and says what to reply, in order.
    ///
    /// # Errors
    /// [`Refusal`] if this publisher is not to be obeyed at all.
    pub fn hear(
        &mut self,
        message: Result<Response, InvalidResponse>,
        held: &Held,
        now: Instant,
        wall: SystemTime,
    ) -> Result<Vec<Request>, Refusal> {
        let nonce = message
            .as_ref()
            .map_or_else(|invalid| invalid.nonce, |response| response.nonce);
        if self.progress == Progress::Greeting {
            let Ok(Response {
                body: Body::Welcome(welcome),
                ..
            }) = message
            else {
                return Err(Refusal::WelcomeExpected);
            };
            self.fence.admit(welcome, now)?;
            self.progress = Progress::Snapshot { epoch: welcome.epoch };
            self.last_nonce = nonce;
            return Ok(vec![Request::Ack { nonce }]);
        }
        self.fence.heard(now);
        // Nonces count up: what comes again was answered, and a Remove that comes again late could undo what came after it.
        if nonce <= self.last_nonce {
            return Ok(Vec::new());
        }
        self.last_nonce = nonce;
        let mut replies = Vec::with_capacity(2);
        let applied = message
            .map_err(Unusable::Invalid)
            .and_then(|response| self.apply(response.body, held, wall, &mut replies));
        replies.push(match applied {
            Ok(()) => Request::Ack { nonce },
            Err(unusable) => Request::Nack {
                nonce,
                detail: chain(&unusable),
            },
        });
        Ok(replies)
    }

    fn apply(&mut self, body: Body, held: &Held, wall: SystemTime, replies: &mut Vec<Request>) -> Result<(), Unusable> {
        match body {
            Body::Welcome(Welcome { .. }) => return Err(Unusable::SecondWelcome),
            Body::Upsert(ruleset) => return self.upsert(ruleset, &held.store),
            Body::Remove(key) => {
                held.store.apply(StoreUpdate::Remove(key));
            }
            Body::Recall { key, digest } => {
                let ruleset = held.store.recall(&key, &digest);
                replies.push(Request::Recalled { key, ruleset });
            }
            Body::Grants(grants) => held.grants.grant(grants, wall)?,
            Body::Revoke(tokens) => held.grants.revoke(&tokens),
            Body::SnapshotComplete => {
                held.grants.complete();
                if let Progress::Snapshot { epoch } = self.progress {
                    self.progress = Progress::Complete { epoch };
                }
            }
        }
        Ok(())
    }

    fn upsert(&self, ruleset: CompiledRuleSet, store: &Store) -> Result<(), Unusable> {
        let (bytes, limit) = (
            u64::try_from(ruleset.content.size()).unwrap_or(u64::MAX),
            self.max_ruleset_bytes,
        );
        if bytes > limit {
            return Err(Unusable::Oversized {
                key: ruleset.key.to_string(),
                bytes,
                limit,
            });
        }
        let (key, timestamp) = (ruleset.key.clone(), ruleset.revision.timestamp);
        match store.apply(StoreUpdate::Upsert(ruleset)) {
            Applied::Stale { held } => Err(Unusable::Stale {
                key: key.to_string(),
                timestamp: timestamp.to_string(),
                held: held.timestamp.to_string(),
            }),
            Applied::Served | Applied::Unchanged | Applied::Removed | Applied::Absent => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
