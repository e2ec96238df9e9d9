//! What a tool has to say.

use serde_json::Value;

/// The result of a tool, for people and for programs.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// For people.
    pub text: String,
    /// For programs.
    pub json: Value,
    /// Whether all is well: the exit status.
    pub good: bool,
}

/// Rows under each other, each column as wide as its widest cell; the last one as it comes.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(at) {
                Some(widest) => *widest = (*widest).max(width),
                None => widths.push(width),
            }
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Octets for people.
pub(crate) fn size_text(octets: u64) -> String {
    // Shown, not computed with: what is lost is not seen.
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let octets_shown = octets as f64;
    match octets {
        0..1_024 => format!("{octets} B"),
        1_024..1_048_576 => format!("{:.1} KiB", octets_shown / 1024.0),
        _ => format!("{:.1} MiB", octets_shown / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let text = columns(&[row(&["a", "long", "x"]), row(&["bcd", "s", "tail here"])]);
        assert_eq!(text, "a    long  x\nbcd  s     tail here");
        assert_eq!(
            (size_text(5), size_text(2048), size_text(3 << 20)),
            ("5 B".into(), "2.0 KiB".into(), "3.0 MiB".into())
        );
    }
}
