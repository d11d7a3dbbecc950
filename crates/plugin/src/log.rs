//! Lines of Envoy's log that programs read: JSON objects with an `event`.

use serde_json::{Map, Value};

use crate::host::{Host, Level};

/// Logs an event with its fields.
pub fn event(host: &impl Host, level: Level, name: &str, fields: &[(&str, &str)]) {
    let mut object = Map::new();
    object.insert("event".to_owned(), Value::from(name));
    for (key, value) in fields {
        object.insert((*key).to_owned(), Value::from(*value));
    }
    host.log(level, &Value::Object(object).to_string());
}
