//! A peer that follows a script: `S:` lines are sent, `C:` lines are expected, octet for octet; `@close`
//! hangs up, `@tls` shakes hands, `@quiet` makes sure that nothing more has come.

use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use runtime::{Stream, TlsServer, make_self_signed};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(super) struct ScriptedPeer {
    pub(super) address: SocketAddr,
    running: JoinHandle<()>,
}

impl ScriptedPeer {
    /// One script for each connection that is to come; another one more is a failure.
    pub(super) async fn start(scripts: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scripts: Vec<String> = scripts.iter().map(|script| (*script).to_owned()).collect();
        let running = tokio::spawn(async move {
            for script in scripts {
                let stream = Stream::plain(listener.accept().await.unwrap().0);
                follow(&script, stream).await;
            }
        });
        Self { address, running }
    }

    /// All scripts were followed to their ends.
    pub(super) async fn finish(self) {
        let finished = tokio::time::timeout(Duration::from_secs(10), self.running).await;
        finished.expect("the script was not followed to its end").unwrap();
    }
}

async fn follow(script: &str, mut stream: Stream) {
    for step in script.lines() {
        match step.split_at_checked(3) {
            Some(("S: ", line)) => {
                stream.send(line.as_bytes());
                stream.send(b"\r\n");
                stream.flush().await.unwrap();
            }
            Some(("C: ", line)) => assert_eq!(read_line(&mut stream).await, line),
            _ => match step.trim() {
                "@close" => return,
                "@tls" => stream = stream.start_tls(&certificate()).await.unwrap(),
                "@quiet" => {
                    let mut context = Context::from_waker(Waker::noop());
                    assert_eq!(stream.buffered(), b"");
                    assert!(std::future::Future::poll(pin!(stream.fill()), &mut context).is_pending());
                }
                other => panic!("no such step: {other:?}"),
            },
        }
    }
}

async fn read_line(stream: &mut Stream) -> String {
    loop {
        if let Some(end) = stream.buffered().iter().position(|octet| *octet == b'\n') {
            let line = String::from_utf8(stream.buffered()[..=end].to_vec()).unwrap();
            stream.consume(end + 1);
            return line.strip_suffix("\r\n").expect("a bare LF came").to_owned();
        }
        if stream.fill().await.unwrap() == 0 {
            return "(end of stream)".to_owned();
        }
    }
}

fn certificate() -> TlsServer {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = make_self_signed(folder.path(), &["mx.test".to_owned()]).unwrap();
    TlsServer::load(&certificate, &key).unwrap()
}
