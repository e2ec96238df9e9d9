//! A plugin's configuration, held against the JSON Schema that it gives: the part of JSON Schema that the contract
//! names, and a clear word for whatever does not fit. Defaults are filled in.

use serde_json::{Map, Value};

/// Largest schema, in octets: it is kept for each version that a plugin can go back to.
pub(crate) const SCHEMA_MAX: usize = 64 << 10;
/// Deepest nesting of a schema.
const DEPTH_MAX: usize = 16;
/// Keywords that are looked at, or stand for people alone.
const KEYWORDS: [&str; 13] = [
    "$schema",
    "title",
    "description",
    "type",
    "properties",
    "required",
    "enum",
    "minimum",
    "maximum",
    "items",
    "default",
    "additionalProperties",
    "examples",
];
const TYPES: [&str; 7] = ["object", "array", "string", "integer", "number", "boolean", "null"];

/// A schema that was read and found sound.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema(Value);

impl Schema {
    /// Reads a schema; an empty text takes no configuration at all.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(serde_json::json!({ "type": "object", "properties": {} })));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|e| format!("config-schema is no JSON: {e}"))?;
        sound(&value, "config-schema", 0)?;
        Ok(Self(value))
    }

    /// Holds a configuration against it; gives it with defaults filled in, or everything that is wrong.
    pub(crate) fn fill(&self, config: &Value) -> Result<Value, Vec<String>> {
        let mut problems = Vec::new();
        let filled = fill(&self.0, config, "", &mut problems);
        if problems.is_empty() { Ok(filled) } else { Err(problems) }
    }
}

fn sound(schema: &Value, path: &str, depth: usize) -> Result<(), String> {
    let Some(table) = schema.as_object() else { return Err(format!("{path} is no object")) };
    if depth > DEPTH_MAX {
        return Err(format!("{path} is nested deeper than {DEPTH_MAX}"));
    }
    if let Some(keyword) = table.keys().find(|key| !KEYWORDS.contains(&key.as_str())) {
        return Err(format!("{path}: the keyword {keyword:?} is not one that hosts look at"));
    }
    if let Some(kind) = table.get("type")
        && !kind.as_str().is_some_and(|kind| TYPES.contains(&kind))
    {
        return Err(format!("{path}: the type {kind} is not known; write one of {}", TYPES.join(", ")));
    }
    if let Some(default) = table.get("default") {
        let mut problems = Vec::new();
        fill(schema, default, "", &mut problems);
        if let Some(problem) = problems.first() {
            let what = problem.strip_prefix("config ").unwrap_or(problem);
            return Err(format!("{path}: its default does not fit: it {what}"));
        }
    }
    if let Some(properties) = table.get("properties") {
        let Some(properties) = properties.as_object() else {
            return Err(format!("{path}.properties is no object"));
        };
        for (name, property) in properties {
            sound(property, &format!("{path}.{name}"), depth + 1)?;
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = table.get(key).filter(|inner| inner.is_object()) {
            sound(inner, &format!("{path}.{key}"), depth + 1)?;
        }
    }
    Ok(())
}

fn fits(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    }
}

fn fill(schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) -> Value {
    let shown = if path.is_empty() { "config" } else { path };
    if let Some(kind) = schema.get("type").and_then(Value::as_str)
        && !fits(kind, value)
    {
        problems.push(format!("{shown} is {value}, not of type {kind}"));
        return value.clone();
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let all: Vec<String> = allowed.iter().map(Value::to_string).collect();
        problems.push(format!("{shown} is {value}, not one of {}", all.join(", ")));
    }
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(given) = value.as_f64() {
        if number("minimum").is_some_and(|least| given < least) {
            problems.push(format!("{shown} is {value}, less than {}", schema["minimum"]));
        }
        if number("maximum").is_some_and(|most| given > most) {
            problems.push(format!("{shown} is {value}, more than {}", schema["maximum"]));
        }
    }
    match value {
        Value::Object(table) => Value::Object(fill_table(schema, table, path, problems)),
        Value::Array(items) => match schema.get("items") {
            Some(inner) => {
                let each = items.iter().enumerate();
                Value::Array(
                    each.map(|(n, item)| fill(inner, item, &format!("{shown}[{n}]"), problems)).collect(),
                )
            }
            None => value.clone(),
        },
        _ => value.clone(),
    }
}

