//! The `txtar` format: one text file that holds several.
//!
//! A comment, then sections, each begun by a line `-- name --`. Every data-driven test of the
//! project is one such file, so that a case reads from top to bottom and needs no other file.

/// A parsed file. `to_string` is the inverse of [`Archive::parse`] up to a final newline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Archive {
    /// The text before the first section: what the case shows, in a sentence, with its RFC §.
    pub comment: String,
    /// The sections in their order.
    pub sections: Vec<Section>,
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What stands between the dashes.
    pub name: String,
    /// Its text, with final newline unless empty.
    pub text: String,
    /// The number of its first line in the file, from 1: for messages.
    pub line: usize,
}

impl Archive {
    /// Takes a file apart. Every text is a valid archive: without sections all is comment.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut archive = Self::default();
        for (number, line) in text.lines().enumerate() {
            if let Some(name) = section_name(line) {
                archive.sections.push(Section {
                    name: name.to_owned(),
                    text: String::new(),
                    line: number + 2,
                });
                continue;
            }
            let into = archive.sections.last_mut().map_or(&mut archive.comment, |section| &mut section.text);
            into.push_str(line);
            into.push('\n');
        }
        archive
    }

    /// The text of the first section of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.section(name).map(|section| section.text.as_str())
    }

    /// The first section of that name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// Puts a text under a name: in place, or as a new last section.
    pub fn set(&mut self, name: &str, text: &str) {
        if let Some(section) = self.sections.iter_mut().find(|section| section.name == name) {
            text.clone_into(&mut section.text);
        } else {
            self.sections.push(Section { name: name.to_owned(), text: text.to_owned(), line: 0 });
        }
    }
}

impl std::fmt::Display for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.comment)?;
        for section in &self.sections {
            write!(f, "-- {} --\n{}", section.name, section.text)?;
            if !section.text.is_empty() && !section.text.ends_with('\n') {
                f.write_str("\n")?;
            }
        }
        Ok(())
    }
}

/// `-- name --`, alone on its line.
fn section_name(line: &str) -> Option<&str> {
    let name = line.trim_end().strip_prefix("-- ")?.strip_suffix(" --")?.trim();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_reads_and_prints_back() {
        let text = "What it shows.\n-- a --\none\ntwo\n-- b.toml --\n-- c --\n-- not a name\n--  --\nthree\n";
        let archive = Archive::parse(text);
        assert_eq!(archive.comment, "What it shows.\n");
        let names: Vec<(&str, usize)> = archive.sections.iter().map(|s| (s.name.as_str(), s.line)).collect();
        assert_eq!(names, [("a", 3), ("b.toml", 6), ("c", 7)]);
        assert_eq!(archive.get("a"), Some("one\ntwo\n"));
        assert_eq!(archive.get("c"), Some("-- not a name\n--  --\nthree\n"));
        assert_eq!(archive.to_string(), text);
    }

    #[test]
    fn a_section_is_replaced_in_place_or_added() {
        let mut archive = Archive::parse("c\n-- a --\none\n");
        archive.set("a", "two");
        archive.set("b", "three\n");
        assert_eq!(archive.to_string(), "c\n-- a --\ntwo\n-- b --\nthree\n");
    }
}
