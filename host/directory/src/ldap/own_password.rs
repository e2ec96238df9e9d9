//! Who we are to the servers: the name of the configuration, and the password of a file, which is read again when it is refused.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use zeroize::Zeroizing;

use super::connection::Credentials;
use super::failure::{INVALID_CREDENTIALS, LdapFailure};
use super::settings::LdapOptions;

/// Longest password file, in octets.
const PASSWORD_MAX: u64 = 4096;

/// Our name and password, as they are now.
pub(crate) struct OwnPassword {
    /// Where it stands, where we are anybody.
    file: Option<PathBuf>,
    credentials: RwLock<Option<Arc<Credentials>>>,
}

impl OwnPassword {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or has no password.
    pub(crate) fn read(options: &LdapOptions) -> Result<Self, String> {
        let (file, credentials) = match (&options.bind_dn, &options.password_file) {
            (Some(dn), Some(file)) => {
                let password = read_password(file)?;
                (Some(file.clone()), Some(Arc::new(Credentials { dn: dn.clone(), password })))
            }
            _ => (None, None),
        };
        Ok(Self { file, credentials: RwLock::new(credentials) })
    }

    /// What to bind with; `None`: nobody.
    pub(crate) fn credentials(&self) -> Option<Arc<Credentials>> {
        self.credentials.read().clone()
    }

    /// Whether a server refused these, and the file has another password since: then that is ours now. A password that was
    /// changed at the servers and in the file needs no restart.
    pub(crate) async fn is_another_after(
        &self,
        refusal: &LdapFailure,
        used: Option<&Arc<Credentials>>,
    ) -> bool {
        let (Some(used), Some(file)) = (used, self.file.clone()) else { return false };
        if refusal.code() != Some(INVALID_CREDENTIALS) {
            return false;
        }
        // A file may lie on a disk that is slow.
        let Ok(Ok(password)) = tokio::task::spawn_blocking(move || read_password(&file)).await else {
            return false;
        };
        let is_another = *password != *used.password;
        if is_another {
            *self.credentials.write() = Some(Arc::new(Credentials { dn: used.dn.clone(), password }));
        }
        is_another
    }
}

fn read_password(file: &std::path::Path) -> Result<Zeroizing<String>, String> {
    let fault = |why: String| format!("{}: {why}", file.display());
    let octets = Zeroizing::new(runtime::files::read(file, PASSWORD_MAX).map_err(|e| fault(e.to_string()))?);
    let text = std::str::from_utf8(&octets).map_err(|_| fault("it is not UTF-8".to_owned()))?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(fault("has no password on its first line".to_owned()));
    }
    Ok(Zeroizing::new(password.to_owned()))
}
