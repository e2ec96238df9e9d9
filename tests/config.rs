//! Bad configurations are refused, all faults at once, with file, line, key and mend; and the
//! configuration that ships is the default.

use std::path::Path;
use std::process::ExitCode;

use mail_tests::cases::{self, Case};
use wasmta::config::Config;

/// At least so many kinds of faults are shown.
const CASES_MIN: usize = 40;

fn main() -> ExitCode {
    let mut all = cases::find("config/bad", "toml");
    let shipped = cases::tests_folder().join("../config/wasmta.toml");
    all.push(Case { name: "shipped_configuration_is_the_default".to_owned(), path: shipped });
    cases::run(all, CASES_MIN, |case| {
        if case.name.starts_with("shipped") { is_default(&case.path) } else { is_refused(case) }
    })
}

/// The shipped file says the defaults, so each of its lines may be taken out.
fn is_default(path: &Path) -> Result<(), String> {
    let config = Config::load(path).map_err(|problems| problems.to_string())?;
    let text = "[directory]\n[routing]\n";
    let folder = path.parent().unwrap_or(Path::new(""));
    let default = Config::parse("", text, folder).map_err(|problems| problems.to_string())?;
    if config == default { Ok(()) } else { Err(format!("shipped: {config:#?}\ndefault: {default:#?}")) }
}

/// `case.toml` is refused with exactly the text of `case.expected`.
fn is_refused(case: &Case) -> Result<(), String> {
    let text = std::fs::read_to_string(&case.path).map_err(|e| e.to_string())?;
    let name = format!("{}.toml", case.name);
    let said = match Config::parse(&name, &text, Path::new("")) {
        Ok(_) => return Err("it is accepted".to_owned()),
        Err(problems) => format!("{problems}\n"),
    };
    let file = case.path.with_extension("expected");
    if cases::updating() {
        return std::fs::write(&file, said).map_err(|e| e.to_string());
    }
    let expected = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    if said == expected { Ok(()) } else { Err(format!("expected:\n{expected}\nsaid:\n{said}")) }
}
