//! What the workers of a pod share: who polls, which rules there are, who runs which. Values and the few calls around them.
//!
//! Shared data is one namespace for all plugins of an Envoy, so nothing in it is trusted: names and signatures are made with a
//! key of the cache's token, and what isn't signed so is as good as absent.
//!
//! | key | value, each signed |
//! |---|---|
//! | `<prefix>/lease` | which VM polls, and until when |
//! | `<prefix>/rules` | the last good revision, and the digest of its body |
//! | `<prefix>/body` | the body, in gzip; not signed, for its digest is |
//! | `<prefix>/workers` | which revision each VM runs |

mod workers;

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::config::Cache;
use crate::host::{Host, Status};
use crate::revision::Revision;
pub use workers::{Workers, Worst};

/// How long a VM that doesn't renew its lease keeps it, in nanoseconds. A worker that serves is never away for so long.
pub const LEASE: u64 = 3_000_000_000;
const SIGNATURE: usize = 32;

/// The names and the key of one configuration's values.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    prefix: String,
    secret: [u8; SIGNATURE],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// The last good revision as it is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Which one.
    pub revision: Revision,
    /// SHA-256 of its body.
    digest: [u8; 32],
}

/// What came of trying to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// This VM polls.
    Mine,
    /// This VM asked first, perhaps with others: the next look tells.
    Claimed,
    /// Another one does.
    Others,
}

impl Keys {
    /// Those of a configuration. Another token has others, which nobody who lacks it can name.
    #[must_use]
    pub fn new(cache: &Cache) -> Self {
        let derive = |purpose: &str| {
            let mut mac = keyed(cache.token.as_bytes());
            for part in ["coraza-waf", purpose, &cache.cluster, &cache.instance] {
                mac.update(&u64::try_from(part.len()).unwrap_or_default().to_le_bytes());
                mac.update(part.as_bytes());
            }
            <[u8; SIGNATURE]>::from(mac.finalize().into_bytes())
        };
        let name = derive("name");
        let hex: String = name.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self {
            prefix: format!("coraza-waf/{hex}"),
            secret: derive("signature"),
        }
    }

    fn name(&self, value: &str) -> String {
        format!("{}/{value}", self.prefix)
    }

    fn sign(&self, value: &str, text: &str) -> Vec<u8> {
        let mut signed = self.signature(value, text.as_bytes()).to_vec();
        signed.extend_from_slice(text.as_bytes());
        signed
    }

