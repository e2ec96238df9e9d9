//! `[programs.NAME]`: programs that mail may be delivered to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use channels::{Argument, LineEnds};
use runtime::Confinement;

use super::below;
use super::section::Section;
use super::server::secs;

/// Most programs of one configuration.
const PROGRAMS_MAX: usize = 10_000;
/// Most arguments of one program.
const ARGUMENTS_MAX: usize = 256;
/// Programs whose arguments may be more programs: what is filled in must not get there.
const SHELLS: [&str; 9] = ["sh", "bash", "dash", "ash", "ksh", "zsh", "csh", "tcsh", "fish"];

/// The registered programs, by their names in lower case.
pub type Programs = BTreeMap<String, channels::Program>;

pub(super) fn read(section: &Section<'_>, folder: &Path) -> Programs {
    let named = section.named_sections();
    if named.len() > PROGRAMS_MAX {
        section.fault(
            "",
            format!("{} programs are named here", named.len()),
            format!("at most {PROGRAMS_MAX}"),
        );
    }
    let mut programs = Programs::new();
    for (name, one) in named {
        if !is_name(&name) {
            section.fault(
                &name,
                "is no name of a program",
                "use letters, digits, \"-\", \"_\" and \".\", at most 63",
            );
        }
        let program = read_program(one, folder);
        if programs.insert(name.to_ascii_lowercase(), program).is_some() {
            section.fault(&name, "is registered twice", "names are compared without regard to case");
        }
    }
    programs
}

/// What may stand in a rule, in a route, and as one label of a domain.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=63).contains(&name.len()) && name.bytes().all(plain) && name.as_bytes()[0].is_ascii_alphanumeric()
}

fn read_program(mut s: Section<'_>, folder: &Path) -> channels::Program {
    let command = s.path("command").unwrap_or_default();
    check_command(&s, &command);
    let arguments: Vec<Argument> = s
        .parsed_list(
            "arguments",
            "write texts; {recipient}, {sender}, {account}, {detail} and {id} are filled in",
        )
        .unwrap_or_default();
    check_arguments(&s, &command, &arguments);
    let user = read_user(&mut s);
    let most = |s: &mut Section<'_>, key, usual| s.size(key, usual, 1 << 20..=1 << 40);
    let confinement = Confinement {
        user,
        folder: s.path("folder").map_or_else(|| PathBuf::from("/"), |path| below(folder, path)),
        cpu_seconds: s.duration("cpu", secs(60), secs(1)..=secs(86_400)).as_secs(),
        // Less, and the program that limits itself cannot become the other one.
        memory: s.size("memory", 512 << 20, 64 << 20..=1 << 40),
        open_files: s.number("open-files", 64, 8..=65_536),
        // Where the program has the server's own user, the system would count the server's own threads.
        processes: s.number("processes", if user.is_some() { 64 } else { 0 }, 0..=65_536),
        file_size: most(&mut s, "file-size", 64 << 20),
    };
    if user.is_none() && s.has("processes") {
        let what = "counts what a user runs, and this program runs as the server's own";
        s.fault("processes", what, "add user = \"…\", or take it out");
    }
    if !confinement.folder.is_dir() {
        s.fault("folder", format!("there is no folder {}", confinement.folder.display()), "mend the path");
    }
    let program = channels::Program {
        command,
        arguments,
        confinement,
        timeout: s.duration("timeout", secs(60), Duration::from_millis(100)..=secs(3600)),
        output_max: usize::try_from(s.size("output", 16 << 10, 1..=16 << 20)).unwrap_or(16 << 10),
        line_ends: s.choice("line-ends", LineEnds::Lf, &[("lf", LineEnds::Lf), ("crlf", LineEnds::Crlf)]),
        from_line: s.flag("from-line", false),
    };
    s.close();
    program
}

fn check_command(s: &Section<'_>, command: &Path) {
    if !s.has("command") {
        s.fault("command", "a program needs this key", "add command = \"/usr/local/libexec/…\"");
    } else if let Err(what) = runtime::check_command(command) {
        let mend = "name an executable file by its absolute path, which belongs to root or the server and which nobody \
                    else can write or exchange";
        s.fault("command", format!("{} {what}", command.display()), mend);
    }
}

/// A shell would read values as program text, whatever is in them.
fn check_arguments(s: &Section<'_>, command: &Path, arguments: &[Argument]) {
    if arguments.len() > ARGUMENTS_MAX {
        s.fault(
            "arguments",
            format!("has {} arguments", arguments.len()),
            format!("at most {ARGUMENTS_MAX}"),
        );
    }
    let is_shell = command.file_name().is_some_and(|name| SHELLS.iter().any(|shell| name == *shell));
    let takes_text = |argument: &Argument| {
        let text = argument.as_str();
        text.starts_with('-') && !text.starts_with("--") && text.contains('c')
    };
    if is_shell && arguments.iter().any(takes_text) && arguments.iter().any(Argument::has_blanks) {
        let what = "fills values into words that a shell reads as a program";
        s.fault(
            "arguments",
            what,
            "let it use $RECIPIENT, $SENDER and so on, in double quotes, or name a script",
        );
    }
}

fn read_user(s: &mut Section<'_>) -> Option<(u32, u32)> {
    let (user, group) = (s.text("user", ""), s.text("group", ""));
    if user.is_empty() {
        if !group.is_empty() {
            s.fault("group", "stands without its user", "add user = \"…\"");
        }
        return None;
    }
    let Some((uid, primary)) = runtime::find_user(&user) else {
        let mend = "name a user of /etc/passwd, or write the number of another one";
        s.fault("user", format!("there is no user {user:?}"), mend);
        return None;
    };
    let found = if group.is_empty() { Some(primary) } else { runtime::find_group(&group) };
    let Some(gid) = found else {
        let mend = "name a group of /etc/group, or write the number of another one";
        s.fault("group", format!("there is no group {group:?}"), mend);
        return None;
    };
    if uid == 0 {
        s.fault("user", "no program of others runs as root", "give it a user of its own");
        return None;
    }
    Some((uid, gid))
}
