//! Dialogues: what client and server say, line by line.
//!
//! # The format
//!
//! A section of a [`txtar`](crate::txtar) file. One thing a line:
//!
//! | line | means |
//! |---|---|
//! | `C: text` | the client sends the text and CRLF |
//! | `C= text` | the client sends the text without CRLF, with `\r \n \t \0 \\ \xHH \{N*text}` |
//! | `S: text` | the server sends exactly this line; `*` is any run of characters, `<<name>>` captures one |
//! | `S*` | any number of server lines, up to the one that the next `S:` expects |
//! | `S! text` | right behind `S*`: none of these lines holds the text |
//! | `@open LISTENER` | connect to that listener; `as NAME` gives the connection a name |
//! | `@use NAME` | the lines that follow are that connection's |
//! | `@tls` | the client begins TLS now (after `STARTTLS`, or at once on an implicit-TLS listener) |
//! | `@deflate` | both sides compress from here on (after `COMPRESS`) |
//! | `@bare` | the server may end lines in LF alone from here on |
//! | `@close` | the client closes; `@closed`: the server has closed, without a further line |
//! | `@send SECTION` | the client sends that section, each line ended by CRLF |
//! | `@eventually` … `@end` | the lines between are tried anew, all of them, until they hold (at most 10 s) |
//! | `@run ARGUMENTS` | runs `wasmta ARGUMENTS`; the `O: text` lines that follow are its output |
//! | `O*` | any number of output lines, up to the one that the next line `O:` expects, or to the end |
//! | `@exit N` | the last `@run` ended with this exit code |
//! | `L: text` | the server's log has, or has soon, a line like this |
//! | `@damage HOW PATH …` | a file of the case's folder is lost or changed: `remove PATH`, `cut PATH OCTETS`, `overwrite PATH AT`, `write PATH TEXT`, `copy FROM TO`, `rename FROM TO`, `link TO NAME`; `shorten STORAGE SPACE ID OCTETS`: records of a message of the queue lose their ends |
//! | `@absent PATH` | the case's folder has no such file |
//! | `@stop` | every connection is closed and the server stops; commands do without it, until `@restart` |
//! | `@restart` | every connection is closed, the server stops and starts over the same data |
//! | `@configure SECTION` | that section is laid over `server.toml`, captured texts filled in; `@run reload` takes it up |
//! | `# text`, empty | nothing: a comment |
//!
//! `<<name>>` in `C:`, `C=` and `@run` gives what was captured, `<<base64:text>>` the encoded text.
//! The first `@open` may be left out: the folder's listener (`dialogs/smtp/…`: `smtp`) is meant.
//! With `UPDATE=1` the `S:` and `O:` lines that do not match are replaced by what really came.
//!
//! In a `peer` section of a flow the sides are changed: `S:` is sent by the test, which plays the
//! other host, and `C:` (`C*`) is what our server must say. `@accept` waits for a connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use runtime::Stream;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::damage::damage;
use crate::pattern::{Names, fill, matches, unescape};
use crate::txtar::{Archive, Section};
use crate::wire::{PATIENCE, Wire};

/// How long between two tries of an `@eventually` block.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// What a command came to.
pub struct Printed {
    /// Standard output, then errors.
    pub text: String,
    /// The exit code.
    pub code: u8,
}

/// What a dialogue needs to know of its surroundings.
pub trait Place: Sync {
    /// Where the listener of that name is.
    fn listener(&self, name: &str) -> Option<SocketAddr>;
    /// Runs the command line.
    fn command(&self, arguments: &str) -> impl Future<Output = Result<Printed, String>> + Send;
    /// Stops the server.
    fn stop(&self) -> impl Future<Output = ()> + Send;
    /// Stops the server and starts it over the same data.
    fn restart(&self) -> impl Future<Output = Result<(), String>> + Send;
    /// Lays a text over the configuration file.
    fn configure(&self, toml: &str) -> Result<(), String>;
    /// What the server has logged so far.
    fn log(&self) -> String;
}

/// A running dialogue.
pub struct Dialog<'a, P: Place> {
    place: &'a P,
    archive: &'a Archive,
    lines: Vec<String>,
    first_line: usize,
    default_listener: String,
    connections: BTreeMap<String, Wire>,
    current: String,
    names: Names,
    update: bool,
    /// What a command printed and no `O:` line has claimed.
    output: Vec<String>,
    /// How the last command ended.
    exit: Option<u8>,
    /// The other host's side of a peer's dialogue.
    peer: Option<TcpListener>,
}