    fn verify<'a>(&self, value: &str, signed: &'a [u8]) -> Option<&'a str> {
        let (signature, text) = signed.split_at_checked(SIGNATURE)?;
        let mut mac = keyed(&self.secret);
        mac.update(value.as_bytes());
        mac.update(&[0]);
        mac.update(text);
        mac.verify_slice(signature).ok()?;
        std::str::from_utf8(text).ok()
    }

    fn signature(&self, value: &str, text: &[u8]) -> [u8; SIGNATURE] {
        let mut mac = keyed(&self.secret);
        mac.update(value.as_bytes());
        mac.update(&[0]);
        mac.update(text);
        mac.finalize().into_bytes().into()
    }

    /// Takes or renews the lease for `vm`, if nobody else has it.
    pub fn lead(&self, host: &impl Host, vm: u64, now: u64) -> Lead {
        let name = self.name("lease");
        let mine = self.sign("lease", &format!("{vm} {}", now.saturating_add(LEASE)));
        match host.shared(&name) {
            Ok((value, cas)) => {
                let holder = self.verify("lease", &value).and_then(lease);
                // A lease far in the future is of a clock that was set back since.
                let others = holder.is_some_and(|(holder, until)| {
                    holder != vm && until > now && until <= now.saturating_add(2 * LEASE)
                });
                if !others && host.set_shared(&name, &mine, cas).is_ok() {
                    Lead::Mine
                } else {
                    Lead::Others
                }
            }
            // The first write can't be conditional, so two VMs may do it at once; the second look is.
            Err(Status::NotFound) if host.set_shared(&name, &mine, 0).is_ok() => Lead::Claimed,
            Err(_) => Lead::Others,
        }
    }

    /// Gives the lease up if `vm` has it, so that another VM need not wait for its end.
    pub fn resign(&self, host: &impl Host, vm: u64) {
        let name = self.name("lease");
        if let Ok((value, cas)) = host.shared(&name)
            && self
                .verify("lease", &value)
                .and_then(lease)
                .is_some_and(|(holder, _)| holder == vm)
        {
            let _ = host.set_shared(&name, &self.sign("lease", "0 0"), cas);
        }
    }

    /// Gives all workers the body of a revision that was found good.
    ///
    /// # Errors
    /// As the host has them.
    pub fn publish(&self, host: &impl Host, revision: &Revision, gzip: &[u8]) -> Result<(), Status> {
        let digest: [u8; 32] = Sha256::digest(gzip).into();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        // The body first: who sees the announcement finds it.
        host.set_shared(&self.name("body"), gzip, 0)?;
        let text = format!("{} {} {hex}", revision.timestamp, revision.uuid);
        host.set_shared(&self.name("rules"), &self.sign("rules", &text), 0)
    }

    /// Removes what another token's keys named, as far as that can be done: values can be emptied only.
    pub fn clear(&self, host: &impl Host) {
        for value in ["rules", "body", "lease", "workers"] {
            let _ = host.set_shared(&self.name(value), &[], 0);
        }
    }

    /// The last good revision, if anything believable is announced.
    pub fn announced(&self, host: &impl Host) -> Option<Announcement> {
        let (value, _) = host.shared(&self.name("rules")).ok()?;
        let mut parts = self.verify("rules", &value)?.split(' ');
        let (timestamp, uuid, hex) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        let mut digest = [0; 32];
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        let revision = Revision {
            timestamp,
            ..Revision::new(uuid, "")?
        };
        Some(Announcement { revision, digest })
    }

    /// The body of what is announced, unless somebody else wrote there.
    pub fn body(&self, host: &impl Host, announcement: &Announcement) -> Option<Vec<u8>> {
        let (gzip, _) = host.shared(&self.name("body")).ok()?;
        let digest: [u8; 32] = Sha256::digest(&gzip).into();
        (digest == announcement.digest).then_some(gzip)
    }

    /// Says which revision `vm` runs, and gives what the others said. What can't be written now is written the next time.
    pub fn report(&self, host: &impl Host, vm: u64, revision: Option<&Revision>, now: u64) -> Workers {
        let name = self.name("workers");
        let (value, cas) = host.shared(&name).unwrap_or_default();
        let mut workers = self.verify("workers", &value).map(Workers::read).unwrap_or_default();
        workers.set(vm, revision, now);
        let _ = host.set_shared(&name, &self.sign("workers", &workers.write()), cas);
        workers
    }

    /// Says that `vm` goes: its silence isn't that of one that trapped.
    pub fn leave(&self, host: &impl Host, vm: u64) {
        let name = self.name("workers");
        let Ok((value, cas)) = host.shared(&name) else { return };
        let mut workers = self.verify("workers", &value).map(Workers::read).unwrap_or_default();
        workers.remove(vm);
        let _ = host.set_shared(&name, &self.sign("workers", &workers.write()), cas);
    }

    /// What all said.
    pub fn workers(&self, host: &impl Host) -> Workers {
        let value = host
            .shared(&self.name("workers"))
            .map(|(value, _)| value)
            .unwrap_or_default();
        self.verify("workers", &value).map(Workers::read).unwrap_or_default()
    }
}

fn lease(text: &str) -> Option<(u64, u64)> {
    let (holder, until) = text.split_once(' ')?;
    Some((holder.parse().ok()?, until.parse().ok()?))
}

