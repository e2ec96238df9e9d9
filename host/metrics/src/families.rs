//! Numbers by name and labels, and how they are written.
//!
//! Written here and not by the library of Prometheus, since that one (0.24) puts the values of labels on the page as they are:
//! a name with a quotation mark in it, which whoever may name something chooses, would write lines of its own.

use std::fmt::Write as _;

/// Whether a number only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It rises, until the server starts anew.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many there were of each size.
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label and its value.
type Label<'a> = (&'static str, &'a str);

/// Numbers that share a name, one for each set of labels.
#[derive(Debug)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    lines: String,
}

impl Family {
    /// Adds a whole number.
    pub fn add(&mut self, labels: &[Label<'_>], number: u64) -> &mut Self {
        self.line("", labels, None, &number.to_string())
    }

    /// Adds a number that need not be whole, as seconds. One that is none is left out.
    pub fn add_fraction(&mut self, labels: &[Label<'_>], number: f64) -> &mut Self {
        if number.is_finite() { self.line("", labels, None, &number.to_string()) } else { self }
    }

    /// Adds how many there were up to each bound, those up to the bounds before not counted again; the last ones have no
    /// bound. And the sum of all.
    pub fn add_histogram(
        &mut self,
        labels: &[Label<'_>],
        counts: &[(Option<u64>, u64)],
        sum: u64,
    ) -> &mut Self {
        let mut so_far = 0;
        for (bound, count) in counts {
            so_far += count;
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            self.line("_bucket", labels, Some(&bound), &so_far.to_string());
        }
        self.line("_sum", labels, None, &sum.to_string());
        self.line("_count", labels, None, &so_far.to_string())
    }

    fn line(&mut self, suffix: &str, labels: &[Label<'_>], bound: Option<&str>, number: &str) -> &mut Self {
        let Self { name, lines, .. } = self;
        lines.push_str(name);
        lines.push_str(suffix);
        let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut before = '{';
        for (label, value) in all {
            lines.push(before);
            lines.push_str(label);
            lines.push_str("=\"");
            escape(lines, value);
            lines.push('"');
            before = ',';
        }
        if before == ',' {
            lines.push('}');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(lines, " {number}");
        self
    }
}

/// Backslash, quotation mark and line feed have a meaning in the value of a label.
fn escape(page: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => page.push_str("\\\\"),
            '"' => page.push_str("\\\""),
            '\n' => page.push_str("\\n"),
            c => page.push(c),
        }
    }
}

/// All that is on the page, in its order.
#[derive(Debug, Default)]
pub struct Families(Vec<Family>);

impl Families {
    /// Begins a name, with what it means in one sentence without a full stop. Names begin with the program, and end with the unit;
    /// those of counters with `_total`.
    pub fn begin(&mut self, name: &'static str, kind: Kind, help: &'static str) -> &mut Family {
        let at = self.0.len();
        self.0.push(Family { name, help, kind, lines: String::new() });
        &mut self.0[at]
    }

    /// The page; names without a number are left out.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        for Family { name, help, kind, lines } in self.0.iter().filter(|family| !family.lines.is_empty()) {
            // Writing to a String cannot fail.
            let _ = write!(page, "# HELP {name} {help}.\n# TYPE {name} {}\n{lines}", kind.word());
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written() {
        let mut families = Families::default();
        families.begin("wasmta_mail_total", Kind::Counter, "Mail").add(&[], 3);
        families.begin("wasmta_nothing", Kind::Gauge, "Nobody has it");
        let some = families.begin("wasmta_some", Kind::Gauge, "Some");
        some.add(&[("of", "a\\b"), ("what", "say \"x\"\nwasmta_evil 1")], 1)
            .add_fraction(&[("of", "c")], 0.25);
        some.add_fraction(&[("of", "d")], f64::NAN);
        let waits = families.begin("wasmta_wait_seconds", Kind::Histogram, "Waits");
        waits.add_histogram(&[("by", "x")], &[(Some(1), 2), (Some(10), 0), (None, 1)], 99);
        let expected = r##"# HELP wasmta_mail_total Mail.
# TYPE wasmta_mail_total counter
wasmta_mail_total 3
# HELP wasmta_some Some.
# TYPE wasmta_some gauge
wasmta_some{of="a\\b",what="say \"x\"\nwasmta_evil 1"} 1
wasmta_some{of="c"} 0.25
# HELP wasmta_wait_seconds Waits.
# TYPE wasmta_wait_seconds histogram
wasmta_wait_seconds_bucket{by="x",le="1"} 2
wasmta_wait_seconds_bucket{by="x",le="10"} 2
wasmta_wait_seconds_bucket{by="x",le="+Inf"} 3
wasmta_wait_seconds_sum{by="x"} 99
wasmta_wait_seconds_count{by="x"} 3
"##;
        assert_eq!(families.page(), expected);
    }
}
