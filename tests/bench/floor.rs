//! The floor: the least that a durable SMTP receiver of this design can do on this machine.
//!
//! One SMTP dialogue (RFC 5321 EHLO, MAIL, RCPT, DATA, RSET, NOOP, QUIT; transactions one after another on a
//! connection) and one LMDB environment with group commit: sessions hand the content to a single writer
//! thread, which puts everything that waits into one transaction, syncs once, and lets all those sessions say
//! 250. No addresses are parsed, nothing is routed, no mailbox is kept. What a real server costs above this
//! is what it does for its users; `tests/bench/run` prints the ratio.
//!
//! `floor ADDRESS DIRECTORY [THREADS]`: prints `listening ADDRESS` and serves until it is killed.
#![allow(
    unsafe_code,
    reason = "opening an LMDB environment is unsafe: its files must not be changed by others"
)]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use heed::types::Bytes;
use heed::{Database, Env, EnvOpenOptions, PutFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Octets of address space for the environment; a bound on the disk that one run can use.
const MAP_OCTETS_MAX: usize = 8 << 30;
/// Messages in one transaction.
const BATCH_MESSAGES_MAX: usize = 256;
/// Messages waiting for the writer; sessions wait when it is full.
const WAITING_MESSAGES_MAX: usize = 1024;
/// Octets of one message, and of the read buffer of a session.
const MESSAGE_OCTETS_MAX: usize = 16 << 20;
/// Octets of CRLF.CRLF.
const END_OCTETS: usize = 5;
/// Octets made free in the read buffer before each read.
const READ_OCTETS: usize = 8 << 10;

/// A content on its way to the writer, and where to say that it is durable.
struct Waiting {
    content: Vec<u8>,
    done: oneshot::Sender<bool>,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let directory = arguments.next().unwrap_or_else(|| "floor-data".to_owned());
    let threads: usize = arguments.next().map_or(Ok(2), |n| n.parse())?;
    let (sender, receiver) = sync_channel(WAITING_MESSAGES_MAX);
    let writer = Writer::open(Path::new(&directory))?;
    std::thread::Builder::new().name("writer".to_owned()).spawn(move || writer.run(&receiver))?;
    let runtime = if threads == 0 {
        tokio::runtime::Builder::new_current_thread().enable_io().build()?
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_io().build()?
    };
    runtime.block_on(serve(&address, sender))
}

async fn serve(address: &str, sender: SyncSender<Waiting>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("listening {}", listener.local_addr()?);
    let sender = Arc::new(sender);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut session = Session { stream, input: Vec::new(), sender: Arc::clone(&sender) };
        tokio::spawn(async move { session.run().await });
    }
}

/// The single writer: every message that waits goes into the next transaction.
struct Writer {
    env: Env,
    contents: Database<Bytes, Bytes>,
    next: u64,
}

impl Writer {
    fn open(directory: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)?;
        // SAFETY: the directory is this process's own for as long as it runs.
        let env = unsafe { EnvOpenOptions::new().map_size(MAP_OCTETS_MAX).max_dbs(1).open(directory)? };
        let mut transaction = env.write_txn()?;
        let contents: Database<Bytes, Bytes> = env.create_database(&mut transaction, Some("contents"))?;
        let last = contents.last(&transaction)?.map(|(key, _)| key.try_into().map(u64::from_be_bytes));
        let next = last.transpose()?.map_or(0, |id| id + 1);
        transaction.commit()?;
        Ok(Self { env, contents, next })
    }

    fn run(mut self, receiver: &Receiver<Waiting>) {
        let mut batch = Vec::with_capacity(BATCH_MESSAGES_MAX);
        while let Ok(first) = receiver.recv() {
            batch.push(first);
            batch.extend(receiver.try_iter().take(BATCH_MESSAGES_MAX - 1));
            let durable = self.commit(&batch).is_ok();
            for waiting in batch.drain(..) {
                let _ = waiting.done.send(durable);
            }
        }
    }

    fn commit(&mut self, batch: &[Waiting]) -> heed::Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (id, waiting) in (self.next..).zip(batch) {
            self.contents.put_with_flags(
                &mut transaction,
                PutFlags::APPEND,
                &id.to_be_bytes(),
                &waiting.content,
            )?;
        }
        transaction.commit()?;
        self.next += batch.len() as u64;
        Ok(())
    }
}

/// One connection.
struct Session {
    stream: TcpStream,
    input: Vec<u8>,
    sender: Arc<SyncSender<Waiting>>,
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        self.stream.write_all(b"220 floor\r\n").await?;
        while let Some(end) = self.line().await? {
            let verb = self.input.first_chunk::<4>().map(|verb| verb.to_ascii_uppercase());
            self.input.drain(..end);
            let reply: &[u8] = match verb.as_deref() {
                Some(b"EHLO") => b"250-floor\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
                Some(b"HELO" | b"MAIL" | b"RCPT" | b"RSET" | b"NOOP") => b"250 ok\r\n",
                Some(b"DATA") => {
                    self.stream.write_all(b"354 go\r\n").await?;
                    if self.data().await? { b"250 stored\r\n" } else { b"451 not stored\r\n" }
                }
                Some(b"QUIT") => return self.stream.write_all(b"221 bye\r\n").await,
                _ => b"500 unknown\r\n",
            };
            self.stream.write_all(reply).await?;
        }
        Ok(())
    }

    /// The index after the next line's LF; `None` at the end of the stream.
    async fn line(&mut self) -> io::Result<Option<usize>> {
        loop {
            if let Some(at) = self.input.iter().position(|octet| *octet == b'\n') {
                return Ok(Some(at + 1));
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }

    /// Content to the writer; whether it is durable (RFC 5321 §4.1.1.4).
    async fn data(&mut self) -> io::Result<bool> {
        let mut from = 0;
        let end = loop {
            if let Some(end) = content_end(&self.input, from) {
                break end;
            }
            from = self.input.len().saturating_sub(END_OCTETS - 1);
            if !self.read().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let rest = self.input.split_off(end + b".\r\n".len());
        let mut content = std::mem::replace(&mut self.input, rest);
        content.truncate(end);
        unstuff(&mut content);
        let (done, durable) = oneshot::channel();
        if self.sender.try_send(Waiting { content, done }).is_err() {
            return Ok(false);
        }
        Ok(durable.await.unwrap_or(false))
    }

    async fn read(&mut self) -> io::Result<bool> {
        if self.input.len() > MESSAGE_OCTETS_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.input.reserve(READ_OCTETS);
        Ok(self.stream.read_buf(&mut self.input).await? > 0)
    }
}

/// The index of the dot of CRLF.CRLF, looking no earlier than `from`.
fn content_end(input: &[u8], from: usize) -> Option<usize> {
    if input.starts_with(b".\r\n") {
        return Some(0);
    }
    let mut at = from;
    while let Some(found) = input[at..].iter().position(|octet| *octet == b'.') {
        let dot = at + found;
        if input[..dot].ends_with(b"\r\n") && input[dot + 1..].starts_with(b"\r\n") {
            return Some(dot);
        }
        at = dot + 1;
    }
    None
}

/// Takes away the dot that begins a line (RFC 5321 §4.5.2).
fn unstuff(content: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(found) = content[at..].iter().position(|octet| *octet == b'.') {
        let dot = at + found;
        if dot == 0 || content[dot - 1] == b'\n' {
            content.remove(dot);
            // What followed it now stands at `dot` and is an ordinary octet, even when it is a dot.
        }
        at = (dot + 1).min(content.len());
    }
}