#[allow(
    clippy::expect_used,
    reason = "an HMAC takes keys of any length; its interface is of all MACs"
)]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::mock::MockHost;

    const SECOND: u64 = 1_000_000_000;

    fn keys(token: &str) -> Keys {
        Keys::new(&Cache {
            cluster: "c".into(),
            instance: "ns/name".into(),
            token: token.into(),
            interval: None,
            max_rules_bytes: 0,
        })
    }

    fn revision(uuid: &str, timestamp: u64) -> Revision {
        Revision {
            uuid: uuid.into(),
            timestamp,
        }
    }

    #[test]
    fn one_vm_leads_until_it_stops_to_renew() {
        let (host, keys) = (MockHost::default(), keys("token"));
        let now = 100 * SECOND;
        assert_eq!(keys.lead(&host, 1, now), Lead::Claimed);
        assert_eq!(keys.lead(&host, 2, now), Lead::Others);
        assert_eq!(keys.lead(&host, 1, now + SECOND), Lead::Mine);
        assert_eq!(keys.lead(&host, 2, now + 3 * SECOND), Lead::Others);
        assert_eq!(keys.lead(&host, 2, now + 4 * SECOND), Lead::Mine);
        assert_eq!(keys.lead(&host, 1, now + 4 * SECOND), Lead::Others);
        keys.resign(&host, 1);
        assert_eq!(keys.lead(&host, 1, now + 4 * SECOND), Lead::Others);
        keys.resign(&host, 2);
        assert_eq!(keys.lead(&host, 1, now + 4 * SECOND), Lead::Mine);
        assert_eq!(
            keys.lead(&host, 2, now - 50 * SECOND),
            Lead::Mine,
            "the clock was set back"
        );
    }

    #[test]
    fn of_two_vms_that_see_the_same_lease_one_gets_it() {
        let (host, keys) = (MockHost::default(), keys("token"));
        keys.lead(&host, 1, 0);
        let later = 10 * SECOND;
        // Another VM writes between this one's look and its write.
        host.before_next_set_shared({
            let keys = keys.clone();
            move |host| assert_eq!(keys.lead(host, 3, later), Lead::Mine)
        });
        assert_eq!(keys.lead(&host, 2, later), Lead::Others);
    }

    #[test]
    fn rules_are_found_by_who_has_the_token_alone() {
        let (host, keys_a, keys_b) = (MockHost::default(), keys("a"), keys("b"));
        assert_eq!(keys_a.announced(&host), None);
        keys_a.publish(&host, &revision("u", 7), b"body").expect("published");
        let announced = keys_a.announced(&host).expect("announced");
        assert_eq!(announced.revision, revision("u", 7));
        assert_eq!(keys_a.body(&host, &announced).as_deref(), Some(&b"body"[..]));
        assert_eq!(keys_b.announced(&host), None);
        keys_a.clear(&host);
        assert_eq!(keys_a.announced(&host), None);
    }

    #[test]
    fn what_somebody_else_wrote_is_absent() {
        let (host, keys) = (MockHost::default(), keys("token"));
        keys.publish(&host, &revision("u", 7), b"body").expect("published");
        let announced = keys.announced(&host).expect("announced");
        host.set_shared(&keys.name("body"), b"other", 0).expect("set");
        assert_eq!(keys.body(&host, &announced), None);
        let (good, _) = host.shared(&keys.name("rules")).expect("there");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            host.set_shared(&keys.name("rules"), &bad, 0).expect("set");
            assert_eq!(keys.announced(&host), None, "{at}");
        }
        // Not even our own signature of something else.
        let lease = keys.sign("lease", "7 u 00");
        host.set_shared(&keys.name("rules"), &lease, 0).expect("set");
        assert_eq!(keys.announced(&host), None);
        host.set_shared(&keys.name("lease"), b"1 99999999999999999999", 0)
            .expect("set");
        assert_eq!(keys.lead(&host, 1, SECOND), Lead::Mine);
    }

    #[test]
    fn the_worst_worker_counts() {
        let (host, keys) = (MockHost::default(), keys("token"));
        let (old, new) = (revision("old", 1), revision("new", 2));
        keys.report(&host, 1, Some(&new), SECOND);
        assert_eq!(keys.workers(&host).worst(SECOND), Worst::Revision(new.clone()));
        keys.report(&host, 2, Some(&old), SECOND);
        assert_eq!(keys.workers(&host).worst(SECOND), Worst::Revision(old));
        keys.report(&host, 3, None, SECOND);
        assert_eq!(keys.workers(&host).worst(SECOND), Worst::None);
    }
}
