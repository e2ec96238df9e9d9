//! The handle, and the thread that writes lines.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use runtime::Clock;

use crate::counters::Counters;
use crate::event::{Event, Level};
use crate::format::{Style, line};

/// Lines that wait to be written; more are dropped and counted.
pub const LOG_LINES_MAX: usize = 65_536;
/// Octets gathered before they are written in one go.
const WRITE_CHUNK: usize = 64 * 1024;

/// How long the last words may take: whoever reads the log may have stopped.
pub const FLUSH_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long after a write the next lines are gathered: who tells much would else wake the writer for each line, which costs
/// a mail server more than the lines do. What is told after a silence is written at once.
const GATHER: Duration = Duration::from_millis(5);
/// How long between two looks whether there is room for the last words.
const FLUSH_PAUSE: Duration = Duration::from_millis(10);

/// What is logged, and how.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// Form of the lines.
    pub style: Style,
    /// The least level that is written.
    pub level: Level,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { style: Style::Human, level: Level::Info }
    }
}

enum Item {
    Line(String),
    Flush(SyncSender<()>),
}

/// Where events are told. Clones tell the same sinks.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    counters: Counters,
    options: parking_lot::RwLock<LogOptions>,
    lines: Option<SyncSender<Item>>,
}

impl Events {
    /// Counts only.
    #[must_use]
    pub fn counting(clock: Clock) -> Self {
        Self::assemble(clock, LogOptions::default(), None)
    }

    /// Counts, and writes lines to `output` from a thread of its own.
    pub fn logging(
        clock: Clock,
        options: LogOptions,
        output: impl Write + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, inbox) = sync_channel(LOG_LINES_MAX);
        std::thread::Builder::new().name("log-writer".into()).spawn(move || write_lines(&inbox, output))?;
        Ok(Self::assemble(clock, options, Some(sender)))
    }

    fn assemble(clock: Clock, options: LogOptions, lines: Option<SyncSender<Item>>) -> Self {
        let options = parking_lot::RwLock::new(options);
        Self { inner: Arc::new(Inner { clock, counters: Counters::default(), options, lines }) }
    }

    /// Tells an event. Never waits.
    pub fn emit(&self, event: &Event<'_>) {
        self.inner.counters.count(event);
        let Some(lines) = &self.inner.lines else { return };
        let options = *self.inner.options.read();
        if event.kind().2 < options.level {
            return;
        }
        let mut text = String::with_capacity(256);
        line(options.style, self.inner.clock.now(), event, &mut text);
        if let Err(TrySendError::Full(_)) = lines.try_send(Item::Line(text)) {
            self.inner.counters.line_dropped();
        }
    }

    /// Changes form and level from now on.
    pub fn set_options(&self, options: LogOptions) {
        *self.inner.options.write() = options;
    }

    /// How often each event happened.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Waits until what was told before is written, [`FLUSH_WAIT_MAX`] at most: for the last words of a process, which a log that
    /// nobody reads must not keep from ending.
    pub fn flush(&self) {
        let Some(lines) = &self.inner.lines else { return };
        let until = Instant::now() + FLUSH_WAIT_MAX;
        let (done, written) = sync_channel(1);
        let mut item = Item::Flush(done);
        while let Err(TrySendError::Full(back)) = lines.try_send(item) {
            if Instant::now() >= until {
                return;
            }
            item = back;
            std::thread::sleep(FLUSH_PAUSE);
        }
        // An error means that the writer ended, or that the time is over: there is nothing to wait for.
        let _ = written.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

fn write_lines(inbox: &Receiver<Item>, mut output: impl Write) {
    let mut chunk = Vec::with_capacity(WRITE_CHUNK);
    while let Ok(first) = inbox.recv() {
        let mut next = Some(first);
        let mut waiting = Vec::new();
        while let Some(item) = next {
            match item {
                Item::Line(line) => chunk.extend_from_slice(line.as_bytes()),
                Item::Flush(done) => waiting.push(done),
            }
            next = if chunk.len() < WRITE_CHUNK { inbox.try_recv().ok() } else { None };
        }
        // A log that cannot be written must not stop the mail; the counters still tell.
        let _ = output.write_all(&chunk).and_then(|()| output.flush());
        let is_behind = chunk.len() >= WRITE_CHUNK;
        chunk.clear();
        for done in waiting {
            let _ = done.send(());
        }
        if !is_behind {
            std::thread::sleep(GATHER);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<parking_lot::Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(octets);
            Ok(octets.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn events_are_counted_and_those_of_the_level_are_written() {
        let output = Output::default();
        let options = LogOptions { style: Style::Human, level: Level::Warning };
        let events = Events::logging(Clock::system(), options, output.clone()).unwrap();
        events.emit(&Event::Stopping { reason: "asked to" });
        events.emit(&Event::TablesFailed { cause: "no disk" });
        events.flush();
        let text = String::from_utf8(output.0.lock().clone()).unwrap();
        assert!(text.contains(" tables_failed cause=\"no disk\"\n"), "{text}");
        assert!(!text.contains("stopping"));
        let counted: Vec<_> = events.counters().all().into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted, [("stopping", 1), ("tables_failed", 1)]);
    }

    /// Counts how often it is written to, less than a whole chunk.
    #[derive(Clone, Default)]
    struct Counted(Arc<AtomicUsize>);

    impl Write for Counted {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.fetch_add(usize::from(octets.len() < WRITE_CHUNK), Ordering::SeqCst);
            Ok(octets.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_tells_much_does_not_wake_the_writer_for_each_line() {
        let output = Counted::default();
        let began = Instant::now();
        let events = Events::logging(Clock::system(), LogOptions::default(), output.clone()).unwrap();
        while began.elapsed() < GATHER * 6 {
            events.emit(&Event::Stopping { reason: "asked to" });
            std::thread::yield_now();
        }
        events.flush();
        let windows = began.elapsed().as_millis() / GATHER.as_millis();
        let writes = output.0.load(Ordering::SeqCst);
        assert!((1..=windows as usize + 1).contains(&writes), "{writes} in {windows}");
    }

    /// Nobody reads: a pipe that is full.
    struct Stalled(Receiver<()>);

    impl Write for Stalled {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(octets.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_nobody_reads_holds_nothing_up() {
        let (reader, stalled) = std::sync::mpsc::channel();
        let events = Events::logging(Clock::system(), LogOptions::default(), Stalled(stalled)).unwrap();
        let began = Instant::now();
        for _ in 0..LOG_LINES_MAX + 1000 {
            events.emit(&Event::Stopping { reason: "asked to" });
        }
        events.flush();
        let took = began.elapsed();
        assert!(took >= FLUSH_WAIT_MAX && took < FLUSH_WAIT_MAX * 5, "{took:?}");
        drop(reader);
        events.flush();
        assert!(began.elapsed() < FLUSH_WAIT_MAX * 10);
    }
}
