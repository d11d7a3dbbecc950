//! `Grant` and `Engine` of the wire ↔ [`Grant`] and [`EngineKey`].

use bytes::Bytes;
use coraza_ruleset::{EngineKey, Grant, Timestamp};

use super::{InvalidField, key, shown, token};
use crate::v1alpha1;

impl From<&EngineKey> for v1alpha1::Engine {
    fn from(engine: &EngineKey) -> Self {
        Self {
            namespace: engine.namespace().to_owned(),
            name: engine.name().to_owned(),
            uid: engine.uid().to_owned(),
        }
    }
}

impl From<&Grant> for v1alpha1::Grant {
    fn from(grant: &Grant) -> Self {
        let Grant {
            token,
            expires,
            key,
            engine,
        } = grant;
        Self {
            token: Bytes::copy_from_slice(token.as_bytes()),
            expires: expires.unix_nanos(),
            key: Some(key.into()),
            engine: Some(engine.into()),
        }
    }
}

pub(super) fn engine(field: &'static str, wire: Option<&v1alpha1::Engine>) -> Result<EngineKey, InvalidField> {
    let v1alpha1::Engine { namespace, name, uid } = wire.ok_or(InvalidField::Missing { field })?;
    EngineKey::new(namespace, name, uid).map_err(|source| InvalidField::Engine {
        field,
        value: shown(&format!("{namespace}/{name} {uid}")),
        source,
    })
}

pub(super) fn decode_grants(wire: &[v1alpha1::Grant]) -> Result<Vec<Grant>, InvalidField> {
    wire.iter().map(decode_grant).collect()
}

fn decode_grant(wire: &v1alpha1::Grant) -> Result<Grant, InvalidField> {
    Ok(Grant {
        token: token("grant.token", &wire.token)?,
        // Any: a grant that lasts for ever is as good as its token, which the API server signed.
        expires: Timestamp::from_unix_nanos(wire.expires),
        key: key("grant.key", wire.key.as_ref())?,
        engine: engine("grant.engine", wire.engine.as_ref())?,
    })
}
