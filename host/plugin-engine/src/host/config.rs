//! `config`: typed values and secrets.

use serde_json::Value as Json;

use crate::bindings::wasmta::policy::config::{Host, Value};
use crate::call::{Call, Values};

impl Host for Call {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Value>> {
        self.charge(key.len())?;
        Ok(self.values.get(&key).cloned())
    }

    fn all(&mut self) -> wasmtime::Result<Vec<(String, Value)>> {
        self.charge(0)?;
        Ok(self.values.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn secret(&mut self, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.charge(name.len())?;
        Ok(self.settings.secrets.0.get(&name).map(|secret| secret.to_vec()))
    }
}

/// Lays a configuration out key by key. Fractions and lists of anything but plain values become text.
pub(crate) fn flatten(config: &Json) -> Values {
    let mut values = Values::new();
    flatten_into(config, "", &mut values);
    values
}

fn flatten_into(value: &Json, key: &str, values: &mut Values) {
    let flat = match value {
        Json::Object(table) => {
            for (name, inner) in table {
                let below = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten_into(inner, &below, values);
            }
            return;
        }
        Json::Null => return,
        Json::Bool(flag) => Value::Flag(*flag),
        Json::Number(number) => match number.as_i64().and_then(|number| i32::try_from(number).ok()) {
            Some(number) => Value::Number(number),
            None => Value::Text(number.to_string()),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::Items(items.iter().map(item).collect()),
    };
    values.insert(key.to_owned(), flat);
}

fn item(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_tables_become_dotted_keys() {
        let config = serde_json::json!({
            "a": {"b": "x", "c": [1, "y", {"z": 1}]}, "n": 5, "big": 5_000_000_000_u64, "f": 0.5, "t": true, "no": null
        });
        let values = flatten(&config);
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(values["a.b"], text("x"));
        assert_eq!(values["a.c"], Value::Items(vec!["1".into(), "y".into(), "{\"z\":1}".into()]));
        assert_eq!(values["n"], Value::Number(5));
        assert_eq!(values["big"], text("5000000000"));
        assert_eq!(values["f"], text("0.5"));
        assert_eq!(values["t"], Value::Flag(true));
        assert_eq!(values.len(), 6);
    }
}
