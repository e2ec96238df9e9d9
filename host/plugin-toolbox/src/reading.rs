//! Reading `cases.toml` key by key; every fault with file and line, and keys that nobody asked for are faults.

use std::cell::RefCell;

use hooks::Attributes;
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A file that is being read, with the faults found so far.
pub(crate) struct Source<'a> {
    name: &'a str,
    text: &'a str,
    faults: RefCell<Vec<(usize, String)>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, faults: RefCell::default() }
    }

    /// The line of an octet, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.text[..at.min(self.text.len())].matches('\n').count() + 1
    }

    /// The file, with the line of an octet.
    pub(crate) fn place(&self, at: usize) -> String {
        format!("{}:{}", self.name, self.line(at))
    }

    /// Notes a fault at an octet.
    pub(crate) fn fault(&self, at: usize, what: impl Into<String>) {
        self.faults.borrow_mut().push((self.line(at), what.into()));
    }

    /// All faults by line, one a line of text; `None` where there are none.
    pub(crate) fn into_faults(self) -> Option<String> {
        let mut faults = self.faults.into_inner();
        faults.sort();
        faults.dedup();
        let lines = faults.iter().map(|(line, what)| format!("{}:{line}: {what}", self.name));
        (!faults.is_empty()).then(|| lines.collect::<Vec<_>>().join("\n"))
    }
}

type Placed<'a> = &'a Spanned<DeValue<'a>>;

/// A table of the file.
pub(crate) struct Section<'a> {
    pub(crate) source: &'a Source<'a>,
    /// Where it begins.
    pub(crate) at: usize,
    /// In the order of the file.
    entries: Vec<(&'a str, usize, Placed<'a>)>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(crate) fn of(source: &'a Source<'a>, at: usize, table: &'a DeTable<'a>) -> Self {
        let mut entries: Vec<_> =
            table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span().start, value)).collect();
        entries.sort_by_key(|(_, at, _)| *at);
        Self { source, at, entries, asked: Vec::new() }
    }

    fn ask(&mut self, key: &'static str) -> Option<(usize, &'a DeValue<'a>)> {
        self.asked.push(key);
        let found = self.entries.iter().find(|(name, ..)| *name == key)?;
        Some((found.1, found.2.get_ref()))
    }

    fn wrong(&self, at: usize, key: &str, value: &DeValue<'_>, wanted: &str) {
        self.source.fault(at, format!("{key} is {}, not {wanted}", kind(value)));
    }

    /// Where a key stands; the section itself where it is not given.
    pub(crate) fn place(&self, key: &str) -> usize {
        self.entries.iter().find(|(name, ..)| *name == key).map_or(self.at, |(_, at, _)| *at)
    }

    /// Whether a key is given.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, ..)| *name == key)
    }

    /// A text, where given.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<String> {
        let (at, value) = self.ask(key)?;
        if value.as_str().is_none() {
            self.wrong(at, key, value, "a text");
        }
        value.as_str().map(str::to_owned)
    }

    /// `true` or `false`, where given.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let (at, value) = self.ask(key)?;
        if value.as_bool().is_none() {
            self.wrong(at, key, value, "true or false");
        }
        value.as_bool()
    }

    /// A whole number of at least 0, where given.
    pub(crate) fn number(&mut self, key: &'static str) -> Option<u64> {
        let (at, value) = self.ask(key)?;
        let number = value.as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        if number.is_none() {
            self.wrong(at, key, value, "a whole number from 0 on");
        }
        number
    }

    /// What a function reads from a text, where given.
    pub(crate) fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(key)?;
        read(&text).map_err(|why| self.source.fault(self.place(key), format!("{key}: {why}"))).ok()
    }

    /// A text or a list of texts, where given.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let (at, value) = self.ask(key)?;
        let texts = texts(value);
        if texts.is_none() {
            self.wrong(at, key, value, "a text or a list of texts");
        }
        texts
    }

    /// A table below, where given.
    pub(crate) fn section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let (at, value) = self.ask(key)?;
        self.below(key, at, value)
    }

    fn below(&self, key: &str, at: usize, value: &'a DeValue<'a>) -> Option<Section<'a>> {
        let table = value.as_table();
        if table.is_none() {
            self.wrong(at, key, value, "a section");
        }
        table.map(|table| Section::of(self.source, at, table))
    }

    /// The tables of a list `[[key]]`.
    pub(crate) fn list(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let Some((at, value)) = self.ask(key) else { return Vec::new() };
        let Some(items) = value.as_array() else {
            self.wrong(at, key, value, "a list of calls: write [[…]]");
            return Vec::new();
        };
        let items = items.iter();
        items.filter_map(|item| self.below(key, item.span().start, item.get_ref())).collect()
    }

    /// Tables under names that the author chose.
    pub(crate) fn named(&self) -> Vec<(String, Section<'a>)> {
        let entries = self.entries.iter();
        let named = |(name, at, value): &(&'a str, usize, Placed<'a>)| {
            Some(((*name).to_owned(), self.below(name, *at, value.get_ref())?))
        };
        entries.filter_map(named).collect()
    }

    /// Texts, or lists of texts, under names that the author chose.
    pub(crate) fn named_texts(&self) -> Vec<(String, Vec<String>)> {
        let mut all = Vec::new();
        for (name, at, value) in &self.entries {
            match texts(value.get_ref()) {
                Some(texts) => all.push(((*name).to_owned(), texts)),
                None => self.wrong(*at, name, value.get_ref(), "a text or a list of texts"),
            }
        }
        all
    }

    /// Names and values of a table, a pair for each value; nothing where it is not given.
    pub(crate) fn attributes(&mut self, key: &'static str) -> Attributes {
        let Some(section) = self.section(key) else { return Attributes::new() };
        section.pairs()
    }

    /// This table as names and values, a pair for each value.
    pub(crate) fn pairs(&self) -> Attributes {
        let named = self.named_texts().into_iter();
        named.flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value))).collect()
    }

    /// This table as JSON.
    pub(crate) fn json(&self) -> Json {
        let entries = self.entries.iter();
        Json::Object(entries.map(|(name, _, value)| ((*name).to_owned(), json(value.get_ref()))).collect())
    }

    /// Ends the reading: keys that nobody asked for are faults.
    pub(crate) fn close(self) {
        for (name, at, _) in &self.entries {
            if !self.asked.contains(name) {
                self.source
                    .fault(*at, format!("{name:?} is not known here; known: {}", self.asked.join(", ")));
            }
        }
    }
}

fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::Array(items) => {
            items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
        }
        single => single.as_str().map(|text| vec![text.to_owned()]),
    }
}

fn json(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::String(text) => Json::String(text.to_string()),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            number.map_or(Json::Null, Json::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Json::Null, Json::from),
        DeValue::Boolean(flag) => Json::Bool(*flag),
        DeValue::Datetime(moment) => Json::String(moment.to_string()),
        DeValue::Array(items) => Json::Array(items.iter().map(|item| json(item.get_ref())).collect()),
        DeValue::Table(table) => {
            let entries = table.iter();
            Json::Object(
                entries.map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect(),
            )
        }
    }
}

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
