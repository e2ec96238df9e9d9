//! Reading a TOML table key by key, gathering every fault with its place.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, nearest};
use super::units;

/// A file that is being read, with the faults found so far.
pub(super) struct File<'a> {
    name: &'a str,
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> File<'a> {
    /// Begins with a file's text.
    #[must_use]
    pub(super) fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, problems: RefCell::default() }
    }

    /// Notes a fault at an octet of the text.
    pub(super) fn fault(
        &self,
        at: Option<usize>,
        key: &str,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let line = at.map_or(0, |at| self.text[..at.min(self.text.len())].matches('\n').count() + 1);
        let problem = Problem {
            file: self.name.to_owned(),
            line,
            key: key.to_owned(),
            what: what.into(),
            mend: mend.into(),
        };
        self.problems.borrow_mut().push(problem);
    }

    /// All faults, by line.
    #[must_use]
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.dedup();
        problems
    }
}

/// A value with the place where it stands.
type Placed<'a> = &'a Spanned<DeValue<'a>>;

/// A table of the file. Each key is asked for once, by name, type and default; what nobody asked
/// for is unknown, and [`Section::close`] says so.
pub(super) struct Section<'a> {
    file: &'a File<'a>,
    path: String,
    at: Option<usize>,
    entries: Vec<(&'a str, usize, Placed<'a>)>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The file's root table.
    #[must_use]
    pub(super) fn root(file: &'a File<'a>, table: &'a DeTable<'a>) -> Self {
        Self::of(file, String::new(), Some(0), Some(table))
    }

    fn of(file: &'a File<'a>, path: String, at: Option<usize>, table: Option<&'a DeTable<'a>>) -> Self {
        let entries = table.into_iter().flatten();
        let mut entries: Vec<_> =
            entries.map(|(key, value)| (key.get_ref().as_ref(), key.span().start, value)).collect();
        // The order of the file, so that faults and listeners stand as the operator wrote them.
        entries.sort_by_key(|(_, at, _)| *at);
        Self { file, path, at, entries, asked: Vec::new() }
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn find(&self, key: &str) -> Option<(usize, Placed<'a>)> {
        self.entries.iter().find(|(name, ..)| *name == key).map(|(_, at, value)| (*at, *value))
    }

    fn ask(&mut self, key: &'static str) -> Option<Placed<'a>> {
        self.asked.push(key);
        self.find(key).map(|(_, value)| value)
    }

    /// Whether the file sets the key.
    #[must_use]
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Whether the file holds this section at all.
    #[must_use]
    pub(super) fn is_given(&self) -> bool {
        self.at.is_some()
    }

    /// Where it stands in the file, to be compared with others.
    #[must_use]
    pub(super) fn place(&self) -> Option<usize> {
        self.at
    }

    /// Notes a fault of a key: at its line, or at the section's where the key is absent.
    pub(super) fn fault(&self, key: &str, what: impl Into<String>, mend: impl Into<String>) {
        let at = self.find(key).map(|(at, _)| at).or(self.at);
        self.file.fault(at, &self.full(key), what, mend);
    }

    /// A section below this one; an empty one where the file has none.
    #[must_use]
    pub(super) fn section(&mut self, key: &'static str) -> Section<'a> {
        let value = self.ask(key);
        self.below(key, value)
    }

    fn below(&self, key: &str, value: Option<Placed<'a>>) -> Section<'a> {
        let table = value.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (value, table) {
            let what = format!("is {}, not a section", kind(value.get_ref()));
            self.fault(key, what, format!("write [{}] on a line of its own", self.full(key)));
        }
        let at = self.find(key).map(|(at, _)| at);
        Section::of(self.file, self.full(key), at, table)
    }

    /// All tables of this section, each under the name that the operator chose; keys that were asked for before are none
    /// of them, and where there are such keys, other values are misspelt ones.
    #[must_use]
    pub(super) fn named_sections(&self) -> Vec<(String, Section<'a>)> {
        let mut named = Vec::new();
        for (name, at, value) in self.entries.iter().filter(|(name, ..)| !self.asked.contains(name)) {
            if self.asked.is_empty() || value.get_ref().is_table() {
                named.push(((*name).to_owned(), self.below(name, Some(value))));
            } else {
                self.unknown(name, *at);
            }
        }
        named
    }

    /// The keys of a section whose keys the operator chose, each a text or a list of texts.
    #[must_use]
    pub(super) fn named_texts(&self) -> Vec<(String, Vec<String>)> {
        let read = |(name, _, value): &(&str, usize, Placed<'a>)| {
            let texts = match value.get_ref() {
                DeValue::Array(items) => items.iter().map(|item| item.get_ref().as_str()).collect(),
                single => single.as_str().map(|text| vec![text]),
            };
            if texts.is_none() {
                let what = format!("is {}, not a text or a list of texts", kind(value.get_ref()));
                self.fault(name, what, format!("{name:?} = [\"…\"]"));
            }
            ((*name).to_owned(), texts.unwrap_or_default().into_iter().map(str::to_owned).collect())
        };
        self.entries.iter().map(read).collect()
    }

    /// A section whose content is somebody else's to read: as JSON.
    pub(super) fn json(&mut self, key: &'static str) -> serde_json::Value {
        match self.ask(key) {
            None => serde_json::Value::Object(serde_json::Map::new()),
            Some(value) => {
                let json = json(value.get_ref());
                if !json.is_object() {
                    let what = format!("is {}, not a section", kind(value.get_ref()));
                    self.fault(key, what, format!("write [{}] on a line of its own", self.full(key)));
                }
                json
            }
        }
    }

    fn text_value(&mut self, key: &'static str) -> Option<&'a str> {
        let value = self.ask(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.fault(key, format!("is {}, not a text", kind(value.get_ref())), "put it in quotes");
        }
        text
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str, default: &str) -> String {
        self.text_value(key).unwrap_or(default).to_owned()
    }

    /// Notes a fault where a file that a key names is not there.
    pub(super) fn file(&self, key: &str, path: &std::path::Path) {
        if self.has(key) && !path.is_file() {
            self.fault(key, format!("the file {} is not there", path.display()), "mend the path");
        }
    }

    /// A key's file that is there, and whose reader takes it.
    pub(super) fn file_read<T>(
        &self,
        key: &str,
        path: &std::path::Path,
        read: impl FnOnce(&std::path::Path) -> Result<T, String>,
    ) {
        self.file(key, path);
        if path.is_file()
            && let Err(why) = read(path)
        {
            self.fault(key, format!("cannot be used: {why}"), "mend the file, or name another one");
        }
    }

    /// A path; relative ones are the caller's to resolve.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.text_value(key).map(PathBuf::from)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.ask(key) else { return default };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.fault(
                key,
                format!("is {}, not true or false", kind(value.get_ref())),
                "write true or false, without quotes",
            );
            default
        })
    }

    /// A whole number within a range.
    pub(super) fn number(&mut self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(value) = self.ask(key) else { return default };
        let mend = format!("write a number from {} to {}, without quotes", range.start(), range.end());
        let Some(number) = value.get_ref().as_integer() else {
            self.fault(key, format!("is {}, not a whole number", kind(value.get_ref())), mend);
            return default;
        };
        match u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|n| range.contains(n)) {
            Some(number) => number,
            None => {
                self.fault(key, format!("{number} is out of range"), mend);
                default
            }
        }
    }

    /// Like [`Self::number`], for counts in memory.
    pub(super) fn count(&mut self, key: &'static str, default: usize, range: RangeInclusive<usize>) -> usize {
        let number = self.number(key, default as u64, *range.start() as u64..=*range.end() as u64);
        usize::try_from(number).unwrap_or(default)
    }

    /// A size with its unit, within a range; in octets.
    pub(super) fn size(&mut self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let hint = "write a number and its unit (B, KiB, MiB, GiB, TiB), as \"10 MiB\"";
        self.quantity(key, default, range, hint, units::size, |v| units::size_text(*v))
    }

    /// A duration with its unit, within a range.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.quantity(key, default, range, DURATION_HINT, units::duration, |v| units::duration_text(*v))
    }

    fn quantity<T: PartialOrd>(
        &mut self,
        key: &'static str,
        default: T,
        range: RangeInclusive<T>,
        hint: &str,
        read: impl Fn(&str) -> Result<T, String>,
        print: impl Fn(&T) -> String,
    ) -> T {
        let Some(value) = self.ask(key) else { return default };
        let Some(text) = value.get_ref().as_str() else {
            self.fault(key, format!("is {}, not a text with a unit", kind(value.get_ref())), hint);
            return default;
        };
        match read(text) {
            Ok(value) if range.contains(&value) => value,
            Ok(_) => {
                let mend = format!("from {} to {}", print(range.start()), print(range.end()));
                self.fault(key, format!("{text:?} is out of range"), mend);
                default
            }
            Err(what) => {
                self.fault(key, what, hint);
                default
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, default: T, words: &[(&str, T)]) -> T {
        let Some(text) = self.text_value(key) else { return default };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let mend = match nearest(text, &names) {
            Some(word) => format!("did you mean {word:?}?"),
            None => format!("write one of: {}", names.join(", ")),
        };
        self.fault(key, format!("{text:?} is not known here"), mend);
        default
    }

    /// A text that a type reads, where set.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str, hint: &str) -> Option<T> {
        let text = self.text_value(key)?;
        text.parse().map_err(|why: T::Err| self.fault(key, why.to_string(), hint)).ok()
    }

    /// A list of texts that a type reads, where set.
    pub(super) fn parsed_list<T: FromStr<Err: Display>>(
        &mut self,
        key: &'static str,
        hint: &str,
    ) -> Option<Vec<T>> {
        self.list(key, hint, |text| text.parse().map_err(|why: T::Err| why.to_string()))
    }

    fn list<T>(
        &mut self,
        key: &'static str,
        hint: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let value = self.ask(key)?;
        let Some(items) = value.get_ref().as_array() else {
            self.fault(
                key,
                format!("is {}, not a list", kind(value.get_ref())),
                format!("{key} = [\"…\", \"…\"]"),
            );
            return None;
        };
        let mut read_items = Vec::with_capacity(items.len());
        for item in items {
            let text =
                item.get_ref().as_str().ok_or_else(|| format!("holds {}, not a text", kind(item.get_ref())));
            match text.and_then(&read) {
                Ok(value) => read_items.push(value),
                Err(what) => self.file.fault(Some(item.span().start), &self.full(key), what, hint),
            }
        }
        Some(read_items)
    }

    /// Ends the reading: keys that nobody asked for are faults.
    pub(super) fn close(self) {
        for (name, at, _) in &self.entries {
            if self.asked.contains(name) {
                continue;
            }
            self.unknown(name, *at);
        }
    }

    fn unknown(&self, name: &str, at: usize) {
        let mend = match nearest(name, &self.asked) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None if self.asked.is_empty() => String::new(),
            None => format!("known here: {}", self.asked.join(", ")),
        };
        self.file.fault(Some(at), &self.full(name), "this key is not known", mend);
    }
}

const DURATION_HINT: &str = "write a number and its unit (ms, s, min, h, d), as \"5 min\"";

/// A value as JSON; dates as text.
fn json(value: &DeValue<'_>) -> serde_json::Value {
    match value {
        DeValue::String(text) => serde_json::Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            parsed.map_or_else(|_| number.to_string().into(), Into::into)
        }
        DeValue::Float(number) => {
            number.as_str().parse::<f64>().map_or_else(|_| number.to_string().into(), Into::into)
        }
        DeValue::Boolean(flag) => serde_json::Value::Bool(*flag),
        DeValue::Datetime(date) => serde_json::Value::String(date.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect()
        }
    }
}

/// What a value is, for messages.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
