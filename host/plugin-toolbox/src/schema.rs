//! A configuration's JSON Schema as a table for people.

use serde_json::Value;

/// Deepest nesting that is shown.
const DEPTH_MAX: usize = 16;

/// A row for each key: its name with dots, what it takes, what it is where nobody says, what it is for.
pub(crate) fn rows(schema: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    if let Ok(schema) = serde_json::from_str::<Value>(schema) {
        keys(&schema, "", 0, &mut rows);
    }
    rows
}

fn keys(schema: &Value, path: &str, depth: usize, rows: &mut Vec<Vec<String>>) {
    if depth > DEPTH_MAX {
        return;
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let is_table = property.get("properties").is_some()
            || property.get("type").and_then(Value::as_str) == Some("object");
        if !is_table || property.get("description").is_some() {
            let fallback = match property.get("default") {
                Some(default) => format!("default {default}"),
                None if required.contains(&name.as_str()) => "required".to_owned(),
                None => "optional".to_owned(),
            };
            let description = property.get("description").and_then(Value::as_str).unwrap_or_default();
            rows.push(vec![below(name), takes(property), fallback, description.to_owned()]);
        }
        keys(property, &below(name), depth + 1, rows);
    }
    match schema.get("additionalProperties") {
        Some(inner @ Value::Object(_)) => {
            rows.push(vec![below("NAME"), takes(inner), "any number".to_owned(), String::new()]);
            keys(inner, &below("NAME"), depth + 1, rows);
        }
        Some(Value::Bool(true)) => {
            rows.push(vec![below("NAME"), "anything".to_owned(), "any number".to_owned(), String::new()]);
        }
        _ => {}
    }
}

/// What a key takes: `text`, `number 1 to 30`, `"a" or "b"`, `list of text`.
fn takes(property: &Value) -> String {
    if let Some(words) = property.get("enum").and_then(Value::as_array) {
        return words.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    }
    let kind = match property.get("type").and_then(Value::as_str) {
        Some("string") => "text",
        Some("integer") => "whole number",
        Some("number") => "number",
        Some("boolean") => "true or false",
        Some("array") => {
            return match property.get("items") {
                Some(items) => format!("list of {}", takes(items)),
                None => "list".to_owned(),
            };
        }
        Some("object") => "section",
        _ => "anything",
    };
    let bound =
        |word: &str, key: &str| property.get(key).map(|bound| format!(" {word} {bound}")).unwrap_or_default();
    format!("{kind}{}{}", bound("from", "minimum"), bound("to", "maximum"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_reads_as_a_table() {
        let schema = r#"{"type":"object","required":["days"],"properties":{
            "days":{"type":"integer","minimum":1,"maximum":30,"description":"how long"},
            "mode":{"enum":["strict","lax"],"default":"lax"},
            "deep":{"type":"object","properties":{"tags":{"type":"array","items":{"type":"string"}}}},
            "grants":{"type":"object","description":"by account","additionalProperties":{"type":"string"}}}}"#;
        let rows = rows(schema);
        let wanted = [
            ["days", "whole number from 1 to 30", "required", "how long"],
            ["deep.tags", "list of text", "optional", ""],
            ["grants", "section", "optional", "by account"],
            ["grants.NAME", "text", "any number", ""],
            ["mode", "\"strict\" or \"lax\"", "default \"lax\"", ""],
        ];
        assert_eq!(rows.len(), wanted.len(), "{rows:?}");
        for row in wanted {
            assert!(rows.iter().any(|other| other == &row), "{row:?} is not in {rows:?}");
        }
        assert!(super::rows("").is_empty());
    }
}
