//! A table's rows as values of their contract.

use std::sync::{Arc, Mutex, PoisonError};

use super::{QueryError, Stores, TableReader};
use crate::contract::{Contract, Decoder, SchemaRegistry, Topic};

/// Reads the committed rows of one table, decoded. Clones read the same table.
#[derive(Clone)]
pub struct TableView<C> {
    reader: TableReader,
    decoder: Arc<Mutex<Decoder<C>>>,
}

impl<C: Contract> TableView<C> {
    /// A view of the table of `C`, whose changelog has this many partitions in the cluster.
    pub fn new(stores: &Stores, registry: Arc<dyn SchemaRegistry>, partitions: i32) -> TableView<C> {
        TableView::of(C::TOPIC, stores, registry, partitions)
    }

    /// The same, where the table's changelog goes by another topic than the contract's own.
    pub fn of(
        topic: &'static Topic,
        stores: &Stores,
        registry: Arc<dyn SchemaRegistry>,
        partitions: i32,
    ) -> TableView<C> {
        let decoder = Arc::new(Mutex::new(Decoder::new(registry)));
        TableView { reader: TableReader::new(stores, topic, partitions), decoder }
    }

    /// The row of a key; `None` where there is none.
    ///
    /// # Errors
    /// [`QueryError::NotOwned`] where the key's partition is not here, [`QueryError::Restoring`] where it is not whole
    /// yet, what the store says, and [`QueryError::Undecodable`].
    pub fn get(&self, key: &str) -> Result<Option<C>, QueryError> {
        self.reader.get(key.as_bytes())?.map(|row| self.decode(&row)).transpose()
    }

    /// Rows of all partitions that are here, in the order of their keys, from a key on and up to another.
    ///
    /// # Errors
    /// As [`get`](Self::get), without `NotOwned`.
    pub fn range(&self, from: &str, to: Option<&str>, max_rows: usize) -> Result<Vec<(String, C)>, QueryError> {
        let rows = self.reader.range(from.as_bytes(), to.map(str::as_bytes), max_rows)?;
        let row = |(key, row): (_, bytes::Bytes)| -> Result<_, QueryError> {
            let key: bytes::Bytes = key;
            Ok((String::from_utf8_lossy(&key).into_owned(), self.decode(&row)?))
        };
        rows.into_iter().map(row).collect()
    }

    fn decode(&self, row: &[u8]) -> Result<C, QueryError> {
        let mut decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        decoder.decode(row).map_err(|source| QueryError::Undecodable { table: self.reader.topic().name, source })
    }
}
