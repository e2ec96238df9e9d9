//! Plays a whole case: its peers, its server, its dialogue, and the check of the store at the end.

use std::path::Path;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cases::{Case, updating};
use crate::dialog::{Dialog, Place, Printed};
use crate::pattern::Names;
use crate::server::TestServer;
use crate::txtar::{Archive, Section};

/// Runs a case in a runtime of its own.
pub fn case(case: &Case, listener: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(&case.path).map_err(|e| e.to_string())?;
    in_runtime(&text, Some(&case.path), listener)
}

/// The same for a case that was made up.
pub fn text(text: &str, listener: &str) -> Result<(), String> {
    in_runtime(text, None, listener)
}

fn in_runtime(text: &str, path: Option<&Path>, listener: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    let outcome = runtime.block_on(play(text, path, listener));
    runtime.shutdown_background();
    outcome
}

async fn play(text: &str, path: Option<&Path>, listener: &str) -> Result<(), String> {
    let mut archive = Archive::parse(text);
    let (peers, names) = start_peers(&archive).await?;
    let server = TestServer::start(&archive, &names).await?;
    let outcome = play_sections(&mut archive, &server, listener, &names).await;
    for (name, peer) in peers {
        // A dialogue that failed explains more than the peer that waited in vain.
        if outcome.is_ok() {
            peer.await.map_err(|e| e.to_string())?.map_err(|why| format!("peer {name}: {why}"))?;
        }
    }
    outcome?;
    // While it runs: a session that is still ending holds the environment open.
    let checked = server.command("check").await?;
    server.stop().await;
    if checked.code != 0 || !checked.text.starts_with("nothing is wrong") {
        return Err(format!("the store is not consistent afterwards:\n{}", checked.text));
    }
    if let Some(path) = path
        && updating()
        && archive.to_string() != text
    {
        std::fs::write(path, archive.to_string()).map_err(|e| e.to_string())?;
    }
    Ok(())
}

async fn play_sections(
    archive: &mut Archive,
    server: &TestServer,
    listener: &str,
    peers: &[(String, String)],
) -> Result<(), String> {
    let whole = archive.clone();
    let section = whole.section("dialog").ok_or("the case has no dialog section")?;
    let bare = |name: &str| name.trim_matches(['<', '>']).to_owned();
    let mut names: Names = peers.iter().map(|(name, value)| (bare(name), value.clone())).collect();
    names.insert("folder".to_owned(), server.folder().display().to_string());
    let dialog = Dialog::new(server, &whole, section, listener, updating()).with_names(names);
    let played = dialog.play().await?;
    archive.set("dialog", &played);
    Ok(())
}

/// A peer's task.
type Peer = (String, JoinHandle<Result<String, String>>);

/// Starts each `peer NAME` section at a free port; `<<peer NAME>>` is its address, `<<port NAME>>` its port.
async fn start_peers(archive: &Archive) -> Result<(Vec<Peer>, Vec<(String, String)>), String> {
    let (mut peers, mut names) = (Vec::new(), Vec::new());
    for section in &archive.sections {
        let Some(name) = section.name.strip_prefix("peer ") else { continue };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        names.push((format!("<<peer {name}>>"), address.to_string()));
        names.push((format!("<<port {name}>>"), address.port().to_string()));
        peers.push((name.to_owned(), tokio::spawn(peer(archive.clone(), section.clone(), listener))));
    }
    Ok((peers, names))
}

async fn peer(archive: Archive, section: Section, listener: TcpListener) -> Result<String, String> {
    Dialog::new(&Nowhere, &archive, &section, "", false).as_peer(listener).play().await
}

/// A peer opens no connections and runs no commands.
struct Nowhere;

impl Place for Nowhere {
    fn listener(&self, _: &str) -> Option<std::net::SocketAddr> {
        None
    }

    async fn command(&self, _: &str) -> Result<Printed, String> {
        Err("a peer runs no commands".to_owned())
    }

    async fn stop(&self) {}

    async fn restart(&self) -> Result<(), String> {
        Err("a peer starts no server".to_owned())
    }

    fn configure(&self, _: &str) -> Result<(), String> {
        Err("a peer configures no server".to_owned())
    }

    fn log(&self) -> String {
        String::new()
    }
}