impl<'a, P: Place> Dialog<'a, P> {
    /// Prepares a section.
    pub fn new(place: &'a P, archive: &'a Archive, section: &Section, listener: &str, update: bool) -> Self {
        Self {
            place,
            archive,
            lines: section.text.lines().map(str::to_owned).collect(),
            first_line: section.line,
            default_listener: listener.to_owned(),
            connections: BTreeMap::new(),
            current: String::new(),
            names: Names::new(),
            update,
            output: Vec::new(),
            exit: None,
            peer: None,
        }
    }

    /// Plays the other host: the sides are changed, and `@accept` waits at this listener.
    #[must_use]
    pub fn as_peer(mut self, listener: TcpListener) -> Self {
        self.peer = Some(listener);
        self
    }

    /// Makes names known before the first line.
    #[must_use]
    pub fn with_names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Plays it. Gives the section's text, which differs from the old only when updating.
    pub async fn play(mut self) -> Result<String, String> {
        let mut at = 0;
        while at < self.lines.len() {
            at = if self.lines[at].trim() == "@eventually" {
                self.eventually(at + 1).await?
            } else {
                self.step(at).await?
            };
        }
        self.no_output_left(self.lines.len())?;
        let mut text = self.lines.join("\n");
        text.push('\n');
        Ok(text)
    }

