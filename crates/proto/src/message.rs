//! What the two ends tell each other, as values of the domain. No IO, no wire format.

use std::collections::BTreeMap;
use std::time::Duration;

use coraza_ruleset::{CompiledRuleSet, Digest, EngineKey, Grant, PollerId, Revision, RuleSetKey, Running, TokenDigest};
use uuid::Uuid;

/// What a cache says. Comes as [`v1alpha1::SubscribeRequest`](crate::v1alpha1::SubscribeRequest).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Who it is and what it holds: once and first.
    Hello(Hello),
    /// Everything up to and including this nonce was applied and is served.
    Ack {
        /// Of the message that is acknowledged.
        nonce: u64,
    },
    /// One message was refused; what the cache had for its key it still serves.
    Nack {
        /// Of the message that was refused.
        nonce: u64,
        /// Why, for a person.
        detail: String,
    },
    /// The answer to [`Body::Recall`].
    Recalled {
        /// Which key was asked for.
        key: RuleSetKey,
        /// The content that was asked for, if the cache still has it.
        ruleset: Option<CompiledRuleSet>,
    },
    /// Who polls: what changed since the last report on this stream, and everything again at times.
    Report(Vec<Poller>),
}

/// A data plane that polls a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poller {
    /// The Engine whose token it bears.
    pub engine: EngineKey,
    /// Which of the Engine's data planes.
    pub id: PollerId,
    /// What it runs.
    pub running: Running,
    /// How long ago it polled; nothing while it holds a waiting poll. In milliseconds on the wire.
    pub seen_ago: Duration,
}

/// How a cache introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The replica's name, for people.
    pub replica: String,
    /// Made when the process started: a new one means that all that was sent is forgotten.
    pub process_id: Uuid,
    /// What it holds and serves now.
    pub holdings: BTreeMap<RuleSetKey, Revision>,
    /// The largest RuleSet that it takes, in bytes of payload.
    pub max_ruleset_bytes: u64,
    /// SHA-256 of the plugin file that it serves, if it serves one.
    pub plugin_digest: Option<[u8; 32]>,
    /// The grants that it holds now.
    pub grants: BTreeMap<TokenDigest, Grant>,
}

/// What a controller says. Comes as [`v1alpha1::SubscribeResponse`](crate::v1alpha1::SubscribeResponse).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Counted up from 1 on each stream.
    pub nonce: u64,
    /// What it says.
    pub body: Body,
}

/// What a controller says, apart from the nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The first message.
    Welcome(Welcome),
    /// Serve this, unless a later revision of the key is served already.
    Upsert(CompiledRuleSet),
    /// Forget this key.
    Remove(RuleSetKey),
    /// Send the content of this digest back.
    Recall {
        /// Of which RuleSet.
        key: RuleSetKey,
        /// Which content of it.
        digest: Digest,
    },
    /// Let the bearers of these tokens in.
    Grants(Vec<Grant>),
    /// Forget these grants.
    Revoke(Vec<TokenDigest>),
    /// All that there was to send at the time of subscription has been sent.
    SnapshotComplete,
}

/// How a controller introduces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// The resourceVersion that the write which acquired the Lease returned: later leaders have larger ones.
    pub epoch: u64,
    /// How long a publisher may be silent before one with a lower epoch is obeyed.
    pub lease_duration: Duration,
}
