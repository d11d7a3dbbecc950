//! Decides what to write next, given what the Secrets hold and what time it is. Pure, but for keys, which are random.
//!
//! Peers read their Secrets up to a delay late, each at its own time, and must be able to verify each other all the while. So a CA is
//! replaced in this order, each step seen in the Secrets before the next:
//!
//! 1. A successor is made, when two thirds of the CA's life are over, and added to what everybody trusts.
//! 2. When the Secrets of all peers have it, that time is written down.
//! 3. A delay later it signs. Every certificate is issued anew by it.
//! 4. When the last certificate by its predecessor has expired, that one is trusted no longer.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::content::{Authority, Certificate, Leaf, Successor};
use super::issue::{self, IssueError};

/// Who has a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// The controller, to its caches.
    Controller,
    /// A cache, to the controller and to gateways.
    Cache,
}

impl Peer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Controller, Self::Cache];

    /// As in flags and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Cache => "cache",
        }
    }
}

/// How long things last, and who is who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The life of a CA.
    pub authority_life: Duration,
    /// The life of a peer's certificate.
    pub leaf_life: Duration,
    /// How much later than it was written a Secret is read, at most.
    pub delay: Duration,
    /// The DNS names of each peer.
    pub names: BTreeMap<Peer, Vec<String>>,
}

/// What the Secrets hold. One that can't be written isn't here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// The CA's.
    pub authority: Option<Authority>,
    /// Those of the peers.
    pub leaves: BTreeMap<Peer, Leaf>,
}

