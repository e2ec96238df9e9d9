//! The rule file: `pattern template` lines, `!` comments, `<file` includes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::pattern::{Pattern, Shape};
use super::tags::ChannelTags;
use super::template::{Allowed, Form, Template};

/// Most rules one configuration may have, includes counted.
pub const RULES_MAX: usize = 100_000;
/// Deepest nesting of includes.
pub const INCLUDES_MAX: usize = 8;
/// Most errors one reading reports.
pub const ERRORS_MAX: usize = 100;
/// Longest line, in octets.
pub const LINE_MAX: usize = 2048;

/// Gives the text of a file by its name, or says why it cannot.
pub type Include<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// What surrounds a rule file.
#[derive(Clone, Copy)]
pub struct RuleOptions<'a> {
    /// The channels that templates may name.
    pub tags: &'a ChannelTags,
    /// Whether templates may hand over by `A@B@C@D` (refused by default).
    pub source_routes: bool,
    /// Whether a general table is there for `$(key)`.
    pub general: bool,
    /// Gives the text of a file named by `<file`; the error says why it cannot.
    pub include: Option<Include<'a>>,
}

impl<'a> RuleOptions<'a> {
    /// No includes, no general table, no source routes.
    #[must_use]
    pub fn new(tags: &'a ChannelTags) -> Self {
        Self { tags, source_routes: false, general: false, include: None }
    }
}

/// One rule, with the place it was written.
#[derive(Debug, Clone)]
pub struct Rule {
    /// For which hosts.
    pub pattern: Pattern,
    /// What becomes of them.
    pub template: Template,
    /// The rule as written.
    pub text: Box<str>,
    /// The file's name.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl Rule {
    /// `file:line`, for explanations.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

/// One thing wrong in a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// What is wrong.
    pub problem: String,
    /// How to mend it.
    pub mend: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.file, self.line, self.problem, self.mend)
    }
}

/// All that is wrong in a rule file, up to [`ERRORS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RuleErrors(pub Vec<RuleError>);

impl fmt::Display for RuleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, error) in self.0.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

/// A set of rules, compiled for look-up.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    index: HashMap<Box<str>, Vec<u32>>,
    /// The most wildcard labels of any pattern: so many are probed.
    wildcards: usize,
    /// Whether any pattern is `$%`, `$!`: only then are local parts looked into.
    takes_percent: bool,
    takes_bang: bool,
    /// Whether any built tag must be looked up while rewriting.
    tags: ChannelTags,
}

impl Rules {
    /// Reads a rule file; all errors at once.
    pub fn parse(text: &str, file: &str, options: &RuleOptions<'_>) -> Result<Self, RuleErrors> {
        let mut reader = FileReader { options, rules: Vec::new(), errors: Vec::new() };
        reader.file(text, file, 0);
        if reader.errors.is_empty() {
            Ok(Self::compile(reader.rules, options.tags.clone()))
        } else {
            Err(RuleErrors(reader.errors))
        }
    }

    fn compile(rules: Vec<Rule>, tags: ChannelTags) -> Self {
        let mut set = Self { tags, ..Self::default() };
        for (nth, rule) in (0u32..).zip(&rules) {
            set.index.entry(rule.pattern.key()).or_default().push(nth);
            match &rule.pattern.shape {
                Shape::Labels(count, _) => set.wildcards = set.wildcards.max(*count),
                Shape::Percent => set.takes_percent = true,
                Shape::Bang => set.takes_bang = true,
                _ => {}
            }
        }
        set.rules = rules;
        set
    }

    /// The rules under a key, in the order of the file.
    pub(super) fn under(&self, key: &str) -> impl Iterator<Item = &Rule> {
        self.index.get(key).into_iter().flatten().map(|nth| &self.rules[*nth as usize])
    }

    pub(super) fn wildcards(&self) -> usize {
        self.wildcards
    }

    pub(super) fn takes_percent(&self) -> bool {
        self.takes_percent
    }