fn fill_table(
    schema: &Value,
    table: &Map<String, Value>,
    path: &str,
    problems: &mut Vec<String>,
) -> Map<String, Value> {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let empty = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let mut filled = Map::new();
    for (name, value) in table {
        match (known.get(name), schema.get("additionalProperties")) {
            (Some(property), _) => {
                filled.insert(name.clone(), fill(property, value, &below(name), problems));
            }
            (None, Some(Value::Bool(true))) => {
                filled.insert(name.clone(), value.clone());
            }
            (None, Some(inner)) if inner.is_object() => {
                filled.insert(name.clone(), fill(inner, value, &below(name), problems));
            }
            (None, _) => {
                let names: Vec<&str> = known.keys().map(String::as_str).collect();
                let hint = if names.is_empty() { "it takes none".to_owned() } else { names.join(", ") };
                problems.push(format!("{} is not known to the plugin; known: {hint}", below(name)));
            }
        }
    }
    for (name, property) in known {
        if !filled.contains_key(name)
            && let Some(default) = property.get("default")
        {
            filled.insert(name.clone(), default.clone());
        }
    }
    for name in
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        if !filled.contains_key(name) {
            problems.push(format!("{} is missing", below(name)));
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Schema {
        Schema::parse(
            r#"{"type":"object","required":["days"],"additionalProperties":false,"properties":{
                "days":{"type":"integer","minimum":1,"maximum":30},
                "separator":{"type":"string","default":"+"},
                "mode":{"enum":["strict","lax"]},
                "rules":{"type":"array","items":{"type":"object","properties":{"tag":{"type":"string"}}}}}}"#,
        )
        .unwrap()
    }

    #[test]
    fn defaults_are_filled_in() {
        let filled = schema().fill(&json!({"days": 3, "rules": [{"tag": "x"}]})).unwrap();
        assert_eq!(filled, json!({"days": 3, "separator": "+", "rules": [{"tag": "x"}]}));
    }

    #[test]
    fn a_default_fits() {
        let with = |property: &str| {
            Schema::parse(&format!(r#"{{"type":"object","properties":{{"a":{property}}}}}"#))
        };
        assert!(with(r#"{"type":"array","items":{"type":"string"},"default":["x"]}"#).is_ok());
        for wrong in [
            r#"{"type":"array","default":"x"}"#,
            r#"{"type":"integer","minimum":3,"default":1}"#,
            r#"{"enum":["a","b"],"default":"c"}"#,
        ] {
            let why = with(wrong).unwrap_err();
            assert!(why.starts_with("config-schema.a: its default does not fit: it is "), "{why}");
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let config = json!({"days": 99, "separator": 5, "mode": "soft", "tag": 1, "rules": [{"tag": 2}, 3]});
        let problems = schema().fill(&config).unwrap_err();
        let wanted = [
            "days is 99, more than 30",
            "mode is \"soft\", not one of \"strict\", \"lax\"",
            "rules[0].tag is 2, not of type string",
            "rules[1] is 3, not of type object",
            "separator is 5, not of type string",
            "tag is not known to the plugin; known: days, mode, rules, separator",
        ];
        for text in wanted {
            assert!(problems.iter().any(|problem| problem == text), "{text} is not among {problems:#?}");
        }
        assert_eq!(problems.len(), wanted.len());
        assert_eq!(schema().fill(&json!({})).unwrap_err(), ["days is missing"]);
        assert!(Schema::parse("").unwrap().fill(&json!({"a": 1})).is_err());
    }

    #[test]
    fn schemas_that_cannot_be_held_are_refused() {
        for bad in
            ["[]", "{", r#"{"type":"int"}"#, r#"{"pattern":"x"}"#, r#"{"properties":{"a":{"oneOf":[]}}}"#]
        {
            assert!(Schema::parse(bad).is_err(), "{bad}");
        }
    }
}
