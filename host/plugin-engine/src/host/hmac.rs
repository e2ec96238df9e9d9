//! `hmac`: HMAC-SHA-256 under a secret that stays here.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::permanent;
use crate::bindings::wasmta::policy::hmac::Host;
use crate::bindings::wasmta::policy::types::Failure;
use crate::call::Call;
use crate::tape::Octets;

impl Host for Call {
    fn sha256(&mut self, secret: String, data: Vec<u8>) -> wasmtime::Result<Result<Vec<u8>, Failure>> {
        self.charge(secret.len() + data.len())?;
        let ask = self.asks("hmac.sha256", &(&secret, &data));
        let hash = self.taped(ask, |call| call.keyed_hash(&secret, &data).map(Octets))?;
        Ok(hash.map(|Octets(hash)| hash))
    }
}

impl Call {
    fn keyed_hash(&self, secret: &str, data: &[u8]) -> Result<Vec<u8>, Failure> {
        let Some(key) = self.settings.secrets.0.get(secret) else {
            return Err(permanent(format!("there is no secret {secret:?} (plugins.NAME.secrets)")));
        };
        // A key of any length is good for HMAC (RFC 2104 §2).
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
            return Err(permanent("the secret is no key"));
        };
        mac.update(data);
        Ok(mac.finalize().into_bytes().to_vec())
    }
}
