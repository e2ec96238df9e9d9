//! One line an event: `key=value` for people, JSON for tools.

use std::fmt::{Display, Write};

use mail_types::Timestamp;

use crate::event::Event;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// `2026-11-24T03:16:09.123Z accepted id=… from=<…>`
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// The value of a field.
#[derive(Clone, Copy)]
pub(crate) enum Field<'a> {
    Text(&'a str),
    Number(u64),
    Shown(&'a dyn Display),
}

/// Octets after which a field's text is cut: a hostile peer shall not fill the log.
const FIELD_MAX: usize = 512;

/// Writes the line of an event, line feed included.
pub(crate) fn line(style: Style, now: Timestamp, event: &Event<'_>, line: &mut String) {
    let (_, name, level) = event.kind();
    match style {
        Style::Human => {
            write_time(now, line);
            line.push(' ');
            line.push_str(name);
            event.fields(&mut |key, value| {
                line.push(' ');
                line.push_str(key);
                line.push('=');
                human(value, line);
            });
        }
        Style::Json => {
            line.push_str("{\"time\":\"");
            write_time(now, line);
            let _ = write!(line, "\",\"event\":\"{name}\",\"level\":\"{}\"", level_name(level));
            event.fields(&mut |key, value| {
                let _ = write!(line, ",\"{key}\":");
                json(value, line);
            });
            line.push('}');
        }
    }
    line.push('\n');
}

fn level_name(level: crate::event::Level) -> &'static str {
    use crate::event::Level;
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

fn human(value: Field<'_>, line: &mut String) {
    let start = line.len();
    match value {
        Field::Number(number) => {
            let _ = write!(line, "{number}");
            return;
        }
        Field::Text(text) => line.push_str(text),
        Field::Shown(shown) => {
            let _ = write!(line, "{shown}");
        }
    }
    cut(line, start);
    let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if line.len() == start || !line.as_bytes()[start..].iter().all(|b| plain(*b)) {
        let text = line.split_off(start);
        // Debug form: quotes, and every control escaped, so that no peer writes log lines of its own.
        let _ = write!(line, "{text:?}");
    }
}

fn json(value: Field<'_>, line: &mut String) {
    let start = line.len();
    match value {
        Field::Number(number) => {
            let _ = write!(line, "{number}");
            return;
        }
        Field::Text(text) => line.push_str(text),
        Field::Shown(shown) => {
            let _ = write!(line, "{shown}");
        }
    }
    cut(line, start);
    let text = line.split_off(start);
    line.push_str(&serde_json::Value::String(text).to_string());
}

fn cut(line: &mut String, start: usize) {
    if line.len() - start > FIELD_MAX {
        let mut end = start + FIELD_MAX;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('…');
    }
}

/// RFC 3339, UTC, milliseconds.
fn write_time(now: Timestamp, line: &mut String) {
    let (days, milliseconds) = (now.0 / 86_400_000, now.0 % 86_400_000);
    let (year, month, day) = civil(days);
    let seconds = milliseconds / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let _ = write!(
        line,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        milliseconds % 1000
    );
}

/// Days since 1970 to year, month, day, by the 400-year cycle of the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_says() {
        for (milliseconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_795_575_600_999, "2026-11-25T03:00:00.999Z"),
        ] {
            let mut line = String::new();
            write_time(Timestamp(milliseconds), &mut line);
            assert_eq!(line, text);
        }
    }

    #[test]
    fn no_peer_writes_log_lines_of_its_own() {
        let event = Event::InternalError { place: "a", cause: "x\r\n2026 accepted id=1 \u{1b}[2J\"" };
        for style in [Style::Human, Style::Json] {
            let mut text = String::new();
            line(style, Timestamp(0), &event, &mut text);
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(!text.contains(['\r', '\u{1b}']), "{text}");
        }
        let mut json = String::new();
        line(Style::Json, Timestamp(0), &event, &mut json);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["event"], "internal_error");
        assert_eq!(value["cause"], "x\r\n2026 accepted id=1 \u{1b}[2J\"");
    }

    #[test]
    fn long_fields_are_cut() {
        let cause = "é".repeat(10_000);
        let mut text = String::new();
        line(Style::Human, Timestamp(0), &Event::TablesFailed { cause: &cause }, &mut text);
        assert!(text.len() < 2000);
    }
}