/// What to do next. After a write the Secrets are read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write the CA's Secret.
    Authority(Authority, &'static str),
    /// Write a peer's Secret.
    Leaf(Peer, Leaf, &'static str),
    /// Nothing is due before this time.
    Wait(Timestamp),
}

/// What is due.
///
/// # Errors
/// [`IssueError`] if a certificate can't be made.
pub fn next(observed: &Observed, policy: &Policy, now: Timestamp) -> Result<Step, IssueError> {
    let Some(authority) = &observed.authority else {
        return Ok(Step::Wait(Timestamp::MAX));
    };
    if let Some((authority, why)) = succession(authority, observed, policy, now)? {
        return Ok(Step::Authority(authority, why));
    }
    for (&peer, leaf) in &observed.leaves {
        if let Some((leaf, why)) = renewal(peer, leaf, authority, policy, now)? {
            return Ok(Step::Leaf(peer, leaf, why));
        }
    }
    if let Some(authority) = publication(authority, observed, now) {
        return Ok(Step::Authority(authority, "all peers' secrets have the ca's successor"));
    }
    Ok(Step::Wait(next_look(authority, observed, policy, now)))
}

/// How the CA has to change, if it has to.
fn succession(
    authority: &Authority,
    observed: &Observed,
    policy: &Policy,
    now: Timestamp,
) -> Result<Option<(Authority, &'static str)>, IssueError> {
    let mut next = authority.clone();
    let usable = |certificate: &Certificate| now <= certificate.not_after;
    let lost = !authority
        .signer
        .as_ref()
        .is_some_and(|signer| usable(&signer.certificate));
    let why = match &authority.successor {
        Some(successor) if !usable(&successor.pair.certificate) => {
            next.successor = None;
            "the ca's successor has expired"
        }
        Some(successor)
            if may_sign(successor, policy, now) || (lost && !all_good(authority, observed, policy, now)) =>
        {
            next.signer = Some(successor.pair.clone());
            next.successor = None;
            "the ca's successor signs from now on"
        }
        None if lost => {
            // Perhaps only the CA's own Secret was lost: then peers go on with what they have, until they trust the new one.
            for certificate in observed.leaves.values().flat_map(|leaf| &leaf.trusted) {
                trust(&mut next.trusted, certificate);
            }
            let pair = issue::authority(policy.authority_life, now)?;
            if all_good(&next, observed, policy, now) {
                next.signer = None;
                next.successor = Some(Successor { pair, published: None });
                "the ca is lost, and its successor is made known first"
            } else {
                next.signer = Some(pair);
                "there was no ca"
            }
        }
        None if authority
            .signer
            .as_ref()
            .is_some_and(|signer| now >= renew_at(&signer.certificate)) =>
        {
            let pair = issue::authority(policy.authority_life, now)?;
            next.successor = Some(Successor { pair, published: None });
            "two thirds of the ca's life are over"
        }
        _ => "the ca is trusted, and whoever is of no more use isn't",
    };
    if next.signer != authority.signer {
        next.predecessors_until = Some(last_end(observed, policy, now));
    }
    let until = next.predecessors_until;
    next.trusted
        .retain(|certificate| usable(certificate) && !retired(certificate, until, observed, now));
    let successor = next.successor.as_ref().map(|successor| &successor.pair);
    let signers: Vec<Certificate> = [next.signer.as_ref(), successor]
        .into_iter()
        .flatten()
        .map(|pair| pair.certificate.clone())
        .collect();
    for certificate in &signers {
        trust(&mut next.trusted, certificate);
    }
    if next.trusted.len() == signers.len() {
        next.predecessors_until = None;
    }
    Ok((next != *authority).then_some((next, why)))
}

/// Whether every peer that may verify another by the successor knows it by now.
fn may_sign(successor: &Successor, policy: &Policy, now: Timestamp) -> bool {
    let known = successor
        .published
        .and_then(|published| published.checked_add(policy.delay).ok());
    known.is_some_and(|known| now >= known)
}

/// Whether each peer has a certificate that the others take.
fn all_good(authority: &Authority, observed: &Observed, policy: &Policy, now: Timestamp) -> bool {
    Peer::ALL.iter().all(|peer| {
        let leaf = observed.leaves.get(peer);
        leaf.is_some_and(|leaf| leaf.is_good(&authority.trusted, names(policy, *peer), now))
    })
}

/// When the last certificate ends that was issued so far, also if its Secret was emptied since.
fn last_end(observed: &Observed, policy: &Policy, now: Timestamp) -> Timestamp {
    let pairs = observed.leaves.values().filter_map(|leaf| leaf.pair.as_ref());
    let ends = pairs.map(|pair| pair.certificate.not_after);
    let longest = now.saturating_add(policy.leaf_life).unwrap_or(Timestamp::MAX);
    ends.fold(longest, Timestamp::max)
}

/// Whether a CA that was trusted doesn't have to be any more: nothing by it is in use.
fn retired(certificate: &Certificate, until: Option<Timestamp>, observed: &Observed, now: Timestamp) -> bool {
    let in_use = || observed.leaves.values().any(|leaf| leaf.is_by([certificate], now));
    until.is_some_and(|until| now > until) && !in_use()
}

fn trust(trusted: &mut Vec<Certificate>, certificate: &Certificate) {
    if !trusted.contains(certificate) {
        trusted.push(certificate.clone());
    }
}

/// How a peer's Secret has to change, if it has to.
fn renewal(
    peer: Peer,
    leaf: &Leaf,
    authority: &Authority,
    policy: &Policy,
    now: Timestamp,
) -> Result<Option<(Leaf, &'static str)>, IssueError> {
    let mut next = Leaf {
        trusted: authority.trusted.clone(),
        ..leaf.clone()
    };
    let mut why = "who is trusted has changed";
    if let Some(signer) = &authority.signer {
        let end = now.saturating_add(policy.leaf_life).unwrap_or(Timestamp::MAX);
        let due = leaf.pair.as_ref().is_some_and(|pair| {
            // One that ends with its signer can't be had for longer.
            now >= renew_at(&pair.certificate) && pair.certificate.not_after < signer.certificate.not_after
        });
        let good = leaf.is_good([&signer.certificate], names(policy, peer), now);
        if due || !good {
            next.pair = Some(issue::leaf(signer, names(policy, peer), end, now)?);
            why = match &leaf.pair {
                None => "there was no certificate",
                Some(_) if good => "two thirds of the certificate's life are over",
                Some(_) => "the certificate is not by this ca, for other names, or has expired",
            };
        }
    }
    Ok((next != *leaf).then_some((next, why)))
}

/// The CA with the time since when all peers' Secrets have its successor, if that is news.
fn publication(authority: &Authority, observed: &Observed, now: Timestamp) -> Option<Authority> {
    let successor = authority
        .successor
        .as_ref()
        .filter(|successor| successor.published.is_none())?;
    let has = |peer| {
        let leaf: Option<&Leaf> = observed.leaves.get(peer);
        leaf.is_some_and(|leaf| leaf.trusted.contains(&successor.pair.certificate))
    };
    Peer::ALL.iter().all(has).then(|| Authority {
        successor: Some(Successor {
            published: Some(now),
            ..successor.clone()
        }),
        ..authority.clone()
    })
}

/// When something else may be due. What can't be done now, for want of a signer, waits for what can.
fn next_look(authority: &Authority, observed: &Observed, policy: &Policy, now: Timestamp) -> Timestamp {
    let signer = authority.signer.as_ref().map(|signer| match &authority.successor {
        None => renew_at(&signer.certificate),
        Some(_) => signer.certificate.not_after,
    });
    let published = authority.successor.as_ref().and_then(|successor| successor.published);
    let signs = published.and_then(|published| published.checked_add(policy.delay).ok());
    let leaves = observed.leaves.values().filter_map(|leaf| leaf.pair.as_ref());
    let renewals = leaves.map(|pair| renew_at(&pair.certificate));
    let ends = authority.trusted.iter().map(|certificate| certificate.not_after);
    let events = renewals
        .chain(ends)
        .chain(signer)
        .chain(signs)
        .chain(authority.predecessors_until);
    events.filter(|event| *event > now).min().unwrap_or(Timestamp::MAX)
}

/// When two thirds of its life are over: a third is time enough to notice that renewals fail.
fn renew_at(certificate: &Certificate) -> Timestamp {
    let made = issue::made_at(certificate);
    let two_thirds = SignedDuration::from_secs(made.duration_until(certificate.not_after).as_secs() / 3 * 2);
    made.saturating_add(two_thirds).unwrap_or(Timestamp::MAX)
}

fn names(policy: &Policy, peer: Peer) -> &[String] {
    policy.names.get(&peer).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;
