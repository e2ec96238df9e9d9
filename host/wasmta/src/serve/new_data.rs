//! A first start that fails, or is told to stop before it serves, leaves nothing behind: the next one reads the LDIF as it is
//! then, and names the sample accounts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::complete::PARTS;
use super::restored::is_own_file;

/// What a start makes in a data directory that has none of it, in its order.
const MADE: [&str; 10] = [
    "directory",
    "decoy.key",
    "tables",
    "plugins",
    "plugin-store",
    "store",
    "derived",
    PARTS,
    "tls-cert.pem",
    "tls-key.pem",
];
/// What is there while a process holds the directory.
const HELD: [&str; 2] = ["lock", "control.sock"];

/// A data directory that had nothing of a server in it when its lock was taken: what a start has made in it goes with this,
/// unless it has served.
pub(super) struct NewData(Option<PathBuf>);

impl NewData {
    /// Looks; `None` where there is something. The lock must be held.
    pub(super) fn look(data: &Path) -> Option<Self> {
        let is_of_server = |name: &str| MADE.contains(&name) || (is_own_file(name) && !HELD.contains(&name));
        for entry in fs::read_dir(data).ok()? {
            if is_of_server(&entry.ok()?.file_name().to_string_lossy()) {
                return None;
            }
        }
        Some(Self(Some(data.to_owned())))
    }

    /// It stays.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for NewData {
    /// Removes what a start has made that served nobody. The lock must be held still.
    fn drop(&mut self) {
        let Some(data) = self.0.take() else { return };
        // Backwards: wherever this is broken off, what is left is that of a first start that was broken off.
        for name in MADE.iter().rev() {
            let path = data.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::super::{DataLock, Place, Server, counting};
    use super::*;

    fn ldif(user: &str) -> String {
        let shipped = include_str!("../../../../config/directory.ldif");
        shipped.replace("user1", user)
    }

    /// Where a server listens at that address, and hashes a password in so many passes.
    fn place(dir: &Path, address: std::net::SocketAddr, passes: u32) -> Place {
        let config = format!(
            "[auth]\nargon2-memory = \"64 KiB\"\nargon2-passes = {passes}\n[dns.publish]\nlisten = \"127.0.0.1:0\"\n\
             [listeners.smtp]\naddress = \"{address}\"\n"
        );
        let place = Place { config: dir.join("wasmta.toml"), data: dir.join("data"), port_offset: 0 };
        fs::write(&place.config, config).unwrap();
        fs::write(dir.join("rewrite.rules"), "").unwrap();
        fs::write(dir.join("directory.ldif"), ldif("user1")).unwrap();
        place
    }

    async fn start(place: &Place) -> Result<Server, String> {
        let lock = DataLock::take(&place.data)?;
        Server::start(place.load()?, place.clone(), lock, counting()).await
    }

    fn left(place: &Place) -> Vec<String> {
        let entries = fs::read_dir(&place.data).unwrap();
        entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn after_a_first_start_that_found_its_port_taken_comes_a_first_start() {
        let dir = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let place = place(dir.path(), address, 1);
        let why = start(&place).await.err().unwrap();
        assert!(why.contains("cannot be listened at"), "{why}");
        assert_eq!(left(&place), ["lock"]);
        // The administrator looks around, and mends more than the port.
        fs::write(dir.path().join("directory.ldif"), ldif("anna")).unwrap();
        drop(taken);
        let server = start(&place).await.unwrap();
        assert!(server.begins_with("anna@example.org", "password"));
        server.stop(Duration::ZERO).await;
        // What has served stays, whatever fails afterwards.
        let _taken = TcpListener::bind(address).unwrap();
        assert!(start(&place).await.is_err());
        assert!(place.data.join("directory/data.mdb").exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn after_a_first_start_that_was_given_up_comes_a_first_start() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(dir.path(), "127.0.0.1:0".parse().unwrap(), 32);
        let mut starting = Box::pin(start(&place));
        while !place.data.join("directory/data.mdb").exists() {
            tokio::select! {
                biased;
                started = &mut starting => panic!("{:?}", started.err()),
                () = tokio::task::yield_now() => {}
            }
        }
        drop(starting);
        assert_eq!(left(&place), ["lock"]);
        drop(DataLock::take(&place.data).unwrap());
    }

    #[test]
    fn only_what_a_first_start_made_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path();
        for name in ["lock", "notes"] {
            fs::write(data.join(name), "x").unwrap();
        }
        fs::create_dir(data.join("lost+found")).unwrap();
        let new = NewData::look(data).unwrap();
        for name in MADE {
            fs::create_dir(data.join(name)).unwrap();
            fs::write(data.join(name).join("data.mdb"), "x").unwrap();
            assert!(NewData::look(data).is_none(), "{name}");
        }
        drop(new);
        let mut left: Vec<String> =
            fs::read_dir(data).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["lock", "lost+found", "notes"]);
        for name in ["RESTORE", "restoring", "before-restore-7"] {
            fs::create_dir(data.join(name)).unwrap();
            assert!(NewData::look(data).is_none(), "{name}");
            fs::remove_dir(data.join(name)).unwrap();
        }
    }
}
