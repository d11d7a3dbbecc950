//! `Report` of the wire ↔ the [`Poller`]s in it. On the wire those of an Engine share its name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use coraza_ruleset::{EngineKey, PollerId, RevisionTag, Running};
use uuid::Uuid;

use super::grant::engine;
use super::{InvalidField, bounded, shown, timestamp};
use crate::limits::{MAX_POLLERS_PER_REPORT, is_name};
use crate::message::Poller;
use crate::v1alpha1::poller::{Id, Running as Wire};
use crate::v1alpha1::{self, EngineReport};

impl From<&[Poller]> for v1alpha1::Report {
    fn from(pollers: &[Poller]) -> Self {
        let mut engines: BTreeMap<&EngineKey, Vec<v1alpha1::Poller>> = BTreeMap::new();
        for poller in pollers {
            engines.entry(&poller.engine).or_default().push(encode(poller));
        }
        let report = |(engine, pollers): (&EngineKey, _)| EngineReport {
            engine: Some(engine.into()),
            pollers,
        };
        Self {
            engines: engines.into_iter().map(report).collect(),
        }
    }
}

fn encode(poller: &Poller) -> v1alpha1::Poller {
    let Poller {
        engine: _,
        id,
        running,
        seen_ago,
    } = poller;
    let id = match id {
        PollerId::Pod(name) => Id::Pod(name.to_string()),
        PollerId::Address(IpAddr::V4(address)) => Id::Address(Bytes::copy_from_slice(&address.octets())),
        PollerId::Address(IpAddr::V6(address)) => Id::Address(Bytes::copy_from_slice(&address.octets())),
    };
    let running = match running {
        Running::Unknown => None,
        Running::Nothing => Some(Wire::Nothing(v1alpha1::Nothing {})),
        Running::Revision(RevisionTag { timestamp, uuid }) => Some(Wire::Revision(v1alpha1::Tag {
            uuid: Bytes::copy_from_slice(uuid.as_bytes()),
            timestamp: timestamp.unix_nanos(),
        })),
    };
    v1alpha1::Poller {
        id: Some(id),
        seen_ms_ago: u64::try_from(seen_ago.as_millis()).unwrap_or(u64::MAX),
        running,
    }
}

pub(super) fn decode_report(wire: &v1alpha1::Report) -> Result<Vec<Poller>, InvalidField> {
    let count = wire.engines.iter().map(|engine| engine.pollers.len()).sum();
    bounded("report.pollers", count, MAX_POLLERS_PER_REPORT)?;
    bounded("report.engines", wire.engines.len(), MAX_POLLERS_PER_REPORT)?;
    let mut pollers = Vec::with_capacity(count);
    for report in &wire.engines {
        let engine = engine("report.engine", report.engine.as_ref())?;
        for poller in &report.pollers {
            pollers.push(decode(&engine, poller)?);
        }
    }
    Ok(pollers)
}

fn decode(engine: &EngineKey, wire: &v1alpha1::Poller) -> Result<Poller, InvalidField> {
    Ok(Poller {
        engine: engine.clone(),
        id: decode_id(wire.id.as_ref().ok_or(InvalidField::Missing { field: "poller.id" })?)?,
        running: match &wire.running {
            None => Running::Unknown,
            Some(Wire::Nothing(v1alpha1::Nothing {})) => Running::Nothing,
            Some(Wire::Revision(tag)) => Running::Revision(decode_tag(tag)?),
        },
        seen_ago: Duration::from_millis(wire.seen_ms_ago),
    })
}

fn decode_id(wire: &Id) -> Result<PollerId, InvalidField> {
    match wire {
        Id::Pod(name) if is_name(name) => Ok(PollerId::Pod(name.as_str().into())),
        Id::Pod(name) => Err(InvalidField::Name {
            field: "poller.pod",
            value: shown(name),
        }),
        Id::Address(bytes) => {
            let v4 = <[u8; 4]>::try_from(&**bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(&**bytes).map(IpAddr::from);
            v4.or(v6).map(PollerId::Address).map_err(|_| InvalidField::Address {
                field: "poller.address",
                length: bytes.len(),
            })
        }
    }
}

fn decode_tag(wire: &v1alpha1::Tag) -> Result<RevisionTag, InvalidField> {
    let uuid = Uuid::from_slice(&wire.uuid).map_err(|_| InvalidField::Uuid {
        field: "poller.revision.uuid",
        value: shown(&format!("{:02x?}", wire.uuid.as_ref())),
    })?;
    Ok(RevisionTag {
        timestamp: timestamp("poller.revision.timestamp", wire.timestamp)?,
        uuid,
    })
}