    pub(super) fn takes_bang(&self) -> bool {
        self.takes_bang
    }

    /// The channels its templates may name.
    #[must_use]
    pub fn tags(&self) -> &ChannelTags {
        &self.tags
    }

    /// All rules, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// The plugins that rules call, each with the first rule (`file:line`) that does. Whether one is installed is known
    /// only when it is asked; whoever loads rules can warn.
    #[must_use]
    pub fn plugins(&self) -> Vec<(hooks::PluginName, String)> {
        let mut found: Vec<(hooks::PluginName, String)> = Vec::new();
        for rule in &self.rules {
            if let Form::Call(call) = &rule.template.form
                && !found.iter().any(|(name, _)| *name == call.plugin)
            {
                found.push((call.plugin.clone(), rule.origin()));
            }
        }
        found
    }

    /// Whether some rule may change header addresses: without one, headers need not be looked at.
    #[must_use]
    pub fn touch_headers(&self) -> bool {
        self.rules.iter().any(|rule| {
            rule.template.controls.place != Some(super::control::Place::Envelope)
                && !matches!(rule.template.form, Form::Refuse)
        })
    }
}

struct FileReader<'a> {
    options: &'a RuleOptions<'a>,
    rules: Vec<Rule>,
    errors: Vec<RuleError>,
}

impl FileReader<'_> {
    fn error(&mut self, file: &str, line: u32, problem: impl Into<String>, mend: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(RuleError {
                file: file.to_owned(),
                line,
                problem: problem.into(),
                mend: mend.into(),
            });
        }
    }

    fn file(&mut self, text: &str, file: &str, depth: usize) {
        let name: Arc<str> = file.into();
        for (number, line) in (1u32..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('!') {
                continue;
            }
            if line.len() > LINE_MAX {
                self.error(
                    file,
                    number,
                    format!("the line is longer than {LINE_MAX} octets"),
                    "split the rule",
                );
            } else if line.starts_with('#') {
                self.error(file, number, "\"#\" begins no comment here", "begin comments with \"!\"");
            } else if let Some(included) = line.strip_prefix('<') {
                self.include(included.trim(), file, number, depth);
            } else {
                self.rule(line, &name, number);
            }
        }
    }

    fn include(&mut self, included: &str, file: &str, line: u32, depth: usize) {
        if depth >= INCLUDES_MAX {
            let problem = format!("files include one another more than {INCLUDES_MAX} deep");
            return self.error(file, line, problem, "look for a file that includes itself");
        }
        let Some(include) = self.options.include else {
            return self.error(file, line, "files cannot be included here", "put the rules into one file");
        };
        match include(included) {
            Ok(text) => self.file(&text, included, depth + 1),
            Err(why) => {
                self.error(file, line, format!("{included:?} cannot be read: {why}"), "mend the path")
            }
        }
    }

    fn rule(&mut self, text: &str, file: &Arc<str>, line: u32) {
        if self.rules.len() >= RULES_MAX {
            let problem = format!("there are more than {RULES_MAX} rules");
            return self.error(file, line, problem, "keep domains in the directory, and use $V");
        }
        let Some((left, right)) = text.split_once(char::is_whitespace) else {
            return self.error(file, line, format!("{text:?} has no template"), "write: pattern template");
        };
        let pattern = Pattern::parse(left);
        let RuleOptions { tags, source_routes, general, .. } = *self.options;
        let template = Template::parse(right.trim(), Allowed { tags, source_routes, general });
        if let Err((problem, mend)) = &pattern {
            self.error(file, line, problem, mend);
        }
        if let Err(error) = &template {
            self.error(file, line, &error.problem, &error.mend);
        }
        if let (Ok(pattern), Ok(template)) = (pattern, template) {
            let text = format!("{left} {}", right.trim()).into();
            self.rules.push(Rule { pattern, template, text, file: file.clone(), line });
        }
    }
}