    /// Tries the block that begins at a line until it holds; gives the line after its `@end`.
    async fn eventually(&mut self, from: usize) -> Result<usize, String> {
        let started = Instant::now();
        let (update, names) = (self.update, self.names.clone());
        self.update = false;
        loop {
            let mut at = from;
            let outcome = loop {
                match self.lines.get(at).map(|line| line.trim()) {
                    None => return Err(self.fault(from, "@eventually without @end")),
                    Some("@end") => break Ok(at + 1),
                    Some(_) => match self.step(at).await {
                        Ok(next) => at = next,
                        Err(why) => break Err(why),
                    },
                }
            };
            match outcome {
                Ok(next) => {
                    self.update = update;
                    return Ok(next);
                }
                Err(why) if started.elapsed() > PATIENCE => {
                    return Err(format!("{why}\n(tried for {PATIENCE:?})"));
                }
                Err(_) => {
                    self.names.clone_from(&names);
                    self.output.clear();
                    tokio::time::sleep(TRY_AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Plays one line; gives the number of the next.
    async fn step(&mut self, at: usize) -> Result<usize, String> {
        let mut line = self.lines[at].clone();
        if self.peer.is_some() {
            line = changed_sides(&line);
        }
        let outcome = match line.split_at_checked(2) {
            _ if line.trim().is_empty() || line.starts_with('#') => Ok(at + 1),
            Some(("C:", text)) => self.say(text.strip_prefix(' ').unwrap_or(text)).await.map(|()| at + 1),
            Some(("C=", text)) => self.say_raw(text.strip_prefix(' ').unwrap_or(text)).await.map(|()| at + 1),
            Some(("S:", text)) => self.hear(at, text.strip_prefix(' ').unwrap_or(text)).await,
            Some(("S*", _)) => self.hear_until(at).await,
            Some(("O*", _)) => Ok(self.printed_until(at)),
            Some(("O:", text)) => self.printed(at, text.strip_prefix(' ').unwrap_or(text)),
            Some(("L:", text)) => self.logged(text.trim_start()).await.map(|()| at + 1),
            _ if line.starts_with('@') => {
                self.no_output_left(at)?;
                self.direct(at, &line).await.map(|()| at + 1)
            }
            _ => Err("this is no line of a dialogue".to_owned()),
        };
        outcome.map_err(|why| self.fault(at, &why))
    }

    fn fault(&self, at: usize, why: &str) -> String {
        if why.starts_with("line ") {
            return why.to_owned();
        }
        let line = self.lines.get(at).map_or("(end)", String::as_str);
        format!("line {}: {line}\n  {why}", self.first_line + at)
    }

    async fn wire(&mut self) -> Result<&mut Wire, String> {
        if self.current.is_empty() {
            let listener = self.default_listener.clone();
            self.open(&listener, &listener).await?;
        }
        let current = &self.current;
        self.connections.get_mut(current).ok_or_else(|| format!("the connection {current:?} is not open"))
    }

    async fn open(&mut self, listener: &str, name: &str) -> Result<(), String> {
        let address =
            self.place.listener(listener).ok_or_else(|| format!("no listener is called {listener:?}"))?;
        let wire = Wire::connect(address).await.map_err(|e| format!("connecting to {listener}: {e}"))?;
        self.connections.insert(name.to_owned(), wire);
        name.clone_into(&mut self.current);
        Ok(())
    }

    fn section(&self, name: &str) -> Result<&'a str, String> {
        self.archive.get(name).ok_or_else(|| format!("no section is called {name:?}"))
    }

    /// Waits for a connection, as a peer.
    async fn accept(&mut self) -> Result<(), String> {
        let listener = self.peer.as_ref().ok_or("only a peer accepts")?;
        let accepted = timeout(PATIENCE, listener.accept()).await.map_err(|_| "nobody connected")?;
        let (socket, _) = accepted.map_err(|e| e.to_string())?;
        self.connections.insert("peer".to_owned(), Wire::new(Stream::plain(socket)));
        "peer".clone_into(&mut self.current);
        Ok(())
    }

    /// The case's folder.
    fn folder(&self) -> Result<&Path, String> {
        self.names.get("folder").map(Path::new).ok_or_else(|| "a peer has no folder".to_owned())
    }

    async fn start_tls(&mut self) -> Result<(), String> {
        self.wire().await?;
        let wire = self.connections.remove(&self.current).ok_or("the connection is gone")?;
        let wire = wire.start_tls().await.map_err(|e| format!("TLS: {e}"))?;
        self.connections.insert(self.current.clone(), wire);
        Ok(())
    }

    async fn direct(&mut self, at: usize, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["@open", listener] => self.open(listener, listener).await,
            ["@open", listener, "as", name] => self.open(listener, name).await,
            ["@use", name] if self.connections.contains_key(*name) => {
                (*name).clone_into(&mut self.current);
                Ok(())
            }
            ["@accept"] => self.accept().await,
            ["@tls"] => self.start_tls().await,
            ["@bare"] => {
                self.wire().await?.take_bare_lines();
                Ok(())
            }
            ["@deflate"] => {
                self.wire().await?.start_deflate();
                Ok(())
            }
            ["@close"] => {
                self.connections.remove(&self.current);
                Ok(())
            }
            ["@closed"] => match self.wire().await?.line().await {
                Ok(None) => Ok(()),
                Ok(Some(line)) => Err(format!("still open, and said: {}", String::from_utf8_lossy(&line))),
                Err(e) => Err(format!("still open: {e}")),
            },
            ["@send", section] => {
                let octets = self.section(section)?.replace('\n', "\r\n").into_bytes();
                self.wire().await?.send(&octets).await.map_err(|e| e.to_string())
            }
            ["@stop"] => {
                self.connections.clear();
                self.current.clear();
                self.place.stop().await;
                Ok(())
            }
            ["@exit", code] => match self.exit {
                Some(exit) if exit.to_string() == *code => Ok(()),
                Some(exit) => Err(format!("the command ended with {exit}")),
                None => Err("no command was run".to_owned()),
            },
            ["@restart"] => {
                self.connections.clear();
                self.current.clear();
                self.place.restart().await
            }
            ["@damage", ..] => {
                let filled = fill(line.trim_start_matches("@damage"), &self.names)?;
                damage(self.folder()?, &filled.split_whitespace().collect::<Vec<_>>()).await
            }
            ["@absent", name] if self.folder()?.join(name).exists() => Err(format!("{name} is there")),
            ["@absent", _] => Ok(()),
            ["@configure", section] => self.place.configure(&fill(self.section(section)?, &self.names)?),
            ["@run", ..] => {
                let arguments = fill(line.trim_start_matches("@run").trim(), &self.names)?;
                let printed = self.place.command(&arguments).await?;
                self.exit = Some(printed.code);
                self.output = printed.text.lines().map(|line| line.trim_end().to_owned()).collect();
                self.rewrite_output(at + 1);
                Ok(())
            }
            _ => Err("this is no directive".to_owned()),
        }
    }

    /// Waits until the log has a line.
    async fn logged(&mut self, pattern: &str) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let log = self.place.log();
            if log.lines().any(|line| matches(pattern, line, &mut self.names)) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("no line like that in the log:\n{log}"));
            }
            tokio::time::sleep(TRY_AGAIN_AFTER).await;
        }
    }

    async fn say(&mut self, text: &str) -> Result<(), String> {
        let line = format!("{}\r\n", fill(text, &self.names)?);
        self.wire().await?.send(line.as_bytes()).await.map_err(|e| e.to_string())
    }

    async fn say_raw(&mut self, text: &str) -> Result<(), String> {
        let octets = unescape(&fill(text, &self.names)?)?;
        self.wire().await?.send(&octets).await.map_err(|e| e.to_string())
    }

    async fn hear_line(&mut self) -> Result<String, String> {
        match self.wire().await?.line().await {
            Ok(Some(line)) => Ok(String::from_utf8_lossy(&line).into_owned()),
            Ok(None) => Err("the server has closed".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }

    async fn hear(&mut self, at: usize, expected: &str) -> Result<usize, String> {
        let line = self.hear_line().await?;
        self.compare(at, "S:", expected, &line)?;
        Ok(at + 1)
    }

    /// `S*`: reads lines until the one that the next `S:` expects.
    async fn hear_until(&mut self, at: usize) -> Result<usize, String> {
        let side = if self.peer.is_some() { "C:" } else { "S:" };
        let not = side.replace(':', "!");
        let is_not = |line: &&String| line.starts_with(&not);
        let forbidden =
            self.lines[at + 1..].iter().take_while(is_not).map(|line| line[2..].trim().to_owned());
        let forbidden: Vec<String> = forbidden.collect();
        let at = at + forbidden.len();
        let next = self.lines.get(at + 1).and_then(|line| line.strip_prefix(side));
        let expected = next.ok_or("after S* stands an S: line")?.trim_start().to_owned();
        let mut heard: Vec<String> = Vec::new();
        loop {
            let line =
                self.hear_line().await.map_err(|why| format!("{why}, after:\n  {}", heard.join("\n  ")))?;
            if matches(&expected, &line, &mut self.names) {
                return Ok(at + 2);
            }
            if let Some(text) = forbidden.iter().find(|text| line.contains(text.as_str())) {
                return Err(format!("{text:?} is not to come:\n  {line}"));
            }
            heard.push(line);
        }
    }

    fn printed(&mut self, at: usize, expected: &str) -> Result<usize, String> {
        if self.output.is_empty() {
            return Err("nothing more was printed".to_owned());
        }
        let line = self.output.remove(0);
        self.compare(at, "O:", expected, &line)?;
        Ok(at + 1)
    }

    /// `O*`: drops what was printed before the line that the next `O:` expects, or all.
    fn printed_until(&mut self, at: usize) -> usize {
        let next = self.lines.get(at + 1).and_then(|line| line.strip_prefix("O:"));
        let found = next.and_then(|next| {
            let expected = next.strip_prefix(' ').unwrap_or(next);
            self.output.iter().position(|line| matches(expected, line, &mut self.names))
        });
        // Where the line does not come, it is the one that is said to be missing.
        self.output.drain(..found.unwrap_or(self.output.len()));
        at + 1
    }

    /// When updating: makes the `O:` lines as many as were printed.
    fn rewrite_output(&mut self, from: usize) {
        if !self.update {
            return;
        }
        if self.lines[from..].iter().take_while(|line| line.starts_with('O')).any(|line| line == "O*") {
            return;
        }
        let expected = self.lines[from..].iter().take_while(|line| line.starts_with("O:")).count();
        for line in self.output.iter().skip(expected) {
            self.lines.insert(from + expected, format!("O: {line}"));
        }
        let printed = self.output.len();
        if expected > printed {
            self.lines.drain(from + printed..from + expected);
        } else {
            self.lines[from + expected..from + printed].reverse();
        }
    }

    fn no_output_left(&mut self, at: usize) -> Result<(), String> {
        if self.output.is_empty() {
            return Ok(());
        }
        let left = std::mem::take(&mut self.output).join("\n  ");
        Err(self.fault(at.saturating_sub(1), &format!("this was printed besides:\n  {left}")))
    }

    fn compare(&mut self, at: usize, side: &str, expected: &str, line: &str) -> Result<(), String> {
        if matches(expected, line, &mut self.names) {
            return Ok(());
        }
        if self.update {
            let side = if self.peer.is_some() { changed_sides(side) } else { side.to_owned() };
            self.lines[at] = format!("{side} {line}").trim_end().to_owned();
            return Ok(());
        }
        Err(format!("came:  {line}"))
    }
}

/// `C` for `S` at the head of a line, and the other way round.
fn changed_sides(line: &str) -> String {
    match line.split_at_checked(1) {
        Some(("C", rest)) if rest.starts_with([':', '*']) => format!("S{rest}"),
        Some(("S", rest)) if rest.starts_with([':', '=']) => format!("C{rest}"),
        _ => line.to_owned(),
    }
}
