//! `lookup`: rows of the tenant's cached tables, and of tables from files.

use mail_types::Lookup;

use super::{permanent, temporary};
use crate::bindings::wasmta::policy::lookup::Host;
use crate::bindings::wasmta::policy::types::Failure;
use crate::call::{Call, ITEM_OCTETS};

/// Tables that the host keeps; all others are from files, which have other names.
pub const SERVER_TABLES: [&str; 3] = ["users", "domains", "aliases"];
/// Most keys of one question.
const KEYS_MAX: usize = 1000;

type Row = Result<Option<Vec<(String, String)>>, Failure>;

impl Call {
    fn row(&self, table: &str, key: &str) -> Row {
        if let Some(rows) = self.settings.tables.get(table) {
            return Ok(rows.get(&key.to_lowercase()).cloned());
        }
        if !SERVER_TABLES.contains(&table) {
            return Err(permanent(format!("there is no table {table:?} (plugins.NAME.tables)")));
        }
        let Some(surroundings) = &self.surroundings else { return Ok(None) };
        match surroundings.world.table_row(self.tenant.as_ref(), table, &key.to_lowercase()) {
            Lookup::Found(row) => Ok(Some(row.to_vec())),
            Lookup::NotFound => Ok(None),
            Lookup::Unavailable(why) => Err(temporary(why)),
        }
    }
}

impl Host for Call {
    fn get(&mut self, table: String, key: String) -> wasmtime::Result<Row> {
        self.charge(table.len() + key.len())?;
        let ask = self.asks("lookup.get", &(&table, &key));
        self.taped(ask, |call| call.row(&table, &key))
    }

    #[allow(clippy::type_complexity, reason = "the contract's own shape")]
    fn get_many(
        &mut self,
        table: String,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<Vec<(String, String)>>>, Failure>> {
        self.charge(keys.iter().fold(table.len(), |sum, key| sum + key.len() + ITEM_OCTETS))?;
        if keys.len() > KEYS_MAX {
            return Ok(Err(permanent(format!("at most {KEYS_MAX} keys at a time"))));
        }
        let ask = self.asks("lookup.get-many", &(&table, &keys));
        self.taped(ask, |call| keys.iter().map(|key| call.row(&table, key)).collect())
    }
}
